//! Models in parts: what is called on a value, and containers of such.

use crate::Value;

/// A part of a model: a plain struct that is called on a value and makes its parameters when it is.
///
/// ```
/// use bespoke_nn::{F32, Graph, Module, Value};
///
/// struct Perceptron {
///     hidden: usize,
///     classes: usize,
/// }
///
/// impl Module for Perceptron {
///     fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
///         x.dense(self.hidden).relu().dense(self.classes)
///     }
/// }
///
/// let g = Graph::new();
/// let x = g.input("x", F32, [4, 784]);
/// let logits = x.apply(&Perceptron { hidden: 32, classes: 10 });
/// assert_eq!(logits.ty().to_string(), "f32[4,10]");
/// ```
pub trait Module {
    /// The part's result for a value. Each call makes parameters of its own, unless in [`Graph::shared`](crate::Graph::shared).
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g>;
}

impl<M: Module + ?Sized> Module for Box<M> {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        (**self).forward(x)
    }
}

/// A closure as a module.
struct Closure<F>(F);

impl<F: for<'g> Fn(Value<'g>) -> Value<'g>> Module for Closure<F> {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        (self.0)(x)
    }
}

impl<'g> Value<'g> {
    /// What a module makes of it.
    #[track_caller]
    pub fn apply(self, module: &impl Module) -> Value<'g> {
        module.forward(self)
    }
}

/// Parts one after the other, each in a scope of its own if it has a name.
///
/// ```
/// use bespoke_nn::{Branches, Conv, F32, Graph, Residual, Sequential};
///
/// let block = Sequential::new()
///     .then(|x| x.conv2d(8, 3, Conv::new().padding(1)).relu())
///     .then(|x| x.conv2d(8, 3, Conv::new().padding(1)));
/// let net = Sequential::new()
///     .named("stem", |x| x.conv2d(8, 3, Conv::new().padding(1)).relu())
///     .with(Residual::new(block))
///     .then(|x| x.relu())
///     .with(Branches::new().then(|x| x.conv2d(4, 1, Conv::new())).then(|x| x.conv2d(2, 1, Conv::new())));
///
/// let g = Graph::new();
/// let y = g.input("x", F32, [1, 3, 9, 9]).apply(&net);
/// assert_eq!(y.ty().to_string(), "f32[1,6,9,9]");
/// assert_eq!(g.parameters()[0].name, "stem/conv2d0/weight");
/// ```
#[derive(Default)]
pub struct Sequential {
    parts: Vec<Part>,
}

/// A module and its scope.
struct Part {
    name: Option<String>,
    module: Box<dyn Module>,
}

impl Part {
    fn of(module: impl Module + 'static) -> Part {
        Part { name: None, module: Box::new(module) }
    }

    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        match &self.name {
            Some(name) => {
                x.graph.push_scope(name, false);
                let y = self.module.forward(x);
                x.graph.pop_scope();
                y
            }
            None => self.module.forward(x),
        }
    }
}

macro_rules! parts {
    ($container:ident, $what:literal) => {
        impl $container {
            /// An empty one.
            pub fn new() -> $container {
                $container::default()
            }

            #[doc = concat!("With one more ", $what, ", a closure.")]
            pub fn then(self, f: impl for<'g> Fn(Value<'g>) -> Value<'g> + 'static) -> $container {
                self.with(Closure(f))
            }

            #[doc = concat!("With one more ", $what, ", a closure whose parameters are in a scope.")]
            pub fn named(
                mut self,
                name: &str,
                f: impl for<'g> Fn(Value<'g>) -> Value<'g> + 'static,
            ) -> $container {
                self.parts.push(Part { name: Some(name.to_owned()), ..Part::of(Closure(f)) });
                self
            }

            #[doc = concat!("With one more ", $what, ".")]
            pub fn with(mut self, module: impl Module + 'static) -> $container {
                self.parts.push(Part::of(module));
                self
            }

            #[doc = concat!("With one more ", $what, " whose parameters are in a scope.")]
            pub fn with_named(mut self, name: &str, module: impl Module + 'static) -> $container {
                self.parts.push(Part { name: Some(name.to_owned()), ..Part::of(module) });
                self
            }

            /// The number of parts.
            pub fn len(&self) -> usize {
                self.parts.len()
            }

            /// Is it empty?
            pub fn is_empty(&self) -> bool {
                self.parts.is_empty()
            }
        }
    };
}

parts!(Sequential, "part");
parts!(Branches, "branch");

impl Module for Sequential {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let mut y = x;
        for part in &self.parts {
            y = part.forward(y);
        }
        y
    }
}

/// A part whose operand is added to its result (He et al. 2016), through a shortcut if their shapes differ.
pub struct Residual {
    body: Part,
    shortcut: Option<Part>,
}

impl Residual {
    /// x + body(x).
    pub fn new(body: impl Module + 'static) -> Residual {
        Residual { body: Part::of(body), shortcut: None }
    }

    /// shortcut(x) + body(x).
    pub fn shortcut(self, shortcut: impl Module + 'static) -> Residual {
        Residual { shortcut: Some(Part::of(shortcut)), ..self }
    }
}

impl Module for Residual {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let y = self.body.forward(x);
        let x = self.shortcut.as_ref().map_or(x, |s| s.forward(x));
        if x.id.is_some() && y.id.is_some() && x.shape() != y.shape() {
            return x.graph.refuse(format!("residual: the body gives {}, the shortcut {}", y.ty(), x.ty()));
        }
        x + y
    }
}

/// Parts side by side on one operand, their results joined along the features (axis 1).
#[derive(Default)]
pub struct Branches {
    parts: Vec<Part>,
}

impl Module for Branches {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let mut results = vec![];
        for part in &self.parts {
            results.push(part.forward(x));
        }
        match results.split_first() {
            Some((first, others)) => first.concatenate(others, 1),
            None => x.graph.refuse("branches: there is none".to_owned()),
        }
    }
}
