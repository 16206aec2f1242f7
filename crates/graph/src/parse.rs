//! Reading the text form of graphs.

use bespoke_tensor::Type;
use rustc_hash::FxHashMap;

use crate::{Attribute, Body, Graph, NodeId, Op, ParseError, attributes::Reader};

/// Bodies within bodies at most.
const MAX_DEPTH: usize = 16;

/// Reads what a graph prints. Node numbers may be any distinct ones, lines that are empty or start with `//` are
/// skipped, and result types are checked against inference.
///
/// # Errors
/// [`ParseError`] with the place and what was expected.
pub fn parse(text: &str) -> Result<Graph, ParseError> {
    let mut lines = Lines { lines: text.lines().enumerate(), last: text.lines().count() + 1 };
    let mut cursor = lines.next().ok_or_else(|| lines.end("`graph {`"))?;
    cursor.word("graph")?;
    cursor.token("{")?;
    cursor.finish()?;
    let graph = block(&mut lines, 0)?;
    match lines.next() {
        Some(cursor) => Err(cursor.expected("the end of the text")),
        None => Ok(graph),
    }
}

/// The lines that are not empty.
struct Lines<'a> {
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
    /// The number of the line after all.
    last: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<Cursor<'a>> {
        self.lines.by_ref().find_map(|(number, line)| {
            let mut cursor = Cursor { line, number: number + 1, at: 0 };
            cursor.skip();
            (!cursor.at_end()).then_some(cursor)
        })
    }

    fn end(&self, expected: &str) -> ParseError {
        Cursor { line: "", number: self.last, at: 0 }.expected(expected)
    }
}

/// What stands between the braces of a graph or body, and the closing one.
fn block(lines: &mut Lines<'_>, depth: usize) -> Result<Graph, ParseError> {
    let mut graph = Graph::new();
    let mut names = FxHashMap::default();
    let mut bodies: FxHashMap<u32, Body> = FxHashMap::default();
    loop {
        let mut cursor = lines.next().ok_or_else(|| lines.end("`}`"))?;
        if cursor.next_is('}') {
            cursor.token("}")?;
            cursor.finish()?;
            return Ok(graph);
        } else if cursor.next_is('%') {
            node(&mut graph, &mut names, &bodies, &mut cursor)?;
        } else if cursor.rest().starts_with("output") {
            cursor.word("output")?;
            let (name, at) = (cursor.name()?, cursor.at);
            cursor.token("=")?;
            let value = reference(&names, &mut cursor)?;
            graph.set_output(&name, value).map_err(|e| cursor.error(at, e.to_string()))?;
        } else if cursor.rest().starts_with("body") {
            cursor.word("body")?;
            let at = cursor.at;
            let number = cursor.number('@', "a body's number")?;
            cursor.token("{")?;
            cursor.finish()?;
            if depth == MAX_DEPTH {
                return Err(cursor.error(at, format!("bodies are nested more than {MAX_DEPTH} deep")));
            }
            let body = block(lines, depth + 1)?;
            if !body.states().is_empty() {
                return Err(cursor.error(at, "a body has no states".to_owned()));
            }
            if bodies.insert(number, Body::new(body)).is_some() {
                return Err(cursor.error(at, format!("@{number} is defined twice")));
            }
            continue;
        } else {
            cursor.word("next")?;
            let (name, at) = (cursor.name()?, cursor.at);
            cursor.token("=")?;
            let value = reference(&names, &mut cursor)?;
            let state = graph.states().iter().find(|s| s.name == name).map(|s| s.node);
            let state = state.ok_or_else(|| cursor.error(at, format!("there is no state `{name}`")))?;
            graph.set_next(state, value).map_err(|e| cursor.error(at, e.to_string()))?;
        }
        cursor.finish()?;
    }
}

