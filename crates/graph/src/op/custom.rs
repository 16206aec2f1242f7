//! `custom`: a named composition with derivatives of its own.

use bespoke_loops::ExprId;
use bespoke_tensor::{Tensor, Type};

use super::{Define, Operator, tangent};
use crate::{Attribute, Attributes, Body, Graph, NodeId, attributes::Reader, eval};

/// What `body` computes, under a name, with derivatives that are said rather than found.
///
/// Operands are the inputs of `body`, in the order they were added; the result is its only output. The rules are graphs
/// too:
/// - `vjp` takes the operands, the value and its cotangent, and gives cotangents of operands as outputs named by their
///   positions: "0", "1", …. An operand without output has the derivative zero.
/// - `jvp` takes the operands, the value and a tangent for each operand of floats, and gives the value's tangent.
///
/// A rule that is not given is derived: `jvp` by differentiating `vjp` by its cotangent, `vjp` by differentiating `jvp` by
/// its tangents (a rule that is not linear in them is taken at zero), and without either the body is differentiated.
///
/// Constraints: 1. bodies have no states; 2. operands are of the types of the body's inputs, which has one output;
/// 3. inputs of the rules are as above; 4. outputs of `vjp` have the types of their operands, of floats; 5. the output of
/// `jvp` has the type of the result.
///
/// Example: `%1 = custom %0 {name="round", body=@0, vjp=@1} : f32[3]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Custom {
    /// What it is called in reports.
    pub name: String,
    /// What it computes.
    pub body: Body,
    /// The cotangents of its operands.
    pub vjp: Option<Body>,
    /// The tangent of its value.
    pub jvp: Option<Body>,
}

impl Custom {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["custom"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<Custom, String>> {
        (name == "custom").then(|| {
            Ok(Custom {
                name: attributes.name("name")?,
                body: attributes.body("body")?,
                vjp: attributes.body_or_none("vjp")?,
                jvp: attributes.body_or_none("jvp")?,
            })
        })
    }

    /// The operand whose cotangent an output of the vjp rule is.
    fn operand_of(output: &str) -> Option<usize> {
        output.parse().ok().filter(|i: &usize| i.to_string() == output)
    }

    fn check_vjp(&self, rule: &Graph, operands: &[Type], ty: Type) -> Result<(), String> {
        let wanted = [operands, &[ty, ty]].concat();
        check_inputs("vjp", "the operands, the value and its cotangent", rule, &wanted)?;
        for (output, id) in rule.outputs() {
            let Some(&operand) = Custom::operand_of(output).and_then(|i| operands.get(i)) else {
                let count = operands.len();
                return Err(format!(
                    "vjp: the output \"{output}\" names none of {count} operands: \"0\", \"1\", …"
                ));
            };
            if rule.ty(*id) != operand || !operand.dtype.is_float() {
                let got = rule.ty(*id);
                return Err(format!("vjp: operand {output} is {operand}, its cotangent {got}"));
            }
        }
        Ok(())
    }

    fn check_jvp(&self, rule: &Graph, operands: &[Type], ty: Type) -> Result<(), String> {
        let moving = operands.iter().copied().filter(|t| t.dtype.is_float());
        let wanted: Vec<Type> = operands.iter().copied().chain([ty]).chain(moving).collect();
        check_inputs("jvp", "the operands, the value and a tangent of each float operand", rule, &wanted)?;
        let got = one_output("jvp", rule)?;
        if got != ty || !ty.dtype.is_float() {
            return Err(format!("jvp: the value is {ty}, its tangent {got}"));
        }
        Ok(())
    }
}

/// The type of the only output.
fn one_output(what: &str, graph: &Graph) -> Result<Type, String> {
    match graph.outputs() {
        [(_, id)] => Ok(graph.ty(*id)),
        outputs => Err(format!("{what}: expected one output, got {}", outputs.len())),
    }
}

fn check_inputs(what: &str, which: &str, graph: &Graph, wanted: &[Type]) -> Result<(), String> {
    if let Some(state) = graph.states().first() {
        return Err(format!("{what}: a body has no states, this one has `{}`", state.name));
    }
    let got: Vec<Type> = graph.inputs().map(|i| graph.ty(i.1)).collect();
    if got != wanted {
        let list = |types: &[Type]| types.iter().map(Type::to_string).collect::<Vec<_>>().join(", ");
        return Err(format!("{what}: expected inputs ({}), {which}; got ({})", list(wanted), list(&got)));
    }
    Ok(())
}

impl Operator for Custom {
    fn name(&self) -> &'static str {
        "custom"
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::default()
            .with("name", Attribute::Name(self.name.clone()))
            .with("body", Attribute::Body(self.body.clone()));
        for (key, rule) in [("vjp", &self.vjp), ("jvp", &self.jvp)] {
            if let Some(rule) = rule {
                attributes = attributes.with(key, Attribute::Body(rule.clone()));
            }
        }
        attributes
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        check_inputs("body", "the operands", &self.body, inputs)?;
        let ty = one_output("body", &self.body)?;
        if let Some(rule) = &self.vjp {
            self.check_vjp(rule, inputs, ty)?;
        }
        if let Some(rule) = &self.jvp {
            self.check_jvp(rule, inputs, ty)?;
        }
        Ok(ty)
    }

    fn eval(&self, inputs: &[&Tensor], _: Type) -> Tensor {
        let names: Vec<&str> = self.body.inputs().map(|i| i.0).collect();
        let source = |name: &str| {
            let i = names.iter().position(|n| *n == name)?;
            Some(inputs[i].clone())
        };
        let values = eval(&self.body, &source).expect("the operands are of the inputs' types");
        values.outputs.into_values().next().expect("a body has one output")
    }

    /// From the `vjp` rule; without one autodiff derives it first.
    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let operands = graph.node(node).inputs.to_vec();
        let mut cotangents = vec![None; operands.len()];
        let rule = self.vjp.as_ref().expect("rules are derived before");
        let found = graph.import(rule, &[&operands[..], &[node, cotangent]].concat());
        for ((output, _), id) in rule.outputs().iter().zip(found) {
            cotangents[Custom::operand_of(output).expect("outputs were checked")] = Some(id);
        }
        cotangents
    }

    /// From the `jvp` rule; without one autodiff derives it first.
    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let mut operands = graph.node(node).inputs.to_vec();
        let moving: Vec<NodeId> = operands
            .iter()
            .zip(tangents)
            .filter(|(o, _)| graph.ty(**o).dtype.is_float())
            .map(|(&o, &t)| (o, t))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|(o, t)| tangent(graph, t, o))
            .collect();
        operands.push(node);
        operands.extend(moving);
        let rule = self.jvp.as_ref().expect("rules are derived before");
        Some(graph.import(rule, &operands)[0])
    }

    fn define(&self, _: &mut dyn Define, _: &[ExprId]) -> ExprId {
        unreachable!("customs are replaced by their bodies before lowering")
    }
}
