//! Attributes of operators as text: `{axes=[0,1], contract=[1]x[0]}`.

use std::fmt;

use crate::Body;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// `3`
    Int(i64),
    /// `[0,1]`
    Ints(Vec<i64>),
    /// `[1]x[0]`: dimensions of the left and of the right operand.
    Pair(Vec<i64>, Vec<i64>),
    /// A number or truth value, as the element type of the result reads it.
    Scalar(String),
    /// `(1, 2.5, nan)`: elements in row-major order.
    Scalars(Vec<String>),
    /// `"name"`
    Name(String),
    /// `@0`: a graph printed before the nodes.
    Body(Body),
}

/// The attributes of one node, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(pub Vec<(&'static str, Attribute)>);

impl Attributes {
    /// With one more attribute.
    pub fn with(mut self, key: &'static str, value: Attribute) -> Attributes {
        self.0.push((key, value));
        self
    }

    /// The graphs among them.
    pub fn bodies(&self) -> impl Iterator<Item = &Body> {
        self.0.iter().filter_map(|a| match &a.1 {
            Attribute::Body(body) => Some(body),
            _ => None,
        })
    }

    /// With a list of dimensions.
    pub fn with_dims(self, key: &'static str, dims: &[usize]) -> Attributes {
        self.with(key, Attribute::Ints(dims.iter().map(|&d| d as i64).collect()))
    }
}

fn list(values: &[i64]) -> String {
    let texts: Vec<_> = values.iter().map(i64::to_string).collect();
    format!("[{}]", texts.join(","))
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Int(v) => write!(f, "{v}"),
            Attribute::Ints(v) => f.write_str(&list(v)),
            Attribute::Pair(l, r) => write!(f, "{}x{}", list(l), list(r)),
            Attribute::Scalar(v) => f.write_str(v),
            Attribute::Scalars(v) => write!(f, "({})", v.join(", ")),
            Attribute::Name(v) => write!(f, "{v:?}"),
            // Its number is known to the graph that prints it.
            Attribute::Body(_) => f.write_str("@"),
        }
    }
}

/// Attributes as read from a text, to be taken one by one.
#[derive(Debug, Default)]
pub struct Reader {
    /// What has not been taken yet.
    pub rest: Vec<(String, Attribute)>,
}

impl Reader {
    fn take(&mut self, key: &str) -> Option<Attribute> {
        let i = self.rest.iter().position(|a| a.0 == key)?;
        Some(self.rest.remove(i).1)
    }

    fn need(&mut self, key: &str) -> Result<Attribute, String> {
        self.take(key).ok_or_else(|| format!("the attribute `{key}` is missing"))
    }

    /// A dimension number or count.
    pub fn size(&mut self, key: &str) -> Result<usize, String> {
        match self.need(key)? {
            Attribute::Int(v) if v >= 0 => Ok(v as usize),
            other => Err(format!("`{key}`: expected a number of at least 0, got {other}")),
        }
    }

    /// A count that is 0 when it is not there.
    pub fn size_or_zero(&mut self, key: &str) -> Result<usize, String> {
        if self.rest.iter().any(|a| a.0 == key) { self.size(key) } else { Ok(0) }
    }

    /// A list of dimension numbers or extents.
    pub fn sizes(&mut self, key: &str) -> Result<Vec<usize>, String> {
        match self.need(key)? {
            Attribute::Ints(v) if v.iter().all(|&d| d >= 0) => Ok(v.iter().map(|&d| d as usize).collect()),
            other => Err(format!("`{key}`: expected a list such as [0,1], got {other}")),
        }
    }

    /// A pair of lists of dimension numbers; empty lists when it is not there.
    pub fn pair(&mut self, key: &str) -> Result<(Vec<usize>, Vec<usize>), String> {
        let dims = |v: Vec<i64>| v.iter().map(|&d| d as usize).collect();
        match self.take(key) {
            None => Ok((vec![], vec![])),
            Some(Attribute::Pair(l, r)) if l.iter().chain(&r).all(|&d| d >= 0) => Ok((dims(l), dims(r))),
            Some(other) => Err(format!("`{key}`: expected a pair of lists such as [1]x[0], got {other}")),
        }
    }

    /// A pair of lists of numbers.
    pub fn signed_pair(&mut self, key: &str) -> Result<(Vec<i64>, Vec<i64>), String> {
        match self.need(key)? {
            Attribute::Pair(l, r) => Ok((l, r)),
            other => Err(format!("`{key}`: expected a pair of lists such as [1]x[-1], got {other}")),
        }
    }

    /// A quoted name.
    pub fn name(&mut self, key: &str) -> Result<String, String> {
        match self.need(key)? {
            Attribute::Name(v) => Ok(v),
            other => Err(format!("`{key}`: expected a quoted name, got {other}")),
        }
    }

    /// A graph.
    pub fn body(&mut self, key: &str) -> Result<Body, String> {
        match self.need(key)? {
            Attribute::Body(v) => Ok(v),
            other => Err(format!("`{key}`: expected a graph such as @0, got {other}")),
        }
    }

    /// A graph, if it is there.
    pub fn body_or_none(&mut self, key: &str) -> Result<Option<Body>, String> {
        if self.rest.iter().any(|a| a.0 == key) { self.body(key).map(Some) } else { Ok(None) }
    }

    /// Any attribute, as it was read.
    pub fn any(&mut self, key: &str) -> Result<Attribute, String> {
        self.need(key)
    }
}
