//! Sums and products as people write them: terms in one line with their signs, factors above and below a line.

use bespoke_graph::{
    NodeId, Op,
    op::{Binary, Unary},
};

use super::{Level, Printer, Style};

impl Printer<'_> {
    /// A sum of terms with their signs.
    pub fn sum(&self, id: NodeId) -> (String, Level) {
        let mut terms = vec![];
        self.terms(id, false, &mut terms);
        (self.total(terms), Level::Sum)
    }

    /// Terms as people write them: what is added before what is taken away, names after what is longer. Beside powers and
    /// products of what is added a number is the last, as in x² + 1; else it is the first, as in 1 + exp(x).
    pub fn total(&self, mut terms: Vec<Term>) -> String {
        let simple = terms.iter().all(|t| !t.negative && t.kind != Kind::Function);
        terms.sort_by_key(|t| match t.kind {
            Kind::Number if t.negative || simple => 3,
            Kind::Number => 0,
            Kind::Product | Kind::Function => 1,
            Kind::Name => 2,
        });
        if let Some(positive) = terms.iter().position(|t| !t.negative) {
            terms[..=positive].rotate_right(1);
        }
        let mut text = String::new();
        for (i, term) in terms.iter().enumerate() {
            let sign = if term.negative { self.style.minus() } else { "+" };
            text += &match (i, term.negative) {
                (0, false) => term.text.clone(),
                (0, true) => format!("{sign}{}", term.text),
                _ => format!(" {sign} {}", term.text),
            };
        }
        text
    }

    /// What a value is in a term or factor.
    fn kind(&self, id: NodeId) -> Kind {
        match self.op(id) {
            Some(Op::Constant(_)) => Kind::Number,
            None | Some(Op::Input(_) | Op::StateRead(_)) => Kind::Name,
            Some(Op::Binary(Binary::Mul | Binary::Pow) | Op::Dot(_)) => Kind::Product,
            _ => Kind::Function,
        }
    }

    /// The terms of a sum, and of the sums in it that have no name.
    pub fn terms(&self, id: NodeId, negative: bool, terms: &mut Vec<Term>) {
        let id = self.seen(id);
        let inputs = &self.graph.node(id).inputs;
        match self.op(id) {
            Some(Op::Binary(Binary::Add)) => inputs.iter().for_each(|&x| self.terms(x, negative, terms)),
            Some(Op::Binary(Binary::Sub)) => {
                self.terms(inputs[0], negative, terms);
                self.terms(inputs[1], !negative, terms);
            }
            Some(Op::Unary(Unary::Neg)) => self.terms(inputs[0], !negative, terms),
            op => {
                let kind = self.kind(id);
                let (text, level) =
                    if op.is_none() { (self.text(id, Level::Sum), Level::Atom) } else { self.define(id) };
                match text.strip_prefix(self.style.minus()) {
                    Some(text) => terms.push(Term { negative: !negative, text: text.to_owned(), kind }),
                    None if level < Level::Product => {
                        terms.push(Term { negative, text: self.style.within("(", &text, ")"), kind });
                    }
                    None => terms.push(Term { negative, text, kind }),
                }
            }
        }
    }

    /// A product or quotient: all factors above one line, or below it.
    pub fn fraction(&self, id: NodeId) -> (String, Level) {
        let mut parts = Fraction::default();
        self.factors(id, false, &mut parts);
        let style = self.style;
        let [mut above, mut below] = parts.sides.map(|side| self.join(side));
        if style == Style::Latex && !below.is_empty() && above.first().is_some_and(|f| f == style.half()) {
            above.remove(0);
            below.insert(0, "2".to_owned());
        }
        // A line holds together what is above or below it.
        let side = |factors: &[String]| match factors {
            [] => "1".to_owned(),
            [one] if style == Style::Latex && !below.is_empty() => {
                let inner = one.strip_prefix(r"\left(").and_then(|f| f.strip_suffix(r"\right)"));
                inner.unwrap_or(one).to_owned()
            }
            _ => factors.join(style.pick("·", r" \, ")),
        };
        let text = match (&below[..], style) {
            ([], _) => side(&above),
            (_, Style::Latex) => format!(r"\frac{{{}}}{{{}}}", side(&above), side(&below)),
            ([one], Style::Text) => format!("{}/{one}", side(&above)),
            (_, Style::Text) => format!("{}/({})", side(&above), side(&below)),
        };
        if parts.negative { (format!("{}{text}", style.minus()), Level::Sum) } else { (text, Level::Product) }
    }

    /// The factors of a product or quotient, and of those in it that have no name.
    fn factors(&self, id: NodeId, turned: bool, parts: &mut Fraction) {
        let id = self.seen(id);
        let inputs = &self.graph.node(id).inputs;
        match self.op(id) {
            Some(Op::Binary(Binary::Mul)) if inputs[0] != inputs[1] => {
                inputs.iter().for_each(|&x| self.factors(x, turned, parts));
            }
            Some(Op::Binary(Binary::Div)) => {
                self.factors(inputs[0], turned, parts);
                self.factors(inputs[1], !turned, parts);
            }
            Some(Op::Unary(Unary::Neg)) => {
                parts.negative = !parts.negative;
                self.factors(inputs[0], turned, parts);
            }
            Some(Op::Unary(Unary::Rsqrt)) => {
                let root = match self.style {
                    Style::Text => format!("√{}", self.text(inputs[0], Level::Atom)),
                    Style::Latex => format!(r"\sqrt{{{}}}", self.text(inputs[0], Level::Sum)),
                };
                parts.sides[usize::from(!turned)].push((Kind::Function, root));
            }
            _ => {
                // The square of a name stands with names.
                let kind =
                    if self.op(id).is_some() && self.is_short(id) { Kind::Name } else { self.kind(id) };
                let text = self.text(id, if kind == Kind::Number { Level::Sum } else { Level::Prefix });
                let side = &mut parts.sides[usize::from(turned)];
                match text.strip_prefix(self.style.minus()) {
                    Some(text) if kind == Kind::Number => {
                        parts.negative = !parts.negative;
                        side.extend((text != "1").then(|| (kind, text.to_owned())));
                    }
                    _ if kind == Kind::Number && text == "1" => {}
                    _ => side.push((kind, text)),
                }
            }
        }
    }

    /// Factors as people write them: numbers, the learning rate, errors and what is shared, variables by the alphabet, the
    /// rest as it comes. A name that comes several times is written as a power.
    fn join(&self, mut factors: Vec<(Kind, String)>) -> Vec<String> {
        let rank = |(kind, text): &(Kind, String)| match kind {
            Kind::Number => (0, String::new()),
            Kind::Name if text == "η" || text == r"\eta" => (1, String::new()),
            Kind::Name if text.starts_with('δ') || text.starts_with(r"\delta") => (2, String::new()),
            Kind::Name if is_shared(text) => (3, String::new()),
            Kind::Name => (4, text.clone()),
            Kind::Product | Kind::Function => (5, String::new()),
        };
        factors.sort_by_key(rank);
        let mut joined: Vec<String> = vec![];
        while !factors.is_empty() {
            let (kind, text) = factors.remove(0);
            let before = factors.len();
            if kind == Kind::Name {
                factors.retain(|f| f.1 != text);
            }
            let times = 1 + before - factors.len();
            joined.push(match (times, self.style) {
                (1, _) => text,
                (2..=9, Style::Text) => format!("{text}{}", above(times)),
                (2..=9, Style::Latex) => format!("{text}^{times}"),
                _ => format!("{text}^{{{times}}}"),
            });
        }
        joined
    }
}

/// What stands where a term or factor does.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// A constant.
    Number,
    /// A source or a shared value.
    Name,
    /// A product or power.
    Product,
    /// Anything else.
    Function,
}

/// A term of a sum.
pub struct Term {
    /// Is it taken away?
    pub negative: bool,
    /// Without its sign.
    pub text: String,
    /// What it is.
    pub kind: Kind,
}

/// Factors above and below a line.
#[derive(Default)]
struct Fraction {
    negative: bool,
    sides: [Vec<(Kind, String)>; 2],
}

/// Is it a name of a shared value: s with digits below the line?
fn is_shared(text: &str) -> bool {
    text.strip_prefix('s').is_some_and(|rest| {
        rest.is_empty() || rest.starts_with('_') || rest.chars().all(|c| ('₀'..='₉').contains(&c))
    })
}

/// A digit above the line.
pub fn above(digit: usize) -> char {
    "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(digit).unwrap_or('?')
}
