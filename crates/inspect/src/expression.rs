//! Formulas as people type them, to graphs.

use bespoke_graph::{
    Graph, NodeId, Operator,
    op::{Binary, Unary},
};
use bespoke_tensor::{DType, Type};

/// A text is no formula.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct ExpressionError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What was expected and what came.
    pub message: String,
}

/// How deep parentheses, calls, signs and powers may lie within each other.
const DEEPEST: usize = 200;

/// Reads a formula of scalars: numbers, variables, `pi`, `+ - * / ^`, parentheses, and functions, which have the names of operators (`exp`, `log`,
/// `tanh`, `sigmoid`, `softplus`, `erf`, `abs`, `sqrt`, … and `max(a, b)`, `min(a, b)`), also `ln` and `relu`. `^` holds together
/// most tightly and from the right; a minus before a power is of the whole power. Variables become inputs `f64[]` of the graph, in the order in which
/// they are met.
///
/// ```
/// use bespoke_graph::{Graph, eval};
/// use bespoke_tensor::Tensor;
///
/// let mut g = Graph::new();
/// let y = bespoke_inspect::parse_expression(&mut g, "2*x^2 - 3/(x + 1)")?;
/// g.set_output("y", y)?;
/// let values = eval(&g, &|_| Some(Tensor::scalar(2.0f64)))?;
/// assert_eq!(values.outputs["y"], Tensor::scalar(7.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ExpressionError`] at the first place that is wrong.
pub fn parse_expression(graph: &mut Graph, text: &str) -> Result<NodeId, ExpressionError> {
    let mut reader = Reader { graph, text: text.chars().collect(), at: 0, depth: 0 };
    let value = reader.sum()?;
    match reader.peek() {
        None => Ok(value),
        Some(c) => Err(reader.error(format!("expected an operator or the end, got `{c}`"))),
    }
}

const SCALAR: DType = DType::F64;

