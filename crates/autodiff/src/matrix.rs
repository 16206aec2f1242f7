//! Whole matrices of derivatives: one product a unit vector, in a loop, so that the graph does not grow with their size.

use bespoke_graph::{
    Body, Graph, NodeId, Op, Operator,
    op::{self, Binary, Scan},
};
use bespoke_tensor::{DType, MAX_RANK, Shape, Type};

use crate::{GradError, forward, grad, reverse};

/// Appends the Jacobian of `value` by each of `wrt`: the derivative of every element by every element, of the shape of
/// `value` followed by that of `wrt`. Row by row in reverse mode, or column by column in forward mode where there are fewer
/// columns, in a [`Scan`]: the graph has the same size for any shape. Jacobians can be differentiated again.
///
/// ```
/// use bespoke_graph::{Graph, eval, op};
/// use bespoke_tensor::{DType, Tensor, Type};
///
/// let mut g = Graph::new();
/// let w = g.input("w", Type::new(DType::F64, [2, 3]))?;
/// let x = g.input("x", Type::new(DType::F64, [3]))?;
/// let y = g.add(op::Dot { contract: (vec![1], vec![0]), ..op::Dot::matmul() }, &[w, x])?;
/// let jacobian = bespoke_autodiff::jacobian(&mut g, y, &[x])?[0]; // it is w
/// g.set_output("jacobian", jacobian)?;
/// let w = Tensor::from_vec([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// let x = Tensor::full([3], 1.0f64);
/// let values = eval(&g, &|name| Some(if name == "w" { w.clone() } else { x.clone() }))?;
/// assert_eq!(values.outputs["jacobian"], w);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`GradError`] if `value` or one of `wrt` is not of floats, if one of `wrt` is not reachable, or if a Jacobian would have
/// too many axes or elements.
pub fn jacobian(graph: &mut Graph, value: NodeId, wrt: &[NodeId]) -> Result<Vec<NodeId>, GradError> {
    let ty = graph.ty(value);
    if let Some(&id) = [value].iter().chain(wrt).find(|&&id| !graph.ty(id).dtype.is_float()) {
        return Err(GradError::NotFloat(id, graph.ty(id)));
    }
    if ty.rank() == 0 {
        return grad(graph, value, wrt);
    }
    let shapes = wrt.iter().map(|&x| product_shape(ty, graph.ty(x))).collect::<Result<Vec<_>, _>>()?;
    let columns: usize = wrt.iter().map(|&x| graph.ty(x).elements()).sum();
    if ty.elements() <= columns {
        let rows = for_each_unit(graph, ty, |g, unit| reverse::cotangents(g, &[(value, unit)], wrt))?;
        let each = wrt.iter().zip(rows).zip(shapes);
        return each
            .map(|((&x, rows), shape)| {
                let rows = rows.ok_or_else(|| reverse::unreachable(graph, x))?;
                Ok(graph.reshape(rows, shape))
            })
            .collect();
    }
    let mut found = vec![];
    for (&x, shape) in wrt.iter().zip(shapes) {
        let columns = for_each_unit(graph, graph.ty(x), |g, unit| forward::jvp(g, &[value], &[(x, unit)]))?;
        let columns = columns[0].ok_or_else(|| reverse::unreachable(graph, x))?;
        // The axis of columns goes last.
        let order: Vec<usize> = (1..=ty.rank()).chain([0]).collect();
        let last = graph.transpose(columns, &order);
        found.push(graph.reshape(last, shape));
    }
    Ok(found)
}

