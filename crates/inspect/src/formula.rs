//! Graphs as formulas.

mod terms;

use bespoke_graph::{
    Graph, NodeId, Op, Operator,
    op::{Binary, Unary},
};
use bespoke_loops::Combine;
use bespoke_tensor::Scalar;

use terms::{Kind, Term, above};

/// What formulas are written for.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Text,
    Latex,
}

impl Style {
    fn pick<'a>(self, text: &'a str, latex: &'a str) -> &'a str {
        if self == Style::Text { text } else { latex }
    }

    /// A name in which digits below the line are those of [`digits_below`].
    fn name(self, name: &str) -> String {
        if self == Style::Text {
            return name.to_owned();
        }
        let start = name.trim_end_matches(|c| ('₀'..='₉').contains(&c));
        let below: String =
            name[start.len()..].chars().filter_map(|c| char::from_digit(c as u32 - '₀' as u32, 10)).collect();
        let start = match start {
            "δ" => r"\delta".to_owned(),
            "η" => r"\eta".to_owned(),
            _ if start.chars().count() == 1 || start.starts_with('\\') => start.to_owned(),
            _ => format!(r"\mathrm{{{}}}", start.replace('_', r"\_")),
        };
        if below.is_empty() { start } else { format!("{start}_{{{below}}}") }
    }

    /// The sign.
    fn minus(self) -> &'static str {
        self.pick("−", "-")
    }

    fn half(self) -> &'static str {
        self.pick("½", r"\tfrac{1}{2}")
    }

    /// Something within brackets that grow with it.
    fn within(self, open: &str, text: &str, close: &str) -> String {
        if self == Style::Text {
            format!("{open}{text}{close}")
        } else {
            format!(r"\left{open}{text}\right{close}")
        }
    }

    fn call(self, name: &str, operands: &str) -> String {
        const KNOWN: [&str; 10] = ["sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "max", "min"];
        let name = match self {
            Style::Text => name.to_owned(),
            Style::Latex if KNOWN.contains(&name) => format!(r"\{name}"),
            Style::Latex => format!(r"\operatorname{{{}}}", name.replace('_', r"\_")),
        };
        format!("{name}{}", self.within("(", operands, ")"))
    }
}

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
/// Shared values are called δ where they are differences, as the errors of the delta rule are, and s otherwise; squares and
/// negatives of names are written out. Terms and factors stand as people write them: what is added before what is taken away,
/// numbers before names before functions.
pub fn formulas(graph: &Graph) -> Vec<String> {
    written(graph, Style::Text)
}

/// [`formulas`] in LaTeX's mathematics, without dollar signs.
///
/// ```
/// use bespoke_graph::{Graph, op::Binary};
/// use bespoke_tensor::Type;
///
/// let mut g = Graph::new();
/// let x = g.input("x", "f64[]".parse::<Type>()?)?;
/// let one = g.fill_like(x, 1.0);
/// let sum = g.plus(x, one);
/// let y = g.binary(Binary::Div, x, sum);
/// g.set_output("y", y)?;
/// assert_eq!(bespoke_inspect::latex(&g), [r"y = \frac{x}{x + 1}"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn latex(graph: &Graph) -> Vec<String> {
    written(graph, Style::Latex)
}

/// So many operators are written in one formula, whatever they share.
const WHOLE: usize = 40;

/// One value as a formula, as in [`formulas`]. What a large one shares comes behind it: `s/Σs, where s = exp(x)`.
///
/// ```
/// use bespoke_graph::{Graph, op::Unary};
/// use bespoke_tensor::Type;
///
/// let mut g = Graph::new();
/// let x = g.input("x", "f64[3]".parse::<Type>()?)?;
/// let s = g.unary(Unary::Sigmoid, x);
/// let y = g.unary(Unary::Log, s);
/// assert_eq!(bespoke_inspect::formula(&g, y), "log(σ(x))");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn formula(graph: &Graph, value: NodeId) -> String {
    let mut operators = 0;
    let mut stack = vec![value];
    while let Some(id) = stack.pop().filter(|_| operators <= WHOLE) {
        operators += usize::from(!graph.node(id).inputs.is_empty());
        stack.extend(&graph.node(id).inputs);
    }
    if operators <= WHOLE {
        let printer = Printer { graph, style: Style::Text, names: vec![None; graph.len()] };
        return printer.text(value, Level::Sum);
    }
    let mut alone = graph.clone();
    alone.clear_outputs();
    graph.states().iter().for_each(|state| alone.replace_next(state.node, None));
    alone.set_output("", value).expect("it is the only output");
    let mut lines = formulas(&alone);
    let whole = lines.pop().unwrap_or_default();
    let whole = whole.trim_start_matches(" = ");
    if lines.is_empty() { whole.to_owned() } else { format!("{whole}, where {}", lines.join(", ")) }
}

