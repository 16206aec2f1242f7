//! Compositions with derivatives of their own.

use std::panic::Location;

use bespoke_graph::{Body, op};
use bespoke_tensor::Type;

use crate::{BuildError, Graph, Value};

/// A composition under construction, see [`Graph::custom`].
#[must_use = "it becomes a value by `finish`"]
pub struct Custom<'g> {
    graph: &'g Graph,
    operands: Vec<Value<'g>>,
    /// The operator so far; none after a mistake.
    operator: Option<op::Custom>,
    location: &'static Location<'static>,
}

impl Graph {
    /// A composition that reports call `name`, and whose derivatives may be said rather than found. Closures build small
    /// graphs of their own from the values they get; they must not use values from around.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [3]);
    /// // The sigmoid, with a gradient that does not vanish far from zero.
    /// let y = g
    ///     .custom("leaky sigmoid", &[x], |x| x[0].sigmoid())
    ///     .with_vjp(|_, y, c| vec![Some(c * (y * (1.0 - y) + 0.01))])
    ///     .finish();
    /// let dx = g.grad(y.sum(), &[x])[0];
    /// assert_eq!(dx.ty().to_string(), "f32[3]");
    /// assert!(g.finish().is_ok());
    /// ```
    ///
    /// The derivative of `body` itself is used as long as no rule is given; one rule is enough for both reverse and forward
    /// mode (see [`op::Custom`]).
    #[track_caller]
    pub fn custom<'g>(
        &'g self,
        name: &str,
        operands: &[Value<'g>],
        body: impl for<'b> FnOnce(&[Value<'b>]) -> Value<'b>,
    ) -> Custom<'g> {
        let location = Location::caller();
        let types: Vec<Type> = operands.iter().map(|o| o.ty()).collect();
        let mut custom = Custom { graph: self, operands: operands.to_vec(), operator: None, location };
        // Of values that came of a mistake nothing is known.
        if operands.iter().all(|o| o.id.is_some()) {
            let made = make(&types, |values| vec![("value".to_owned(), body(values))]);
            custom.operator = custom.keep(&format!("custom `{name}`"), made).map(|body| op::Custom {
                name: name.to_owned(),
                body,
                vjp: None,
                jvp: None,
            });
        }
        custom
    }
}

impl<'g> Custom<'g> {
    /// The gradient: from the operands, the value and its cotangent, the cotangent of each operand; `None` where it is zero
    /// or the operand is not of floats.
    pub fn with_vjp(
        mut self,
        rule: impl for<'b> FnOnce(&[Value<'b>], Value<'b>, Value<'b>) -> Vec<Option<Value<'b>>>,
    ) -> Custom<'g> {
        let Some((types, ty)) = self.types() else { return self };
        let count = types.len();
        let made = make(&[&types[..], &[ty, ty]].concat(), |values| {
            let cotangents = rule(&values[..count], values[count], values[count + 1]);
            let named = cotangents.into_iter().enumerate();
            named.filter_map(|(i, c)| Some((i.to_string(), c?))).collect()
        });
        let rule = self.keep("with_vjp", made);
        self.operator = self.operator.zip(rule).map(|(op, rule)| op::Custom { vjp: Some(rule), ..op });
        self
    }

    /// The tangent: from the operands, the value and a tangent for each operand of floats, that of the value.
    pub fn with_jvp(
        mut self,
        rule: impl for<'b> FnOnce(&[Value<'b>], Value<'b>, &[Value<'b>]) -> Value<'b>,
    ) -> Custom<'g> {
        let Some((types, ty)) = self.types() else { return self };
        let count = types.len();
        let floats = types.iter().copied().filter(|t| t.dtype.is_float());
        let all: Vec<Type> = types.iter().copied().chain([ty]).chain(floats).collect();
        let made = make(&all, |values| {
            let tangent = rule(&values[..count], values[count], &values[count + 1..]);
            vec![("tangent".to_owned(), tangent)]
        });
        let rule = self.keep("with_jvp", made);
        self.operator = self.operator.zip(rule).map(|(op, rule)| op::Custom { jvp: Some(rule), ..op });
        self
    }

    /// The value.
    #[track_caller]
    pub fn finish(self) -> Value<'g> {
        match self.operator {
            Some(operator) => self.graph.apply("custom", operator.into(), &self.operands),
            None => self.graph.spoiled(),
        }
    }

    /// The operands' types and the value's.
    fn types(&self) -> Option<(Vec<Type>, Type)> {
        let body = &self.operator.as_ref()?.body;
        let ty = body.ty(body.outputs().first()?.1);
        Some((body.inputs().map(|i| body.ty(i.1)).collect(), ty))
    }

    fn keep(&self, what: &str, made: Result<Body, BuildError>) -> Option<Body> {
        made.map_err(|error| {
            let location = error.location.or(Some(self.location));
            self.graph.fail(BuildError { location, message: format!("{what}: {}", error.message) });
        })
        .ok()
    }
}

/// A body with inputs of these types and the outputs that `f` makes of them.
fn make(
    types: &[Type],
    f: impl for<'b> FnOnce(&[Value<'b>]) -> Vec<(String, Value<'b>)>,
) -> Result<Body, BuildError> {
    let g = Graph::new();
    let values: Vec<Value<'_>> =
        types.iter().enumerate().map(|(i, ty)| g.input(&format!("x{i}"), ty.dtype, ty.shape)).collect();
    for (name, value) in f(&values) {
        g.output(&name, value);
    }
    g.finish().map(Body::new)
}