/// Appends the Jacobian of each example: `value` and `wrt` have a leading axis of examples, and example b of the one depends on
/// example b of the other only (of others the derivatives would be added). The result has the axis of examples, then the rest
/// of the shape of `value`, then the rest of that of `wrt`. All examples go through one product with a unit vector together.
///
/// ```
/// use bespoke_graph::{Graph, op::Unary};
/// use bespoke_tensor::{DType, Type};
///
/// let mut g = Graph::new();
/// let x = g.input("x", Type::new(DType::F32, [16, 784]))?;
/// let w = g.input("w", Type::new(DType::F32, [784, 256]))?;
/// let sum = g.matmul(x, w);
/// let h = g.unary(Unary::Sigmoid, sum);
/// let jacobians = bespoke_autodiff::batch_jacobian(&mut g, h, x)?;
/// assert_eq!(g.ty(jacobians), Type::new(DType::F32, [16, 256, 784]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`jacobian`]; also if there are not as many examples of both.
pub fn batch_jacobian(graph: &mut Graph, value: NodeId, wrt: NodeId) -> Result<NodeId, GradError> {
    let (ty, from) = (graph.ty(value), graph.ty(wrt));
    if let Some(&id) = [value, wrt].iter().find(|&&id| !graph.ty(id).dtype.is_float()) {
        return Err(GradError::NotFloat(id, graph.ty(id)));
    }
    let examples = ty.shape.first().copied();
    if examples.is_none() || examples != from.shape.first().copied() {
        return Err(GradError::Examples { value: ty, wrt: from });
    }
    let rest = |t: Type| Shape::new(&t.shape[1..]).map(|shape| Type { dtype: t.dtype, shape });
    let too_large = || GradError::TooLarge { value: ty, wrt: from };
    let (one, one_from) = (rest(ty).map_err(|_| too_large())?, rest(from).map_err(|_| too_large())?);
    let each = product_shape(one, one_from).map_err(|_| too_large())?;
    let shape = Shape::new(&[&ty.shape[..1], &each[..]].concat()).map_err(|_| too_large())?;
    let axes = |t: Type| (1..t.rank()).collect::<Vec<usize>>();
    let by_rows = one.elements() <= one_from.elements();
    let found = if by_rows {
        for_each_unit(graph, one, |g, unit| {
            let all = g.broadcast(unit, ty.shape, &axes(ty));
            reverse::cotangents(g, &[(value, all)], &[wrt])
        })?
    } else {
        for_each_unit(graph, one_from, |g, unit| {
            let all = g.broadcast(unit, from.shape, &axes(from));
            forward::jvp(g, &[value], &[(wrt, all)])
        })?
    };
    let found = found[0].ok_or_else(|| reverse::unreachable(graph, wrt))?;
    // Examples first; the axis of unit vectors after them, or last.
    let rank = graph.ty(found).rank();
    let order: Vec<usize> =
        if by_rows { [1, 0].into_iter().chain(2..rank).collect() } else { (1..rank).chain([0]).collect() };
    let placed = graph.transpose(found, &order);
    Ok(graph.reshape(placed, shape))
}

/// Appends the Hessian of `loss` by `wrt`: its second derivatives, of the shape of `wrt` twice. One product with a unit
/// vector after the other (forward over reverse, as [`hvp`](crate::hvp)), in a [`Scan`]; zero where the gradient does not
/// change.
///
/// ```
/// use bespoke_graph::{Graph, eval};
/// use bespoke_tensor::{DType, Tensor, Type};
///
/// let mut g = Graph::new();
/// let x = g.input("x", Type::new(DType::F64, [2]))?;
/// let sum = g.sum_all(x);
/// let square = g.times(sum, sum);
/// let cube = g.times(square, sum);
/// let hessian = bespoke_autodiff::hessian(&mut g, cube, x)?; // 6 · (x₀ + x₁) everywhere
/// g.set_output("hessian", hessian)?;
/// let values = eval(&g, &|_| Tensor::from_vec([2], vec![3.0, 5.0]).ok())?;
/// assert_eq!(values.outputs["hessian"].view::<f64>()?, [48.0; 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`grad`]; also if the Hessian would have too many axes or elements.
pub fn hessian(graph: &mut Graph, loss: NodeId, wrt: NodeId) -> Result<NodeId, GradError> {
    let ty = graph.ty(wrt);
    let shape = product_shape(ty, ty)?;
    let gradient = grad(graph, loss, &[wrt])?[0];
    let rows = for_each_unit(graph, ty, |g, unit| forward::jvp(g, &[gradient], &[(wrt, unit)]))?[0];
    Ok(match rows {
        Some(rows) => graph.reshape(rows, shape),
        None => graph.fill(Type { dtype: ty.dtype, shape }, 0.0),
    })
}

/// The shape of derivatives of one type by another.
fn product_shape(value: Type, wrt: Type) -> Result<Shape, GradError> {
    let dims = [&value.shape[..], &wrt.shape[..]].concat();
    let sound = |t: Type| t.elements() <= i32::MAX as usize && t.rank() < MAX_RANK;
    let shape = Shape::new(&dims).ok().filter(|_| sound(value) && sound(wrt));
    shape.ok_or(GradError::TooLarge { value, wrt })
}

