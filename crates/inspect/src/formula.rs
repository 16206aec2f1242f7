//! Graphs as formulas.

use bespoke_graph::{
    Graph, NodeId, Op, Operator,
    op::{Binary, Unary},
};
use bespoke_loops::Combine;
use bespoke_tensor::Scalar;

/// How tightly a formula holds together.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Level {
    Sum,
    Product,
    Prefix,
    Atom,
}

/// A formula for each output (`loss = …`) and each next state (`w ← …`), before them the values that several share. The
/// last part of a scoped name stands for it; a learning rate is η; what is broadcast or reshaped is written as it is; `x w`
/// is a matrix product, ᵀ a transposed matrix, `·` and `/` work element by element.
///
/// Shared values are called δ where they are differences, as the errors of the delta rule are, and s otherwise.
pub fn formulas(graph: &Graph) -> Vec<String> {
    let live = graph.live();
    let users = graph.users();
    let mut printer = Printer { graph, names: vec![None; graph.len()] };
    let (mut errors, mut shared) = (0, 0);
    let mut lines = vec![];
    for id in graph.ids().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        let name = match &node.op {
            Op::Input(input) => short(&input.name),
            Op::StateRead(state) => short(&state.name),
            // What is not written at all needs no name; neither does a constant.
            Op::Broadcast(_)
            | Op::Reshape(_)
            | Op::Convert(_)
            | Op::Constant(_)
            | Op::StopGradient(_)
            | Op::Barrier(_) => continue,
            _ if users[id.index()].iter().filter(|u| live[u.index()]).count() > 1 => {
                let text = printer.define(id).0;
                let difference = matches!(node.op, Op::Binary(Binary::Sub));
                let (letter, count) = if difference { ('δ', &mut errors) } else { ('s', &mut shared) };
                let name = format!("{letter}{}", subscript(*count));
                *count += 1;
                lines.push(format!("{name} = {text}"));
                name
            }
            _ => continue,
        };
        printer.names[id.index()] = Some(name);
    }
    for (name, id) in graph.outputs() {
        lines.push(format!("{name} = {}", printer.text(*id, Level::Sum)));
    }
    for state in graph.states() {
        if let Some(next) = state.next {
            lines.push(format!("{} ← {}", short(&state.name), printer.text(next, Level::Sum)));
        }
    }
    lines
}

/// `dense0/weight` is `weight₀`, `sgd/learning_rate` is η, `sgd/dense0/weight/momentum` is `momentum(weight₀)`.
fn short(name: &str) -> String {
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        [_, "learning_rate"] => "η".to_owned(),
        [_, ref inner @ .., slot] if parts.len() > 2 => format!("{slot}({})", short(&inner.join("/"))),
        [scope, last] => {
            let digits: String = scope.chars().skip_while(|c| !c.is_ascii_digit()).collect();
            match digits.parse::<usize>() {
                Ok(n) => format!("{last}{}", digits_below(n)),
                Err(_) => last.to_owned(),
            }
        }
        _ => name.to_owned(),
    }
}

fn digits_below(n: usize) -> String {
    n.to_string().chars().map(|c| char::from_u32('₀' as u32 + c as u32 - '0' as u32).unwrap_or(c)).collect()
}

/// Nothing for the first, then ₁, ₂, …
fn subscript(n: usize) -> String {
    if n == 0 { String::new() } else { digits_below(n) }
}

struct Printer<'a> {
    graph: &'a Graph,
    names: Vec<Option<String>>,
}

