//! `scan`: a loop with a body graph.

use std::collections::BTreeMap;

use bespoke_loops::ExprId;
use bespoke_tensor::{Tensor, Type};

use super::{Define, Operator, shape};
use crate::{Attribute, Attributes, Body, Graph, NodeId, attributes::Reader, eval};

/// Runs `body` `length` times, one step after the other: carried values go from step to step, each step takes its slices
/// of the stepped operands and gives slices of the results.
///
/// ```text
/// for t in 0..length (from the last to the first if reverse):
///     carry, out[t] = body(carry, stepped[t], invariant)
/// ```
///
/// Operands, and inputs of the body in the order they were added: `carried` values; `stepped` arrays, of which the body
/// gets the slice at step t, without the leading axis; then values that stay the same.
/// Outputs of the body: the next carried values; then what each step gives.
/// Result: number `result` of the last carried values and, behind them, the step's outputs of all steps, with a new
/// leading axis. A scan of several results is several nodes that differ in `result` alone; they run as one loop.
///
/// Constraints: the body has no states; its inputs are of the operands' types (of the slices' types if stepped); the next
/// carried values are of the types of the carried values; the leading axis of stepped operands is `length`.
///
/// Derivatives: the gradient is a scan in the other direction. What it needs of each step is stacked by this one, or, with
/// `recompute`, only the carried values are, and each step runs again (Griewank & Walther, *Evaluating Derivatives*, 2008,
/// ch. 12).
///
/// Example: `%3 = scan %0, %1, %2 {body=@0, length=16, carried=1, stepped=1, result=0} : f32[128]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scan {
    /// One step.
    pub body: Body,
    /// The number of steps.
    pub length: usize,
    /// The number of carried values.
    pub carried: usize,
    /// The number of operands that are taken slice by slice.
    pub stepped: usize,
    /// Do steps run from the last to the first?
    pub reverse: bool,
    /// Does a gradient run each step again rather than keep what it computed?
    pub recompute: bool,
    /// Which result this node is.
    pub result: usize,
}