/// Values with another derivative than their own.
impl<'g> Value<'g> {
    /// `f` of the value, with the gradient of the identity: for functions that only jump, such as `sign` or `round` (Bengio,
    /// Léonard & Courville, *Estimating or propagating gradients through stochastic neurons*, 2013). The result has the
    /// value's type.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [3]);
    /// let bits = x.straight_through(|x| x.sign());
    /// let dx = g.grad((bits * bits).sum(), &[x])[0]; // 2 · sign(x)
    /// assert!(g.finish().is_ok());
    /// ```
    #[track_caller]
    pub fn straight_through(self, f: impl for<'b> FnOnce(Value<'b>) -> Value<'b>) -> Value<'g> {
        let custom = self.graph.custom("straight_through", &[self], |x| f(x[0]));
        custom.with_vjp(|_, _, c| vec![Some(c)]).finish()
    }

    /// Itself, with gradients limited to ±`limit`, element by element.
    #[track_caller]
    pub fn clip_gradient(self, limit: f64) -> Value<'g> {
        self.limited("clip_gradient", limit, |c| c.clamp(-limit, limit))
    }

    /// Itself, with a gradient scaled down to the norm `limit` where it is longer: c · min(1, limit/‖c‖) (Pascanu, Mikolov
    /// & Bengio, *On the difficulty of training recurrent neural networks*, 2013).
    #[track_caller]
    pub fn clip_gradient_norm(self, limit: f64) -> Value<'g> {
        self.limited("clip_gradient_norm", limit, |c| {
            c * (limit / c.norm().maximum(f64::from(f32::MIN_POSITIVE))).minimum(1.0)
        })
    }

    #[track_caller]
    fn limited(self, name: &str, limit: f64, rule: impl for<'b> FnOnce(Value<'b>) -> Value<'b>) -> Value<'g> {
        // So that NaN is refused too.
        let sound = limit > 0.0 && limit < f64::INFINITY;
        if !sound {
            return self.graph.refuse(format!("{name}: expected a limit above 0, got {limit}"));
        }
        let custom = self.graph.custom(name, &[self], |x| x[0]);
        custom.with_vjp(|_, _, c| vec![Some(rule(c))]).with_jvp(|_, _, t| t[0]).finish()
    }
}

#[cfg(test)]
mod tests {
    use bespoke_graph::eval;
    use bespoke_tensor::Tensor;

    use super::*;
    use crate::F64;

    fn gradient(f: impl for<'g> FnOnce(Value<'g>) -> Value<'g>, x: &[f64]) -> Vec<f64> {
        let g = Graph::new();
        let input = g.input("x", F64, [x.len()]);
        let loss = f(input);
        g.output("dx", g.grad(loss, &[input])[0]);
        let graph = g.finish().unwrap();
        let at = Tensor::from_vec([x.len()], x.to_vec()).unwrap();
        let values = eval(&graph, &|_| Some(at.clone())).unwrap();
        values.outputs["dx"].scalars().map(|s| s.to_f64()).collect()
    }

    #[test]
    fn gradients_go_straight_through_or_are_clipped() {
        let through = gradient(|x| (x.straight_through(|x| x.round()) * 3.0).sum(), &[0.4, -1.6]);
        assert_eq!(through, [3.0, 3.0]);
        let by_value = gradient(|x| x.clip_gradient(1.5).pow(2.0).sum(), &[0.5, 2.0, -3.0]);
        assert_eq!(by_value, [1.0, 1.5, -1.5]);
        let by_norm = gradient(|x| x.clip_gradient_norm(5.0).pow(2.0).sum(), &[3.0, -4.0]);
        assert!((by_norm[0] - 3.0).abs() < 1e-12 && (by_norm[1] + 4.0).abs() < 1e-12, "{by_norm:?}");
        let short = gradient(|x| x.clip_gradient_norm(5.0).pow(2.0).sum(), &[0.3, 0.0]);
        assert_eq!(short, [0.6, 0.0]);
        let none = gradient(|x| x.clip_gradient_norm(5.0).pow(2.0).sum(), &[0.0, 0.0]);
        assert_eq!(none, [0.0, 0.0]);
    }

    fn mistake(f: impl for<'g> FnOnce(&'g Graph, Value<'g>) -> Value<'g>) -> String {
        let g = Graph::new();
        let x = g.input("x", F64, [3]);
        f(&g, x);
        g.finish().unwrap_err().to_string()
    }

    #[test]
    fn mistakes_are_told() {
        let limit = mistake(|_, x| x.clip_gradient(-1.0));
        assert!(limit.ends_with("clip_gradient: expected a limit above 0, got -1"), "{limit}");
        let shape = mistake(|_, x| x.straight_through(|x| x.sum()));
        assert!(shape.ends_with("vjp: operand 0 is f64[3], its cotangent f64[]"), "{shape}");
        let inside = mistake(|g, x| g.custom("bad", &[x], |x| x[0].reshape([2])).finish());
        assert!(inside.contains("custom `bad`: reshape"), "{inside}");
        let state = mistake(|g, x| {
            let custom = g.custom("bad", &[x], |x| {
                x[0] * x[0].graph.parameter("w", F64, [3], crate::Init::Constant(0.0))
            });
            custom.finish()
        });
        assert!(state.contains("a body has no states, this one has `w`"), "{state}");
        let rule = mistake(|g, x| {
            g.custom("bad", &[x], |x| x[0]).with_vjp(|_, _, c| vec![Some(c), Some(c)]).finish()
        });
        assert!(rule.contains("the output \"1\" names none of 1 operands"), "{rule}");
    }
}