struct Reader<'a> {
    graph: &'a mut Graph,
    text: Vec<char>,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn error(&self, message: String) -> ExpressionError {
        ExpressionError { column: self.at + 1, message }
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        while self.text.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, wanted: &[char]) -> Option<char> {
        let found = self.peek().filter(|c| wanted.contains(c));
        self.at += usize::from(found.is_some());
        found
    }

    fn sum(&mut self) -> Result<NodeId, ExpressionError> {
        let mut left = self.product()?;
        while let Some(sign) = self.take(&['+', '-', '−']) {
            let right = self.product()?;
            left = if sign == '+' { self.graph.plus(left, right) } else { self.graph.minus(left, right) };
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<NodeId, ExpressionError> {
        let mut left = self.signed()?;
        while let Some(sign) = self.take(&['*', '·', '/']) {
            let right = self.signed()?;
            let function = if sign == '/' { Binary::Div } else { Binary::Mul };
            left = self.graph.binary(function, left, right);
        }
        Ok(left)
    }

    /// All that lies within something else goes through here.
    fn signed(&mut self) -> Result<NodeId, ExpressionError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(format!("more than {DEEPEST} levels within each other")));
        }
        let value = match self.take(&['-', '−']) {
            Some(_) => {
                let value = self.signed()?;
                self.graph.negate(value)
            }
            None => self.power()?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn power(&mut self) -> Result<NodeId, ExpressionError> {
        let base = self.atom()?;
        if self.take(&['^']).is_none() {
            return Ok(base);
        }
        let exponent = self.signed()?;
        Ok(self.graph.binary(Binary::Pow, base, exponent))
    }

    fn atom(&mut self) -> Result<NodeId, ExpressionError> {
        match self.peek() {
            Some('(') => {
                self.at += 1;
                let value = self.sum()?;
                self.close()?;
                Ok(value)
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            Some(c) if c.is_alphabetic() || c == '_' => self.name(),
            Some(c) => Err(self.error(format!("expected a number, a name or `(`, got `{c}`"))),
            None => Err(self.error("expected a number, a name or `(`, got the end".to_owned())),
        }
    }

    fn close(&mut self) -> Result<(), ExpressionError> {
        if self.take(&[')']).is_some() {
            return Ok(());
        }
        let got = self.peek().map_or("the end".to_owned(), |c| format!("`{c}`"));
        Err(self.error(format!("expected `)`, got {got}")))
    }

    fn number(&mut self) -> Result<NodeId, ExpressionError> {
        let start = self.at;
        let digits = |reader: &mut Self| {
            while reader.text.get(reader.at).is_some_and(|c| c.is_ascii_digit() || *c == '.') {
                reader.at += 1;
            }
        };
        digits(self);
        // An exponent, if digits follow: `2e` is 2 times nothing, and a mistake.
        if self.text.get(self.at).is_some_and(|c| "eE".contains(*c)) {
            let signed = usize::from(self.text.get(self.at + 1).is_some_and(|c| "+-".contains(*c)));
            if self.text.get(self.at + 1 + signed).is_some_and(char::is_ascii_digit) {
                self.at += 1 + signed;
                digits(self);
            }
        }
        let text: String = self.text[start..self.at].iter().collect();
        match text.parse::<f64>() {
            Ok(value) => Ok(self.graph.fill(Type::scalar(SCALAR), value)),
            Err(_) => {
                self.at = start;
                Err(self.error(format!("`{text}` is no number")))
            }
        }
    }

    fn name(&mut self) -> Result<NodeId, ExpressionError> {
        let start = self.at;
        while self.text.get(self.at).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
            self.at += 1;
        }
        let name: String = self.text[start..self.at].iter().collect();
        if self.take(&['(']).is_some() {
            return self.call(&name, start);
        }
        match (name.as_str(), self.graph.source(&name)) {
            ("pi" | "π", _) => Ok(self.graph.fill(Type::scalar(SCALAR), std::f64::consts::PI)),
            (_, Some(known)) => Ok(known),
            _ => Ok(self.graph.input(&name, Type::scalar(SCALAR)).expect("the name is new")),
        }
    }

    fn call(&mut self, name: &str, start: usize) -> Result<NodeId, ExpressionError> {
        let mut operands = vec![self.sum()?];
        while self.take(&[',']).is_some() {
            operands.push(self.sum()?);
        }
        self.close()?;
        let of_floats = |ty: Result<Type, String>| ty.is_ok_and(|ty| ty.dtype == SCALAR);
        let scalar = Type::scalar(SCALAR);
        let found = match operands[..] {
            [x] if name == "relu" => {
                let zero = self.graph.fill(scalar, 0.0);
                Some(self.graph.binary(Binary::Max, x, zero))
            }
            [x] => {
                let name = if name == "ln" { "log" } else { name };
                let known = Unary::ALL.iter().find(|f| f.name() == name && of_floats(f.infer(&[scalar])));
                known.map(|f| self.graph.unary(*f, x))
            }
            [x, y] => {
                let known = Binary::ALL.iter().find(|f| f.name() == name && of_floats(f.infer(&[scalar; 2])));
                known.map(|f| self.graph.binary(*f, x, y))
            }
            _ => None,
        };
        found.ok_or_else(|| {
            self.at = start;
            let plural = if operands.len() == 1 { "" } else { "s" };
            self.error(format!("there is no function `{name}` of {} value{plural}", operands.len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use bespoke_graph::eval;
    use bespoke_tensor::Tensor;

    use super::*;

    /// The value where every variable is 3.
    fn value(text: &str) -> f64 {
        let mut g = Graph::new();
        let y = parse_expression(&mut g, text).unwrap_or_else(|e| panic!("{text}: {e}"));
        g.set_output("y", y).unwrap();
        eval(&g, &|_| Some(Tensor::scalar(3.0f64))).unwrap().outputs["y"].get(0).to_f64()
    }

    #[test]
    fn operators_hold_together_as_people_read_them() {
        for (text, expected) in [
            ("1 + 2*3^2 - 4/2/2", 18.0),
            ("2^3^2", 512.0),
            ("-2^2", -4.0),
            ("2^-1", 0.5),
            ("2*-x", -6.0),
            ("(1 + 2)*x", 9.0),
            ("8 − 3 − 2", 3.0),
            ("1.5e2 + .5", 150.5),
            ("max(x, 2) + min(x, 2)", 5.0),
            ("ln(exp(2)) + relu(-x) + relu(x)", 5.0),
            ("cos(pi)", -1.0),
            ("x_1·x", 9.0),
        ] {
            assert!((value(text) - expected).abs() < 1e-12, "{text}: {}", value(text));
        }
    }

    #[test]
    fn the_first_place_that_is_wrong_is_named() {
        for (text, message) in [
            ("", "column 1: expected a number, a name or `(`, got the end"),
            ("1 +", "column 4: expected a number, a name or `(`, got the end"),
            ("2 x", "column 3: expected an operator or the end, got `x`"),
            ("(x", "column 3: expected `)`, got the end"),
            ("exp x", "column 5: expected an operator or the end, got `x`"),
            ("1.2.3", "column 1: `1.2.3` is no number"),
            ("foo(x)", "column 1: there is no function `foo` of 1 value"),
            ("x + not(x)", "column 5: there is no function `not` of 1 value"),
            ("exp(x, y)", "column 1: there is no function `exp` of 2 values"),
            ("lt(x, y)", "column 1: there is no function `lt` of 2 values"),
            ("2 $ 3", "column 3: expected an operator or the end, got `$`"),
        ] {
            let error = parse_expression(&mut Graph::new(), text).unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
        }
        for deep in ["(".repeat(5000), "-".repeat(5000), "2^".repeat(5000), "exp(".repeat(5000)] {
            let error = parse_expression(&mut Graph::new(), &deep).unwrap_err();
            assert!(error.message.contains("more than 200 levels"), "{error}");
        }
    }
}
