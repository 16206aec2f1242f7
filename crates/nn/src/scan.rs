//! Loops in the graph.

use std::panic::Location;

use bespoke_graph::{self as ir, Body, op};
use bespoke_tensor::Shape;

use crate::{BuildError, Graph, Value};

/// What a loop gives.
#[derive(Clone, Debug)]
pub struct Scanned<'g> {
    /// The carried values after the last step.
    pub carry: Vec<Value<'g>>,
    /// What the steps gave, with a new leading axis of steps.
    pub steps: Vec<Value<'g>>,
}

/// A loop under construction: see [`Graph::scan`].
#[derive(Clone)]
pub struct Scan<'g> {
    graph: &'g Graph,
    carry: Vec<Value<'g>>,
    stepped: Vec<Value<'g>>,
    length: Option<usize>,
    reverse: bool,
    segment: Option<Segment>,
}

/// How a gradient keeps what it needs of the steps.
#[derive(Clone, Copy, Debug)]
enum Segment {
    /// Of about √T steps.
    Root,
    /// Of this many steps.
    Steps(usize),
}

impl Graph {
    /// A loop whose compiled code does not grow with the number of steps: values `carry` go from step to step, and each step
    /// takes its slices, along the first axis, of `stepped`.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    /// use bespoke_tensor::Tensor;
    ///
    /// let g = Graph::new();
    /// let xs = g.input("xs", F32, [4, 3]);
    /// let start = g.full(F32, [3], 0.0);
    /// let weight = g.full(F32, [3], 0.5);
    /// let sums = g.scan(&[start], &[xs]).run(|carry, x| {
    ///     let sum = carry[0] * weight + x[0]; // values from outside may be used
    ///     (vec![sum], vec![sum])
    /// });
    /// g.output("last", sums.carry[0]);
    /// g.output("all", sums.steps[0]);
    /// let outputs = g.compile()?.run(&[("xs", &Tensor::full([4, 3], 1.0f32))])?;
    /// assert_eq!(outputs.get("last").unwrap().view::<f32>()?, [1.875; 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan<'g>(&'g self, carry: &[Value<'g>], stepped: &[Value<'g>]) -> Scan<'g> {
        let (carry, stepped) = (carry.to_vec(), stepped.to_vec());
        Scan { graph: self, carry, stepped, length: None, reverse: false, segment: None }
    }
}

