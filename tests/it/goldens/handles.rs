//! The methods of `tests/goldens/handles.py`.

use bespoke::{
    nn::Bool,
    prelude::{F64, I32, Value},
};

use super::Inputs;

/// As floats, one behind the other.
fn flat<'g>(i: &Inputs<'g>, values: Vec<Value<'g>>) -> Value<'g> {
    let rows = values.iter().map(|v| v.convert(i.dtype).reshape([v.shape().elements()]));
    let rows: Vec<Value<'g>> = rows.collect();
    rows[0].concatenate(&rows[1..], 0)
}

/// The methods of this case.
pub fn handles<'g>(name: &str, i: &Inputs<'g>) -> Option<Value<'g>> {
    let x = || i.get("x");
    let t = || i.get("t");
    let values = match name {
        "unary" => {
            let x = x();
            #[rustfmt::skip]
            let values = vec![
                x.abs(), x.sign(), x.floor(), x.ceil(), x.round(), x.exp(), x.expm1(), x.log(), x.log1p(), x.sqrt(),
                x.rsqrt(), x.sin(), x.cos(), x.tan(), x.asin(), x.acos(), x.atan(), x.sinh(), x.cosh(), x.tanh(),
                x.sigmoid(), x.softplus(), x.erf(), -x,
            ];
            values
        }
        "binary" => {
            let (x, t) = (x(), t());
            let named = [x.pow(t), x.maximum(t), x.minimum(t), x.atan2(t)];
            [&named[..], &[x + t, x - t, x * t, x / t, x % t]].concat()
        }
        "comparisons" => {
            let (x, t) = (x(), t());
            vec![x.eq(t), x.ne(t), x.lt(t), x.le(t), x.gt(t), x.ge(t)]
        }
        "bits" => {
            let (a, b, root) = (x().gt(0.0), t().gt(0.0), t().sqrt());
            let either = [a.logical_and(b), a.logical_or(b), a.logical_xor(b), a.logical_not()];
            [&either[..], &[root.is_nan(), (1.0 / x()).is_finite()]].concat()
        }
        "reductions" => {
            let (x, bits) = (x(), x().gt(0.6));
            #[rustfmt::skip]
            let values = vec![
                x.sum(), x.sum_axes(&[1]), x.sum_keep(&[0]),
                x.product(), x.product_axes(&[1]), x.product_keep(&[0]),
                x.max(), x.max_axes(&[1]), x.max_keep(&[0]),
                x.min(), x.min_axes(&[1]), x.min_keep(&[0]),
                bits.any(), bits.any_axes(&[1]), bits.any_keep(&[0]),
                bits.all(), bits.all_axes(&[1]), bits.all_keep(&[0]),
                x.argmax(1), x.argmin(0), x.arg_sort(1, false),
            ];
            values
        }
        "movement" => {
            let (x, at) = (x(), i.get("i"));
            vec![
                x.reshape([4, 6]),
                x.flatten(),
                x.expand_dims(1),
                x.slice(2, 0..1).squeeze(-1),
                x.transpose(&[2, 0, 1]),
                x.t(),
                x.slice(1, 1..3),
                x.slice_step(2, 0..4, 3),
                x.pad(&[2, 0, 1], &[0, 1, 2], 0.5),
                x.reverse(&[0, 2]),
                x.concatenate(&[x * 2.0], 1),
                x.lookup(at),
                x.gather(at, 1),
                x.slice(0, 0..1).broadcast_to([2, 3, 4]),
                x.gt(0.0).select(x * 3.0, 0.25),
                x * x.stop_gradient(),
                x.sum_axes(&[1]).expand_like(x, &[1]).convert(F64).convert(i.dtype) * x,
                at.one_hot(4, Bool),
            ]
        }
        "places" => {
            let (x, u, at) = (x(), i.get("u"), [i.get("i"), i.get("j")]);
            let starts = [1i32, 7, 0].map(|start| i.graph.constant(start));
            let update = u.slice(0, 0..2).expand_dims(1);
            vec![
                x.at(&at),
                x.add_at(&at, u),
                at[0].bincount(3).convert(I32),
                x.dynamic_slice(&starts, &[2, 1, 3]),
                x.dynamic_update(update, &starts),
            ]
        }
        _ => return None,
    };
    Some(flat(i, values))
}