/// `%3 = dot %1, %2 {contract=[1]x[0]} : f32[2,2]`
fn node(
    graph: &mut Graph,
    names: &mut FxHashMap<u32, NodeId>,
    bodies: &FxHashMap<u32, Body>,
    cursor: &mut Cursor<'_>,
) -> Result<(), ParseError> {
    let start = cursor.at;
    let number = cursor.node_number()?;
    cursor.token("=")?;
    cursor.skip();
    let operator_at = cursor.at;
    let operator = cursor.identifier("an operator's name")?.to_owned();
    let mut inputs = vec![];
    while cursor.next_is('%') || (!inputs.is_empty() && cursor.next_is(',')) {
        if !inputs.is_empty() {
            cursor.token(",")?;
        }
        inputs.push(reference(names, cursor)?);
    }
    let mut attributes = Reader::default();
    if cursor.next_is('{') {
        cursor.token("{")?;
        while !cursor.next_is('}') {
            if !attributes.rest.is_empty() {
                cursor.token(",")?;
            }
            let key = cursor.identifier("an attribute's name")?.to_owned();
            cursor.token("=")?;
            cursor.skip();
            let at = cursor.at;
            let value = if cursor.next_is('@') {
                let number = cursor.number('@', "a body's number")?;
                let body = bodies.get(&number).cloned();
                Attribute::Body(body.ok_or_else(|| cursor.error(at, format!("there is no body @{number}")))?)
            } else {
                cursor.attribute()?
            };
            attributes.rest.push((key, value));
        }
        cursor.token("}")?;
    }
    cursor.token(":")?;
    cursor.skip();
    let type_at = cursor.at;
    let end = cursor.rest().find("//").unwrap_or(cursor.rest().len());
    let ty: Type = cursor.rest()[..end].trim().parse().map_err(|e| cursor.error(type_at, format!("{e}")))?;
    cursor.at += end;
    let op = Op::read(&operator, &mut attributes, ty)
        .ok_or_else(|| cursor.error(operator_at, format!("there is no operator `{operator}`")))?
        .map_err(|e| cursor.error(operator_at, format!("{operator}: {e}")))?;
    if let Some((key, _)) = attributes.rest.first() {
        return Err(cursor.error(operator_at, format!("{operator} has no attribute `{key}`")));
    }
    let id = match &op {
        Op::Input(input) => graph.input(&input.name, input.ty),
        Op::StateRead(state) => graph.state(&state.name, state.ty),
        _ => graph.add(op, &inputs),
    };
    let id = id.map_err(|e| cursor.error(operator_at, e.to_string()))?;
    if graph.ty(id) != ty {
        return Err(cursor.error(type_at, format!("the result of {operator} is {}, got {ty}", graph.ty(id))));
    }
    if names.insert(number, id).is_some() {
        return Err(cursor.error(start, format!("%{number} is defined twice")));
    }
    Ok(())
}

fn reference(names: &FxHashMap<u32, NodeId>, cursor: &mut Cursor<'_>) -> Result<NodeId, ParseError> {
    cursor.skip();
    let at = cursor.at;
    let number = cursor.node_number()?;
    names
        .get(&number)
        .copied()
        .ok_or_else(|| cursor.error(at, format!("%{number} is not defined before its use")))
}

