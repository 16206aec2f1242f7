//! Derivatives from values alone.

use bespoke_graph::{EvalError, Graph, NodeId, Op, eval};
use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type};

use crate::GradError;

/// The derivative of every element of `output` by every element of the input or state `wrt`, from differences: of the shape
/// of `output` followed by that of `wrt`, so the gradient if `output` is a scalar. `sources` gives the values of inputs and
/// states by name. For checks: it evaluates the graph four times an element, and rounding leaves about ten digits in f64, four
/// in f32.
///
/// Five points: f′(x) = (f(x − 2h) − 8 f(x − h) + 8 f(x + h) − f(x + 2h)) / 12h + O(h⁴) (Abramowitz & Stegun, 25.3.6). The
/// distance h is the power of two near ε^(1/5)/5 · max(|x|, 1): the formula's error of the order of h⁴ and that of rounding,
/// ε/h, are then alike.
///
/// ```
/// use bespoke_graph::{EvalError, Graph, op};
/// use bespoke_tensor::{DType, Tensor, Type};
///
/// let mut g = Graph::new();
/// let x = g.input("x", Type::scalar(DType::F64))?;
/// let y = g.unary(op::Unary::Sin, x);
/// let slope = bespoke_autodiff::numerical(&g, y, x, &|_| Some(Tensor::scalar(0.5)))?;
/// assert!((slope.get(0).to_f64() - 0.5f64.cos()).abs() < 1e-11);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`GradError`] if `wrt` is neither input nor state, or either is not of floats; if a value is missing; if the result would
/// have too many axes.
pub fn numerical(
    graph: &Graph,
    output: NodeId,
    wrt: NodeId,
    sources: &dyn Fn(&str) -> Option<Tensor>,
) -> Result<Tensor, GradError> {
    let (ty, from) = (graph.ty(output), graph.ty(wrt));
    if let Some(&id) = [output, wrt].iter().find(|&&id| !graph.ty(id).dtype.is_float()) {
        return Err(GradError::NotFloat(id, graph.ty(id)));
    }
    let (kind, name) = match &graph.node(wrt).op {
        Op::Input(input) => ("input", &input.name),
        Op::StateRead(state) => ("state", &state.name),
        _ => return Err(GradError::NotSource(wrt)),
    };
    let dims = [&ty.shape[..], &from.shape[..]].concat();
    let shape = Shape::new(&dims).map_err(|_| GradError::TooLarge { value: ty, wrt: from })?;
    let forward = only(graph, output);
    let at = sources(name).ok_or_else(|| EvalError::Missing { kind, name: name.clone(), ty: from })?;
    if at.ty() != from {
        return Err(EvalError::WrongType { kind, name: name.clone(), expected: from, got: at.ty() }.into());
    }
    let epsilon = if from.dtype == DType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
    let mut columns: Vec<Vec<f64>> = vec![];
    for k in 0..at.elements() {
        let x = at.get(k).to_f64();
        let h = (epsilon.powf(0.2) / 5.0 * x.abs().max(1.0)).log2().round().exp2();
        let values = |steps: f64| -> Result<Vec<f64>, GradError> {
            let moved =
                Tensor::from_fn(at.ty(), |j| if j == k { Scalar::F64(x + steps * h) } else { at.get(j) });
            let there = |n: &str| if n == name { Some(moved.clone()) } else { sources(n) };
            let values = eval(&forward, &there)?;
            Ok(values.outputs[OUTPUT].scalars().map(|s| s.to_f64()).collect())
        };
        let points = [values(-2.0)?, values(-1.0)?, values(1.0)?, values(2.0)?];
        let difference =
            |i| (points[0][i] - 8.0 * points[1][i] + 8.0 * points[2][i] - points[3][i]) / (12.0 * h);
        columns.push((0..ty.elements()).map(difference).collect());
    }
    let each = from.elements();
    Ok(Tensor::from_fn(Type { dtype: ty.dtype, shape }, |i| Scalar::F64(columns[i % each][i / each])))
}

const OUTPUT: &str = "output";

/// The graph with this output only.
fn only(graph: &Graph, output: NodeId) -> Graph {
    let mut forward = graph.clone();
    forward.clear_outputs();
    forward.set_output(OUTPUT, output).expect("it is the only one");
    for state in graph.states() {
        forward.replace_next(state.node, None);
    }
    forward
}