impl Printer<'_> {
    /// The value's name or formula, in parentheses if it holds together less tightly than needed.
    fn text(&self, id: NodeId, least: Level) -> String {
        if let Some(name) = &self.names[id.index()] {
            return name.clone();
        }
        let (text, level) = self.define(id);
        if level < least { format!("({text})") } else { text }
    }

    fn define(&self, id: NodeId) -> (String, Level) {
        let node = self.graph.node(id);
        let operand = |i: usize, least| self.text(node.inputs[i], least);
        let call = |name: &str| {
            let operands: Vec<String> = (0..node.inputs.len()).map(|i| operand(i, Level::Sum)).collect();
            (format!("{name}({})", operands.join(", ")), Level::Atom)
        };
        match &node.op {
            Op::Input(input) => (short(&input.name), Level::Atom),
            Op::StateRead(state) => (short(&state.name), Level::Atom),
            Op::Constant(c) if c.value.ty().rank() == 0 => {
                let negative = c.value.get(0).to_f64().is_sign_negative();
                (number(c.value.get(0)), if negative { Level::Prefix } else { Level::Atom })
            }
            Op::Broadcast(_) | Op::Reshape(_) | Op::Convert(_) | Op::StopGradient(_) | Op::Barrier(_) => {
                let input = node.inputs[0];
                match &self.names[input.index()] {
                    Some(name) => (name.clone(), Level::Atom),
                    None => self.define(input),
                }
            }
            Op::Unary(Unary::Neg) => (format!("−{}", operand(0, Level::Product)), Level::Product),
            Op::Unary(Unary::Abs) => (format!("|{}|", operand(0, Level::Sum)), Level::Atom),
            Op::Unary(Unary::Sqrt) => (format!("√{}", operand(0, Level::Atom)), Level::Prefix),
            Op::Unary(Unary::Sigmoid) => (format!("σ({})", operand(0, Level::Sum)), Level::Atom),
            Op::Binary(Binary::Mul) if node.inputs[0] == node.inputs[1] => {
                (format!("{}²", operand(0, Level::Atom)), Level::Prefix)
            }
            Op::Binary(Binary::Mul) => {
                let mut factors = vec![];
                self.factors(id, &mut factors);
                // As people write them: numbers, the learning rate, errors, the rest as it comes.
                factors.sort_by_key(|f: &String| match f.chars().next() {
                    Some('0'..='9' | '½' | '−') => 0,
                    Some('η') => 1,
                    Some('δ' | 's') if f.chars().nth(1).is_none_or(|c| ('₀'..='₉').contains(&c)) => 2,
                    _ => 3,
                });
                (factors.join("·"), Level::Product)
            }
            Op::Binary(f) => {
                // The right operand of a difference or quotient must hold together more tightly.
                let (symbol, level, right) = match f {
                    Binary::Add => ("+", Level::Sum, Level::Sum),
                    Binary::Sub => ("−", Level::Sum, Level::Product),
                    Binary::Div => ("/", Level::Product, Level::Prefix),
                    _ => return self.other(*f, &operand, call(node.op.name())),
                };
                let space = if level == Level::Sum { " " } else { "" };
                (format!("{}{space}{symbol}{space}{}", operand(0, level), operand(1, right)), level)
            }
            Op::Reduce(reduce) => {
                let symbol = match reduce.combine {
                    Combine::Sum => "Σ",
                    Combine::Product => "Π",
                    Combine::Max => "max ",
                    Combine::Min => "min ",
                    Combine::Any => "any ",
                    _ => "all ",
                };
                (format!("{symbol}{}", operand(0, Level::Prefix)), Level::Prefix)
            }
            Op::Transpose(_) => (format!("{}ᵀ", operand(0, Level::Atom)), Level::Atom),
            Op::Dot(dot) if dot.batch.0.is_empty() && dot.contract.0.len() == 1 => {
                let side = |i: usize, turned: bool| {
                    let rank = self.graph.ty(node.inputs[i]).rank();
                    format!("{}{}", operand(i, Level::Atom), if turned && rank == 2 { "ᵀ" } else { "" })
                };
                let (left, right) = (side(0, dot.contract.0[0] == 0), side(1, dot.contract.1[0] == 1));
                (format!("{left} {right}"), Level::Product)
            }
            Op::Gather(_) => {
                (format!("{}[{}]", operand(0, Level::Atom), operand(1, Level::Sum)), Level::Atom)
            }
            Op::Scan(scan) => (format!("{}[{}]", call("scan").0, scan.result), Level::Atom),
            op => call(op.name()),
        }
    }

    fn other(
        &self,
        f: Binary,
        operand: &dyn Fn(usize, Level) -> String,
        call: (String, Level),
    ) -> (String, Level) {
        let symbol = match f {
            Binary::Eq => "=",
            Binary::Ne => "≠",
            Binary::Lt => "<",
            Binary::Le => "≤",
            Binary::Gt => ">",
            Binary::Ge => "≥",
            _ => return call,
        };
        (format!("[{} {symbol} {}]", operand(0, Level::Sum), operand(1, Level::Sum)), Level::Atom)
    }

    /// The factors of a product, and of the products in it that have no name.
    fn factors(&self, id: NodeId, factors: &mut Vec<String>) {
        let node = self.graph.node(id);
        for &input in &node.inputs {
            let mut inner = input;
            while self.names[inner.index()].is_none()
                && matches!(self.graph.node(inner).op, Op::Broadcast(_) | Op::Reshape(_) | Op::Convert(_))
            {
                inner = self.graph.node(inner).inputs[0];
            }
            let nested = &self.graph.node(inner);
            let product =
                matches!(nested.op, Op::Binary(Binary::Mul)) && nested.inputs[0] != nested.inputs[1];
            if product && self.names[inner.index()].is_none() {
                self.factors(inner, factors);
            } else {
                factors.push(self.text(input, Level::Prefix));
            }
        }
    }
}

/// ½ for a half, else digits.
fn number(value: Scalar) -> String {
    match value.to_f64() {
        0.5 => "½".to_owned(),
        v if v < 0.0 => format!("−{}", value.to_string().trim_start_matches('-')),
        _ => value.to_string(),
    }
}
