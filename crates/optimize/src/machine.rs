//! How fast a machine is, for the cost model.

/// Makes [`Machine`] from a table: each speed's name, its value of [`Machine::fixed`], its unit, and what it is of.
macro_rules! machine {
    ($($name:ident = $fixed:literal, $unit:literal, $what:literal;)*) => {
        /// The speeds of one core. They are whole numbers, so that configurations can be compared and hashed.
        ///
        /// ```
        /// use bespoke_optimize::{Config, Machine};
        ///
        /// // A machine with half the bandwidth.
        /// let slow = Machine { memory: Machine::fixed().memory / 2, ..Machine::fixed() };
        /// assert_ne!(Config { machine: slow, ..Config::default() }, Config::default());
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct Machine {
            $(#[doc = concat!("Of ", $what, ", in ", $unit, ".")] pub $name: u32,)*
        }

        impl Machine {
            /// The speeds by name, with their units and what they are of.
            pub const SPEEDS: &[(&str, &str, &str)] = &[$((stringify!($name), $unit, $what),)*];

            /// A machine of no place: a core of a server, with vectors of 128 bits. What is decided for it is the same
            /// everywhere.
            pub const fn fixed() -> Machine {
                Machine { $($name: $fixed,)* }
            }

            /// The speed of this name among [`Machine::SPEEDS`].
            pub fn speed(&self, name: &str) -> Option<u32> {
                match name {
                    $(stringify!($name) => Some(self.$name),)*
                    _ => None,
                }
            }

            /// The machine of these speeds, by name. None if one is missing, or 0.
            pub fn from_speeds(speed: impl Fn(&str) -> Option<u32>) -> Option<Machine> {
                Some(Machine { $($name: speed(stringify!($name)).filter(|&s| s > 0)?,)* })
            }
        }
    };
}

machine! {
    dot_f32 = 38_000, "MFLOP/s", "dots in f32";
    dot_f64 = 19_000, "MFLOP/s", "dots in f64";
    packing = 4_000, "MB/s", "operands of dots, laid out for them";
    convolution = 36_000, "MFLOP/s", "convolutions in f32";
    elementwise = 10_000, "M/s", "sums and products of elements";
    function = 500, "M/s", "functions such as exp";
    reduction = 10_000, "M/s", "elements that are summed";
    near = 50_000, "MB/s", "bytes of small values, read and written";
    near_size = 500, "kB", "the largest of these";
    cache = 16_000, "MB/s", "bytes of values within the caches";
    cache_size = 8_000, "kB", "the largest of these";
    memory = 8_000, "MB/s", "bytes of values beyond the caches";
    launch = 100, "ns", "the start of a kernel";
}

impl Default for Machine {
    fn default() -> Machine {
        Machine::fixed()
    }
}
