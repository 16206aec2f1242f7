//! Functions of `f64` that are called, lane by lane: those of the standard library, and `erf`.

use crate::{Function, FunctionCode};

macro_rules! calls {
    ($($constant:ident $name:literal ($($arg:ident),+) $arity:ident = $code:expr;)*) => {
        $(
            #[doc = concat!("`", $name, "` of `f64`.")]
            pub const $constant: Function = Function {
                name: $name,
                code: FunctionCode::$arity({
                    extern "C" fn code($($arg: f64),+) -> f64 {
                        $code
                    }
                    code
                }),
            };
        )*

        /// All functions that a kernel may call.
        pub const ALL: &[Function] = &[$($constant),*];
    };
}

calls! {
    SIN "sin" (x) One = x.sin();
    COS "cos" (x) One = x.cos();
    TAN "tan" (x) One = x.tan();
    ASIN "asin" (x) One = x.asin();
    ACOS "acos" (x) One = x.acos();
    ATAN "atan" (x) One = x.atan();
    ERF "erf" (x) One = libm::erf(x);
    POW "pow" (x, y) Two = x.powf(y);
    ATAN2 "atan2" (y, x) Two = y.atan2(x);
}
