//! Names of parameters: scopes, layers with names of their own, and layers that share their parameters.

use crate::Graph;

impl Graph {
    /// Runs `f` in a scope: parameters within are named `name/…`. Numbered when the name is used again in the same scope
    /// (`block`, `block1`, …).
    pub fn scope<T>(&self, name: &str, f: impl FnOnce() -> T) -> T {
        self.push_scope(name, false);
        let result = f();
        self.pop_scope();
        result
    }

    /// Gives the first layer that `f` makes a name, instead of its kind with a number. A name that no layer takes is a
    /// mistake.
    ///
    /// ```
    /// use bespoke_nn::{Conv, F32, Graph};
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [1, 3, 8, 8]);
    /// let y = g.scope("stem", || g.named("conv1", || x.conv2d(4, 3, Conv::new())));
    /// assert_eq!(g.parameters()[0].name, "stem/conv1/weight");
    /// ```
    #[track_caller]
    pub fn named<T>(&self, name: &str, f: impl FnOnce() -> T) -> T {
        let outermost = self.outermost();
        let around = outermost.inner.borrow_mut().pending.replace(name.to_owned());
        let result = f();
        let left = std::mem::replace(&mut outermost.inner.borrow_mut().pending, around);
        if left.is_some() {
            self.refuse(format!("named: no layer is made that could be named `{name}`"));
        }
        result
    }

    /// Runs `f` in a scope whose parameters and states are those of the first call with this name in the same scope: layers
    /// used again with the same weights. Running statistics follow one use after the other.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let encode = |name| g.shared("encoder", || g.input(name, F32, [2, 5]).dense(3).tanh());
    /// let distance = (encode("left") - encode("right")).abs().sum();
    /// assert_eq!(g.parameters().len(), 2);
    /// assert!(g.finish().is_ok());
    /// ```
    pub fn shared<T>(&self, name: &str, f: impl FnOnce() -> T) -> T {
        let outermost = self.outermost();
        {
            let mut inner = outermost.inner.borrow_mut();
            let within = format!("{}/", inner.scoped(name));
            // Layers are numbered from 0 again.
            inner.counts.retain(|scope, _| !scope.starts_with(&within));
            inner.scope.push(name.to_owned());
            inner.sharing += 1;
        }
        let result = f();
        outermost.inner.borrow_mut().sharing -= 1;
        self.pop_scope();
        result
    }

    /// Runs `f` with all parameters in it constant for derivatives: a loss made there trains what comes before, such as the
    /// generator of images that a shared part judges.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph, Init, Sgd, Trainer};
    ///
    /// let g = Graph::new();
    /// let made = g.parameter("generator", F32, [], Init::Constant(1.0));
    /// let score = |x| g.shared("judge", || x * g.parameter("scale", F32, [], Init::Constant(2.0)));
    /// // The generator lowers the score, the judge raises it.
    /// let loss = g.fixed(|| score(made)) - score(made.stop_gradient());
    /// let mut training = Trainer::new(loss, Sgd::new(0.25)).compile()?;
    /// training.step(&[])?;
    /// let after: Vec<f64> = training.parameters().iter().map(|p| p.1.get(0).to_f64()).collect();
    /// assert_eq!(after, [0.5, 2.25]);
    /// # Ok::<(), bespoke_nn::TrainError>(())
    /// ```
    pub fn fixed<T>(&self, f: impl FnOnce() -> T) -> T {
        let outermost = self.outermost();
        outermost.inner.borrow_mut().fixed += 1;
        let result = f();
        outermost.inner.borrow_mut().fixed -= 1;
        result
    }

    /// Leaves a scope.
    pub(crate) fn pop_scope(&self) {
        self.outermost().inner.borrow_mut().scope.pop();
    }

    /// Enters a scope and gives its whole name; layers are numbered from 0 unless they are [named](Graph::named).
    pub(crate) fn push_scope(&self, name: &str, layer: bool) -> String {
        let mut inner = self.outermost().inner.borrow_mut();
        let given = inner.pending.take_if(|_| layer);
        let numbered = layer && given.is_none();
        let name = given.as_deref().unwrap_or(name);
        let full = inner.scoped(name);
        let count = inner.counts.entry(full).or_default();
        let own = if *count > 0 || numbered { format!("{name}{count}") } else { name.to_owned() };
        *count += 1;
        let full = inner.scoped(&own);
        inner.scope.push(own);
        full
    }
}
