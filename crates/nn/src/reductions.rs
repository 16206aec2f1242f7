//! Handles of values: what is reduced over axes. Negative axes count from the end.

use bespoke_graph::op::{ArgReduce, Extremum, Reduce};
use bespoke_loops::Combine;

use crate::Value;

macro_rules! reductions {
    ($($what:literal $combine:ident: $all:ident $axes:ident $keep:ident;)*) => {
        /// Reductions over all elements, over axes that vanish, and over axes that stay with extent 1.
        impl<'g> Value<'g> {$(
            #[doc = concat!($what, " over all elements.")]
            #[track_caller]
            pub fn $all(self) -> Value<'g> {
                self.$axes(&self.every_axis())
            }

            #[doc = concat!($what, " over axes, which vanish.")]
            #[track_caller]
            pub fn $axes(self, axes: &[isize]) -> Value<'g> {
                self.reduce(stringify!($all), Combine::$combine, axes)
            }

            #[doc = concat!($what, " over axes, which stay with extent 1.")]
            #[track_caller]
            pub fn $keep(self, axes: &[isize]) -> Value<'g> {
                self.$axes(axes).expand_like(self, axes)
            }
        )*}
    };
}

reductions! {
    "The sum" Sum: sum sum_axes sum_keep;
    "The product" Product: product product_axes product_keep;
    "The maximum" Max: max max_axes max_keep;
    "The minimum" Min: min min_axes min_keep;
    "Is any true," Any: any any_axes any_keep;
    "Are all true," All: all all_axes all_keep;
}

impl<'g> Value<'g> {
    /// The mean over all elements. The loss and metrics of training are best written so: what they are the mean of is
    /// then known for each row.
    #[track_caller]
    pub fn mean(self) -> Value<'g> {
        let mean = self.mean_axes(&self.every_axis());
        if let (Some(mean), Some(of)) = (mean.id, self.id) {
            self.graph.inner.borrow_mut().means.insert(mean, of);
        }
        mean
    }

    /// The mean over axes, which vanish.
    #[track_caller]
    pub fn mean_axes(self, axes: &[isize]) -> Value<'g> {
        if self.id.is_some() && !self.ty().dtype.is_float() {
            return self
                .graph
                .refuse(format!("mean: expected floats, got {}; convert them first", self.ty()));
        }
        let sum = self.sum_axes(axes);
        let terms: usize = match self.axes("mean", axes) {
            Some(axes) => axes.iter().map(|&a| self.shape()[a]).product(),
            None => return self.spoiled(),
        };
        match terms {
            0 => sum * f64::NAN, // 0/0, as numpy has it
            1 => sum,
            _ => sum * (1.0 / terms as f64),
        }
    }

    /// The mean over axes, which stay with extent 1.
    #[track_caller]
    pub fn mean_keep(self, axes: &[isize]) -> Value<'g> {
        self.mean_axes(axes).expand_like(self, axes)
    }

    /// The position of the first maximum along an axis, which vanishes: i32.
    #[track_caller]
    pub fn argmax(self, axis: isize) -> Value<'g> {
        self.arg_reduce("argmax", Extremum::Max, axis)
    }

    /// The position of the first minimum along an axis, which vanishes: i32.
    #[track_caller]
    pub fn argmin(self, axis: isize) -> Value<'g> {
        self.arg_reduce("argmin", Extremum::Min, axis)
    }

    /// Itself with axes of extent 1 where a reduction of `like` over `axes` took them.
    #[track_caller]
    pub fn expand_like(self, like: Value<'g>, axes: &[isize]) -> Value<'g> {
        if self.id.is_none() || like.id.is_none() {
            return self.spoiled();
        }
        let Some(axes) = like.axes("expand_like", axes) else { return self.spoiled() };
        let shape = like.shape();
        let extents = shape.iter().enumerate().map(|(a, &d)| if axes.contains(&a) { 1 } else { d });
        self.reshape(extents.collect::<Vec<_>>())
    }

    /// Axes counted from the start, in ascending order.
    #[track_caller]
    pub(crate) fn axes(self, what: &str, axes: &[isize]) -> Option<Vec<usize>> {
        // No closure: it would hide the caller's line.
        let mut resolved = Vec::with_capacity(axes.len());
        for &axis in axes {
            resolved.push(self.axis(what, axis)?);
        }
        resolved.sort_unstable();
        Some(resolved)
    }

    /// An axis counted from the start.
    #[track_caller]
    pub(crate) fn axis(self, what: &str, axis: isize) -> Option<usize> {
        let rank = self.shape().rank() as isize;
        if self.id.is_some() && (axis < -rank || axis >= rank) {
            self.graph.refuse(format!("{what}: axis {axis} is out of range for {}", self.ty()));
        }
        (self.id.is_some() && axis >= -rank && axis < rank).then(|| axis.rem_euclid(rank) as usize)
    }

    fn every_axis(self) -> Vec<isize> {
        (0..self.shape().rank() as isize).collect()
    }

    #[track_caller]
    fn reduce(self, what: &str, combine: Combine, axes: &[isize]) -> Value<'g> {
        match self.axes(what, axes) {
            Some(axes) if axes.is_empty() => self,
            Some(axes) => self.graph.apply(what, Reduce { combine, axes }.into(), &[self]),
            None => self.spoiled(),
        }
    }

    #[track_caller]
    fn arg_reduce(self, what: &str, extremum: Extremum, axis: isize) -> Value<'g> {
        match self.axis(what, axis) {
            Some(axis) => self.graph.apply(what, ArgReduce { extremum, axis }.into(), &[self]),
            None => self.spoiled(),
        }
    }
}