/// A position in a line.
struct Cursor<'a> {
    line: &'a str,
    number: usize,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.line[self.at..]
    }

    fn skip(&mut self) {
        self.at = self.line.len() - self.rest().trim_start().len();
    }

    /// Is nothing left but a comment?
    fn at_end(&self) -> bool {
        let rest = self.rest().trim_start();
        rest.is_empty() || rest.starts_with("//")
    }

    fn finish(&mut self) -> Result<(), ParseError> {
        self.skip();
        if self.at_end() { Ok(()) } else { Err(self.expected("the end of the line")) }
    }

    fn next_is(&mut self, c: char) -> bool {
        self.skip();
        self.rest().starts_with(c)
    }

    fn error(&self, at: usize, message: String) -> ParseError {
        ParseError { line: self.number, column: self.line[..at].chars().count() + 1, message }
    }

    fn expected(&self, what: &str) -> ParseError {
        let got = match self.rest().split_whitespace().next() {
            Some(token) => format!("`{token}`"),
            None => "the end of the line".to_owned(),
        };
        self.error(self.at, format!("expected {what}, got {got}"))
    }

    fn token(&mut self, token: &str) -> Result<(), ParseError> {
        self.skip();
        if !self.rest().starts_with(token) {
            return Err(self.expected(&format!("`{token}`")));
        }
        self.at += token.len();
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), ParseError> {
        self.skip();
        let before = self.at;
        match self.identifier(&format!("`{word}`")) {
            Ok(got) if got == word => Ok(()),
            Ok(_) => {
                self.at = before;
                Err(self.expected(&format!("`{word}`")))
            }
            Err(e) => Err(e),
        }
    }

    fn identifier(&mut self, what: &str) -> Result<&'a str, ParseError> {
        self.skip();
        let end =
            self.rest().find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest().len());
        if end == 0 {
            return Err(self.expected(what));
        }
        let word = &self.rest()[..end];
        self.at += end;
        Ok(word)
    }

    fn node_number(&mut self) -> Result<u32, ParseError> {
        self.number('%', "a node's number")
    }

    /// A sign and digits.
    fn number(&mut self, sign: char, what: &str) -> Result<u32, ParseError> {
        self.token(&sign.to_string())?;
        let at = self.at;
        let digits = self.identifier(what)?;
        digits.parse().map_err(|_| self.error(at, format!("expected {what}, got `{digits}`")))
    }

    /// A quoted name with Rust's escapes.
    fn name(&mut self) -> Result<String, ParseError> {
        self.skip();
        if !self.rest().starts_with('"') {
            return Err(self.expected("a quoted name"));
        }
        let mut escaped = false;
        let end = self.rest().char_indices().skip(1).find(|&(_, c)| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some((end, _)) = end else {
            return Err(self.error(self.at, "the name has no closing quote".to_owned()));
        };
        let inner = &self.rest()[1..end];
        let name =
            unescape(inner).ok_or_else(|| self.error(self.at, format!("bad escape in \"{inner}\"")))?;
        self.at += end + 1;
        Ok(name)
    }

    fn attribute(&mut self) -> Result<Attribute, ParseError> {
        self.skip();
        if self.next_is('"') {
            return Ok(Attribute::Name(self.name()?));
        }
        if self.next_is('[') {
            let left = self.ints()?;
            if !self.next_is('x') {
                return Ok(Attribute::Ints(left));
            }
            self.token("x")?;
            return Ok(Attribute::Pair(left, self.ints()?));
        }
        if self.next_is('(') {
            self.token("(")?;
            let mut values = vec![];
            while !self.next_is(')') {
                if !values.is_empty() {
                    self.token(",")?;
                }
                values.push(self.scalar()?.to_owned());
            }
            self.token(")")?;
            return Ok(Attribute::Scalars(values));
        }
        let text = self.scalar()?;
        Ok(text.parse().map_or_else(|_| Attribute::Scalar(text.to_owned()), Attribute::Int))
    }

    fn ints(&mut self) -> Result<Vec<i64>, ParseError> {
        self.token("[")?;
        let mut values = vec![];
        while !self.next_is(']') {
            if !values.is_empty() {
                self.token(",")?;
            }
            self.skip();
            let at = self.at;
            let text = self.scalar()?;
            values.push(
                text.parse().map_err(|_| self.error(at, format!("expected an integer, got `{text}`")))?,
            );
        }
        self.token("]")?;
        Ok(values)
    }

    fn scalar(&mut self) -> Result<&'a str, ParseError> {
        self.skip();
        let end = self.rest().find([',', ')', ']', '}', ' ']).unwrap_or(self.rest().len());
        if end == 0 {
            return Err(self.expected("a value"));
        }
        let text = &self.rest()[..end];
        self.at += end;
        Ok(text)
    }
}

/// Undoes what `{:?}` does to a string.
fn unescape(text: &str) -> Option<String> {
    let mut result = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        result.push(match chars.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            '0' => '\0',
            'u' => {
                let inner: String = chars.by_ref().skip(1).take_while(|&c| c != '}').collect();
                char::from_u32(u32::from_str_radix(&inner, 16).ok()?)?
            }
            other => other,
        });
    }
    Some(result)
}