fn written(graph: &Graph, style: Style) -> Vec<String> {
    let live = graph.live();
    let users = graph.users();
    let mut printer = Printer { graph, style, names: vec![None; graph.len()] };
    let (mut errors, mut shared) = (0, 0);
    let sources = graph.inputs().map(|i| i.0.to_owned()).chain(graph.states().iter().map(|s| s.name.clone()));
    let taken: Vec<String> = sources.map(|name| short(&name)).collect();
    let mut lines = vec![];
    for id in graph.ids().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        let name = match &node.op {
            Op::Input(input) => style.name(&short(&input.name)),
            Op::StateRead(state) => style.name(&short(&state.name)),
            // What is not written at all needs no name; neither does a constant.
            Op::Broadcast(_)
            | Op::Reshape(_)
            | Op::Convert(_)
            | Op::Constant(_)
            | Op::StopGradient(_)
            | Op::Barrier(_) => continue,
            _ if users[id.index()].iter().filter(|u| live[u.index()]).count() > 1 => {
                if printer.is_short(id) {
                    continue;
                }
                let text = printer.define(id).0;
                let difference = matches!(node.op, Op::Binary(Binary::Sub));
                let (letter, count) = if difference { ('δ', &mut errors) } else { ('s', &mut shared) };
                let free = (*count..).find(|&n| !taken.contains(&format!("{letter}{}", subscript(n))));
                let number = free.expect("names end somewhere");
                *count = number + 1;
                let name = style.name(&format!("{letter}{}", subscript(number)));
                lines.push(format!("{name} = {text}"));
                name
            }
            _ => continue,
        };
        printer.names[id.index()] = Some(name);
    }
    for (name, id) in graph.outputs() {
        lines.push(format!("{} = {}", style.name(name), printer.text(*id, Level::Sum)));
    }
    for state in graph.states() {
        if let Some(next) = state.next {
            let (name, next) = (style.name(&short(&state.name)), printer.text(next, Level::Sum));
            lines.push(format!("{name} {} {next}", style.pick("←", r"\leftarrow")));
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
    style: Style,
    names: Vec<Option<String>>,
}

impl Printer<'_> {
    /// The value's name or formula, in parentheses if it holds together less tightly than needed.
    fn text(&self, id: NodeId, least: Level) -> String {
        if let Some(name) = &self.names[id.index()] {
            return name.clone();
        }
        let (text, level) = self.define(id);
        if level < least { self.style.within("(", &text, ")") } else { text }
    }

    fn define(&self, id: NodeId) -> (String, Level) {
        let (node, style) = (self.graph.node(id), self.style);
        let operand = |i: usize, least| self.text(node.inputs[i], least);
        let call = |name: &str| {
            let operands: Vec<String> = (0..node.inputs.len()).map(|i| operand(i, Level::Sum)).collect();
            (style.call(name, &operands.join(", ")), Level::Atom)
        };
        match &node.op {
            Op::Input(input) => (style.name(&short(&input.name)), Level::Atom),
            Op::StateRead(state) => (style.name(&short(&state.name)), Level::Atom),
            Op::Constant(c) if c.value.ty().rank() == 0 => {
                let negative = c.value.get(0).to_f64().is_sign_negative();
                (number(c.value.get(0), style), if negative { Level::Prefix } else { Level::Atom })
            }
            Op::Broadcast(_) | Op::Reshape(_) | Op::Convert(_) | Op::StopGradient(_) | Op::Barrier(_) => {
                let input = node.inputs[0];
                match &self.names[input.index()] {
                    Some(name) => (name.clone(), Level::Atom),
                    None => self.define(input),
                }
            }
            Op::Unary(Unary::Neg) | Op::Binary(Binary::Add | Binary::Sub) => self.sum(id),
            Op::Unary(Unary::Rsqrt) | Op::Binary(Binary::Div) => self.fraction(id),
            Op::Unary(Unary::Log1p) => {
                let mut terms = vec![Term { negative: false, text: "1".to_owned(), kind: Kind::Number }];
                self.terms(node.inputs[0], false, &mut terms);
                (style.call("log", &self.total(terms)), Level::Atom)
            }
            Op::Unary(Unary::Expm1) => {
                let exp = match style {
                    Style::Text => style.call("exp", &operand(0, Level::Sum)),
                    Style::Latex => format!("e^{{{}}}", operand(0, Level::Sum)),
                };
                (format!("{exp} {} 1", style.minus()), Level::Sum)
            }
            Op::Unary(Unary::Abs) => (style.within("|", &operand(0, Level::Sum), "|"), Level::Atom),
            Op::Unary(Unary::Sqrt) if style == Style::Latex => {
                (format!(r"\sqrt{{{}}}", operand(0, Level::Sum)), Level::Atom)
            }
            Op::Unary(Unary::Sqrt) => (format!("√{}", operand(0, Level::Atom)), Level::Prefix),
            Op::Unary(Unary::Exp) if style == Style::Latex => {
                (format!("e^{{{}}}", operand(0, Level::Sum)), Level::Prefix)
            }
            Op::Unary(Unary::Sigmoid) => {
                let inner = style.within("(", &operand(0, Level::Sum), ")");
                (format!("{}{inner}", style.pick("σ", r"\sigma")), Level::Atom)
            }
            Op::Binary(Binary::Mul) if node.inputs[0] == node.inputs[1] => {
                (format!("{}{}", operand(0, Level::Atom), style.pick("²", "^2")), Level::Prefix)
            }
            Op::Binary(Binary::Pow) => {
                let (base, exponent) = (operand(0, Level::Atom), operand(1, Level::Sum));
                let text = match (style, self.digit(node.inputs[1])) {
                    (Style::Latex, Some(n)) => format!("{base}^{n}"),
                    (Style::Latex, None) => format!("{base}^{{{exponent}}}"),
                    (Style::Text, Some(n)) => format!("{base}{}", above(n)),
                    (Style::Text, None) => format!("{base}^{}", operand(1, Level::Atom)),
                };
                (text, Level::Prefix)
            }
            Op::Binary(Binary::Mul) => self.fraction(id),
            Op::Binary(f) => self.other(*f, &operand, call(node.op.name())),
            Op::Select(_) => {
                let [c, x, y] = [0, 1, 2].map(|i| operand(i, Level::Sum));
                let c = c.trim_start_matches(r"\left").trim_start_matches('[');
                let c = c.trim_end_matches(']').trim_end_matches(r"\right");
                match style {
                    Style::Text => (format!("({x} if {c} else {y})"), Level::Atom),
                    Style::Latex => {
                        let cases = format!(r"{x} & {c} \\ {y} & \text{{else}}");
                        (format!(r"\begin{{cases}}{cases}\end{{cases}}"), Level::Atom)
                    }
                }
            }
            Op::Reduce(reduce) => {
                let symbol = match reduce.combine {
                    Combine::Sum => style.pick("Σ", r"\sum "),
                    Combine::Product => style.pick("Π", r"\prod "),
                    Combine::Max => style.pick("max ", r"\max "),
                    Combine::Min => style.pick("min ", r"\min "),
                    Combine::Any => style.pick("any ", r"\operatorname{any} "),
                    _ => style.pick("all ", r"\operatorname{all} "),
                };
                (format!("{symbol}{}", operand(0, Level::Prefix)), Level::Prefix)
            }
            Op::Transpose(_) => {
                (format!("{}{}", operand(0, Level::Atom), style.pick("ᵀ", r"^\top")), Level::Atom)
            }
            Op::Dot(dot) if dot.batch.0.is_empty() && dot.contract.0.len() == 1 => {
                let side = |i: usize, turned: bool| {
                    let rank = self.graph.ty(node.inputs[i]).rank();
                    let turned = if turned && rank == 2 { style.pick("ᵀ", r"^\top") } else { "" };
                    format!("{}{turned}", operand(i, Level::Atom))
                };
                let (left, right) = (side(0, dot.contract.0[0] == 0), side(1, dot.contract.1[0] == 1));
                (format!("{left}{}{right}", style.pick(" ", r" \, ")), Level::Product)
            }
            Op::Gather(_) => {
                let position = style.within("[", &operand(1, Level::Sum), "]");
                (format!("{}{position}", operand(0, Level::Atom)), Level::Atom)
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
            Binary::Ne => self.style.pick("≠", r"\neq"),
            Binary::Lt => "<",
            Binary::Le => self.style.pick("≤", r"\leq"),
            Binary::Gt => ">",
            Binary::Ge => self.style.pick("≥", r"\geq"),
            _ => return call,
        };
        let compared = format!("{} {symbol} {}", operand(0, Level::Sum), operand(1, Level::Sum));
        (self.style.within("[", &compared, "]"), Level::Atom)
    }

    /// What is written in a value's place: views and conversions are not.
    fn seen(&self, mut id: NodeId) -> NodeId {
        while self.names[id.index()].is_none()
            && matches!(
                self.graph.node(id).op,
                Op::Broadcast(_) | Op::Reshape(_) | Op::Convert(_) | Op::StopGradient(_) | Op::Barrier(_)
            )
        {
            id = self.graph.node(id).inputs[0];
        }
        id
    }

    /// The operator that is written in a value's place; none of what has a name.
    fn op(&self, id: NodeId) -> Option<&Op> {
        self.names[id.index()].is_none().then(|| &self.graph.node(id).op)
    }

    /// Is it the square or the negative of a name, which is as short as another name?
    fn is_short(&self, id: NodeId) -> bool {
        let node = self.graph.node(id);
        let named = |i: usize| self.names[node.inputs[i].index()].is_some();
        match node.op {
            Op::Unary(Unary::Neg) => named(0),
            Op::Binary(Binary::Mul) => node.inputs[0] == node.inputs[1] && named(0),
            Op::Binary(Binary::Pow) => named(0) && self.digit(node.inputs[1]).is_some(),
            _ => false,
        }
    }

    /// The value of a constant from 2 to 9.
    fn digit(&self, id: NodeId) -> Option<usize> {
        let value = self.graph.number(id)?;
        (2..=9).find(|&n| n as f64 == value)
    }
}

/// ½ for a half, else digits.
fn number(value: Scalar, style: Style) -> String {
    match value.to_f64() {
        0.5 => style.half().to_owned(),
        -0.5 => format!("{}{}", style.minus(), style.half()),
        v if v < 0.0 => format!("{}{}", style.minus(), value.to_string().trim_start_matches('-')),
        _ => value.to_string(),
    }
}