/// What `f` makes of every unit vector of a type, with a new leading axis. `f` gets a copy of the graph and appends; what does
/// not depend on the unit vector is computed once, the rest by a scan. `None` where nothing depends on it.
fn for_each_unit(
    graph: &mut Graph,
    ty: Type,
    f: impl FnOnce(&mut Graph, NodeId) -> Result<Vec<Option<NodeId>>, GradError>,
) -> Result<Vec<Option<NodeId>>, GradError> {
    let mut joint = graph.clone();
    let unit = joint.input(&fresh(graph), ty).expect("the name is new");
    let results = f(&mut joint, unit)?;

    let mut late = vec![false; joint.len()];
    for id in joint.ids() {
        late[id.index()] = id == unit || joint.node(id).inputs.iter().any(|i| late[i.index()]);
    }
    let is_late = |id: &NodeId| late[id.index()];
    let mut needed = vec![false; joint.len()];
    results.iter().flatten().filter(|id| is_late(id)).for_each(|id| needed[id.index()] = true);
    for id in joint.ids().rev().filter(|id| id.index() < joint.len()) {
        if needed[id.index()] {
            joint.node(id).inputs.iter().for_each(|i| needed[i.index()] = true);
        }
    }
    // Early nodes of the copy, in the graph itself.
    let mut early: Vec<Option<NodeId>> = vec![None; joint.len()];
    for id in joint.ids().filter(|id| !is_late(id)) {
        early[id.index()] = if id < unit {
            Some(id)
        } else if needed[id.index()] {
            let node = joint.node(id);
            let inputs: Vec<NodeId> =
                node.inputs.iter().map(|i| early[i.index()].expect("operands of early nodes are")).collect();
            Some(graph.must(node.op.clone(), &inputs))
        } else {
            None
        };
    }
    let steps = ty.elements();
    let mut step = Step::new(&joint, unit, ty);
    for id in joint.ids().filter(|id| is_late(id) && needed[id.index()] && *id != unit) {
        step.copy(id, &early);
    }
    let mut count = 0;
    for id in results.iter().flatten().filter(|id| is_late(id)) {
        let value = step.new[id.index()].expect("results are needed");
        step.body.set_output(&count.to_string(), value).expect("names are numbered");
        count += 1;
    }
    let numbers = Type::new(DType::I32, [steps]);
    let numbers = graph.must(op::Iota { ty: numbers, axis: 0 }, &[]);
    let operands = [&[numbers], &step.arguments[..]].concat();
    let scan = Scan {
        body: Body::new(step.body),
        length: steps,
        carried: 0,
        stepped: 1,
        reverse: false,
        recompute: false,
        result: 0,
    };
    let mut number = 0..count;
    Ok(results
        .iter()
        .map(|id| {
            id.filter(is_late)?;
            number.next().map(|i| graph.must(scan.of_result(i), &operands))
        })
        .collect())
}

/// A name that no input or state has.
fn fresh(graph: &Graph) -> String {
    let names = (0..).map(|i| format!("unit{i}"));
    names.into_iter().find(|n| graph.source(n).is_none()).expect("numbers do not end")
}

/// The body under construction.
struct Step<'a> {
    joint: &'a Graph,
    body: Graph,
    /// What the nodes of the copy are in the body.
    new: Vec<Option<NodeId>>,
    /// The operands of the scan behind the step's number.
    arguments: Vec<NodeId>,
}

impl<'a> Step<'a> {
    fn new(joint: &'a Graph, unit: NodeId, ty: Type) -> Step<'a> {
        let mut body = Graph::new();
        let number = body.input("step", Type::scalar(DType::I32)).expect("it is the first");
        let flat = Type::new(DType::I32, [ty.elements()]);
        let positions = body.must(op::Iota { ty: flat, axis: 0 }, &[]);
        let all = body.broadcast(number, flat.shape, &[]);
        let here = body.binary(Binary::Eq, positions, all);
        let one = body.convert(here, ty.dtype);
        let mut new = vec![None; joint.len()];
        new[unit.index()] = Some(body.reshape(one, ty.shape));
        Step { joint, body, new, arguments: vec![] }
    }

    fn copy(&mut self, id: NodeId, early: &[Option<NodeId>]) {
        let node = self.joint.node(id);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|&i| self.operand(i, early)).collect();
        self.body.set_location(node.location);
        self.new[id.index()] = Some(self.body.must(node.op.clone(), &inputs));
        self.body.set_location(None);
    }

    /// A late node as it was copied; an early one as a parameter, or anew if it is a constant or made of one.
    fn operand(&mut self, id: NodeId, early: &[Option<NodeId>]) -> NodeId {
        if let Some(done) = self.new[id.index()] {
            return done;
        }
        let node = self.joint.node(id);
        let made = match &node.op {
            Op::Constant(c) if c.value.ty().rank() == 0 => self.body.must(node.op.clone(), &[]),
            Op::Broadcast(_) if self.joint.ty(node.inputs[0]).rank() == 0 => {
                let scalar = self.operand(node.inputs[0], early);
                self.body.must(node.op.clone(), &[scalar])
            }
            op if op.name() == "iota" => self.body.must(node.op.clone(), &[]),
            _ => {
                let name = format!("same{}", self.arguments.len());
                self.arguments.push(early[id.index()].expect("it is early"));
                self.body.input(&name, node.ty).expect("names are numbered")
            }
        };
        self.new[id.index()] = Some(made);
        made
    }
}