impl<'g> Scan<'g> {
    /// With this many steps: needed if no values are stepped.
    pub fn length(self, steps: usize) -> Scan<'g> {
        Scan { length: Some(steps), ..self }
    }

    /// From the last step to the first. What steps give still stands at their place.
    pub fn reverse(self) -> Scan<'g> {
        Scan { reverse: true, ..self }
    }

    /// A gradient keeps the carried values at every √T-th of the T steps and computes the steps between again: memory for
    /// about 2√T steps instead of T, for one more forward pass.
    pub fn checkpoints(self) -> Scan<'g> {
        Scan { segment: Some(Segment::Root), ..self }
    }

    /// Like [`Scan::checkpoints`], at every `steps`-th step.
    pub fn segments(self, steps: usize) -> Scan<'g> {
        Scan { segment: Some(Segment::Steps(steps)), ..self }
    }

    /// The loop of this body, which is called once: with the carried values and the slices of a step, it returns the next
    /// carried values, of the same types, and what the step gives.
    #[track_caller]
    pub fn run(
        self,
        body: impl FnOnce(&[Value<'g>], &[Value<'g>]) -> (Vec<Value<'g>>, Vec<Value<'g>>),
    ) -> Scanned<'g> {
        let (graph, location) = (self.graph, Location::caller());
        let length = self.steps();
        let inner = graph.body();
        let carry: Vec<Value<'g>> =
            self.carry.iter().map(|v| inner.body_input(v.id.map(|_| v.ty()))).collect();
        let slices: Vec<Value<'g>> = self
            .stepped
            .iter()
            .map(|v| {
                let ty = v.id.map(|_| v.ty()).filter(|ty| ty.rank() > 0);
                let rest =
                    |ty: bespoke_tensor::Type| Shape::new(&ty.shape[1..]).expect("less than the whole");
                inner.body_input(ty.map(|ty| bespoke_tensor::Type { shape: rest(ty), ..ty }))
            })
            .collect();
        let (next, given) = body(&carry, &slices);
        for (i, (now, next)) in carry.iter().zip(&next).enumerate() {
            if now.id.is_some() && next.id.is_some() && now.ty() != next.ty() {
                let (now, next) = (now.ty(), next.ty());
                graph.refuse(format!("scan: carried value {i} is {now}, its next value {next}"));
            }
        }
        let spoiled = Scanned {
            carry: carry.iter().map(|_| graph.spoiled()).collect(),
            steps: given.iter().map(|_| graph.spoiled()).collect(),
        };
        if next.len() != carry.len() {
            graph.refuse(format!(
                "scan: {} values are carried, the body returns {}",
                carry.len(),
                next.len()
            ));
            return spoiled;
        }
        let Some((body, captured)) = inner.close(&[&next[..], &given[..]].concat()) else { return spoiled };
        let operands: Vec<Value<'g>> = [&self.carry[..], &self.stepped[..]].concat();
        let (Some(mut ids), Some(length)) = (graph.own(&operands), length) else { return spoiled };
        ids.extend(captured);
        let scan = op::Scan {
            body,
            length,
            carried: carry.len(),
            stepped: slices.len(),
            reverse: self.reverse,
            recompute: false,
            result: 0,
        };
        let mut outer = graph.inner.borrow_mut();
        outer.graph.set_location(Some(location));
        let results = match self.segment {
            None => outer.graph.scan(&scan, &ids),
            Some(Segment::Steps(steps)) => outer.graph.segmented_scan(&scan, &ids, steps),
            Some(Segment::Root) => outer.graph.segmented_scan(&scan, &ids, root(length)),
        };
        drop(outer);
        match results {
            Ok(ids) => {
                let values = ids.into_iter().map(|id| Value { graph, id: Some(id) });
                let mut values: Vec<Value<'g>> = values.collect();
                let steps = values.split_off(carry.len());
                Scanned { carry: values, steps }
            }
            Err(error) => {
                graph.fail(BuildError { location: Some(location), ..error.into() });
                spoiled
            }
        }
    }

    /// The number of steps, on which all agree.
    #[track_caller]
    fn steps(&self) -> Option<usize> {
        let mut length = self.length;
        for value in self.stepped.iter().filter(|v| v.id.is_some()) {
            let ty = value.ty();
            let Some(&steps) = ty.shape.first() else {
                self.graph.refuse(format!("scan: expected a first axis of steps, got {ty}"));
                return None;
            };
            if *length.get_or_insert(steps) != steps {
                let expected = length.unwrap_or_default();
                self.graph.refuse(format!("scan: expected {expected} steps, got {ty}"));
                return None;
            }
        }
        if length.is_none() && self.stepped.is_empty() {
            self.graph.refuse("scan: nothing says how many steps; use `length`".to_owned());
        }
        length
    }
}

/// The least number of steps whose square is enough.
fn root(length: usize) -> usize {
    (1..).find(|n: &usize| n.saturating_mul(*n) >= length).unwrap_or(1)
}

/// Graphs of bodies.
impl Graph {
    /// A parameter of a body; one that spoils what uses it if the type is not known.
    pub(crate) fn body_input(&self, ty: Option<bespoke_tensor::Type>) -> Value<'_> {
        let Some(ty) = ty else { return self.spoiled() };
        let mut inner = self.inner.borrow_mut();
        let name = format!("x{}", inner.graph.len());
        let id = inner.graph.input(&name, ty).ok();
        drop(inner);
        Value { graph: self, id }
    }

    /// The finished body with these outputs, and the values of the graph around that it uses. None after a mistake, which
    /// becomes one of the graph around.
    #[track_caller]
    pub(crate) fn close(&self, outputs: &[Value<'_>]) -> Option<(Body, Vec<ir::NodeId>)> {
        let ids = self.own(outputs);
        let mut inner = self.inner.borrow_mut();
        inner.closed = true;
        let parent = self.parent.as_deref().expect("a body has a graph around it");
        if let Some(error) = inner.error.take() {
            parent.fail(error);
            return None;
        }
        for (i, id) in ids?.into_iter().enumerate() {
            inner.graph.set_output(&format!("y{i}"), id).expect("names are numbered");
        }
        let captured = inner.captured.iter().map(|c| c.0).collect();
        Some((Body::new(inner.graph.clone()), captured))
    }
}