impl Scan {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["scan"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<Scan, String>> {
        (name == "scan").then(|| {
            Ok(Scan {
                body: attributes.body("body")?,
                length: attributes.size("length")?,
                carried: attributes.size_or_zero("carried")?,
                stepped: attributes.size_or_zero("stepped")?,
                reverse: attributes.size_or_zero("reverse")? != 0,
                recompute: attributes.size_or_zero("recompute")? != 0,
                result: attributes.size_or_zero("result")?,
            })
        })
    }

    /// The same scan, of another result.
    pub fn of_result(&self, result: usize) -> Scan {
        Scan { result, ..self.clone() }
    }

    /// Is it the same loop, whichever results the two nodes are?
    pub fn is_sibling(&self, other: &Scan) -> bool {
        self.of_result(0) == other.of_result(0)
    }

    /// The type of the body's input for an operand.
    fn body_type(&self, operand: usize, ty: Type) -> Result<Type, String> {
        if operand < self.carried || operand >= self.carried + self.stepped {
            return Ok(ty);
        }
        if ty.rank() == 0 || ty.shape[0] != self.length {
            return Err(format!("expected a leading axis of {} steps, got {ty}", self.length));
        }
        Ok(Type::new(ty.dtype, shape(&ty.shape[1..])?))
    }

    /// The type of a result: carried, or stacked of all steps.
    fn result_type(&self, result: usize) -> Result<Type, String> {
        let outputs = self.body.outputs();
        let Some((_, id)) = outputs.get(result) else {
            return Err(format!("result {result} of a body with {} outputs", outputs.len()));
        };
        let ty = self.body.ty(*id);
        if result < self.carried {
            return Ok(ty);
        }
        Ok(Type::new(ty.dtype, shape(&[&[self.length], &ty.shape[..]].concat())?))
    }

    /// All results.
    pub(crate) fn run(&self, inputs: &[&Tensor]) -> Vec<Tensor> {
        let names: Vec<&str> = self.body.inputs().map(|i| i.0).collect();
        let mut carry: Vec<Tensor> = inputs[..self.carried].iter().map(|&t| t.clone()).collect();
        let count = self.body.outputs().len();
        let mut slices: Vec<Vec<Tensor>> = vec![vec![]; count - self.carried];
        for t in 0..self.length {
            let t = if self.reverse { self.length - 1 - t } else { t };
            let mut sources: BTreeMap<&str, Tensor> = BTreeMap::new();
            for (i, &name) in names.iter().enumerate() {
                let value = match i {
                    i if i < self.carried => carry[i].clone(),
                    i if i < self.carried + self.stepped => slice(inputs[i], t),
                    i => inputs[i].clone(),
                };
                sources.insert(name, value);
            }
            let mut values = eval(&self.body, &|name| sources.get(name).cloned()).expect("types were checked");
            let mut output = |i: usize| {
                values.outputs.remove(&self.body.outputs()[i].0).expect("every output has a value")
            };
            carry = (0..self.carried).map(&mut output).collect();
            slices.iter_mut().enumerate().for_each(|(i, all)| all.push(output(self.carried + i)));
        }
        let stacked = slices.into_iter().enumerate().map(|(i, mut all)| {
            if self.reverse {
                all.reverse();
            }
            let ty = self.result_type(self.carried + i).expect("types were checked");
            let each = ty.elements() / self.length.max(1);
            Tensor::from_fn(ty, |at| all[at / each].get(at % each))
        });
        carry.into_iter().chain(stacked).collect()
    }
}

/// What a stepped operand is at a step.
fn slice(stacked: &Tensor, step: usize) -> Tensor {
    let ty = Type::new(stacked.ty().dtype, shape(&stacked.shape()[1..]).expect("smaller than the whole"));
    let start = step * ty.elements();
    Tensor::from_fn(ty, |i| stacked.get(start + i))
}

impl Operator for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::default().with("body", Attribute::Body(self.body.clone()));
        attributes = attributes.with("length", Attribute::Int(self.length as i64));
        for (key, value) in [
            ("carried", self.carried),
            ("stepped", self.stepped),
            ("reverse", usize::from(self.reverse)),
            ("recompute", usize::from(self.recompute)),
            ("result", self.result),
        ] {
            if value != 0 {
                attributes = attributes.with(key, Attribute::Int(value as i64));
            }
        }
        attributes
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        if !self.body.states().is_empty() {
            return Err("the body of a scan has no states; carry their values".to_owned());
        }
        let parameters: Vec<(&str, NodeId)> = self.body.inputs().collect();
        if parameters.len() != inputs.len() {
            return Err(format!("the body has {} inputs, got {} operands", parameters.len(), inputs.len()));
        }
        if self.carried.checked_add(self.stepped).is_none_or(|n| n > inputs.len()) {
            let (carried, stepped) = (self.carried, self.stepped);
            return Err(format!("{carried} carried and {stepped} stepped of {} operands", inputs.len()));
        }
        if self.carried > self.body.outputs().len() {
            let outputs = self.body.outputs().len();
            return Err(format!("{} values are carried, but the body has {outputs} outputs", self.carried));
        }
        for (i, (&ty, (name, id))) in inputs.iter().zip(parameters).enumerate() {
            let (expected, got) = (self.body.ty(id), self.body_type(i, ty)?);
            if expected != got {
                return Err(format!("the body's input `{name}` is {expected}, operand {i} gives it {got}"));
            }
            if i < self.carried && self.result_type(i)? != expected {
                let next = self.result_type(i)?;
                return Err(format!("`{name}` is carried as {expected}, the body's next value is {next}"));
            }
        }
        self.result_type(self.result)
    }

    fn eval(&self, inputs: &[&Tensor], _: Type) -> Tensor {
        self.run(inputs).swap_remove(self.result)
    }

    fn vjp(&self, _: &mut Graph, _: NodeId, _: NodeId) -> Vec<Option<NodeId>> {
        unreachable!("a scan is differentiated with all its results at once")
    }

    fn jvp(&self, _: &mut Graph, _: NodeId, _: &[Option<NodeId>]) -> Option<NodeId> {
        unreachable!("a scan is differentiated with all its results at once")
    }

    fn define(&self, _: &mut dyn Define, _: &[ExprId]) -> ExprId {
        unreachable!("scans are launches of their own")
    }
}
