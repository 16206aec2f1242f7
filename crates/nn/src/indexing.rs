//! Sorting, running totals, and elements by position.

use bespoke_graph::op;
use bespoke_loops::Combine;

use crate::{I32, Value};

macro_rules! cumulative {
    ($($(#[$doc:meta])* $name:ident $combine:ident;)*) => {
        /// What has come together so far along an axis, which may be counted from the end.
        impl<'g> Value<'g> {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(self, axis: isize) -> Value<'g> {
                let Some(axis) = self.axis(stringify!($name), axis) else { return self.spoiled() };
                let op = op::Cumulative { combine: Combine::$combine, axis, reverse: false };
                self.graph.apply(stringify!($name), op.into(), &[self])
            })*
        }
    };
}

cumulative! {
    /// Sums of all elements up to each.
    cumsum Sum;
    /// Products of all elements up to each.
    cumprod Product;
    /// The greatest element up to each; its cotangent goes to the latest that attains it.
    cummax Max;
    /// The least element up to each; its cotangent goes to the latest that attains it.
    cummin Min;
}

impl<'g> Value<'g> {
    /// The positions along an axis in the order in which elements ascend, or descend: i32. Equal elements keep their order;
    /// NaN is greater than all else.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    /// use bespoke_tensor::Tensor;
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [2, 3]);
    /// let (largest, at) = x.top_k(2, -1);
    /// g.output("order", x.arg_sort(-1, false));
    /// g.output("largest", largest);
    /// g.output("at", at);
    /// let x = Tensor::from_slice([2, 3], &[3.0f32, 1.0, 2.0, 0.0, 7.0, 5.0])?;
    /// let outputs = g.compile()?.run(&[("x", &x)])?;
    /// assert_eq!(outputs.get("order").unwrap().view::<i32>()?, [1, 2, 0, 0, 2, 1]);
    /// assert_eq!(outputs.get("largest").unwrap().view::<f32>()?, [3.0, 2.0, 7.0, 5.0]);
    /// assert_eq!(outputs.get("at").unwrap().view::<i32>()?, [0, 2, 1, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn arg_sort(self, axis: isize, descending: bool) -> Value<'g> {
        let Some(axis) = self.axis("arg_sort", axis) else { return self.spoiled() };
        self.graph.apply("arg_sort", op::ArgSort { axis, descending }.into(), &[self])
    }

    /// The elements along an axis in ascending or descending order.
    #[track_caller]
    pub fn sort(self, axis: isize, descending: bool) -> Value<'g> {
        self.take_along(self.arg_sort(axis, descending), axis)
    }

    /// The `k` greatest elements along an axis, the greatest first, and their positions.
    #[track_caller]
    pub fn top_k(self, k: usize, axis: isize) -> (Value<'g>, Value<'g>) {
        let positions = self.arg_sort(axis, true).slice(axis, 0..k);
        (self.take_along(positions, axis), positions)
    }

    /// Elements along an axis at positions that have all other axes in common: `out[i…, j, k…] = self[i…, positions[i…, j,
    /// k…], k…]`. A position out of range is clamped to the nearest; that of a constant or an input is refused.
    #[track_caller]
    pub fn take_along(self, positions: Value<'g>, axis: isize) -> Value<'g> {
        if self.id.is_none() || positions.id.is_none() {
            return self.spoiled();
        }
        let Some(axis) = self.axis("take_along", axis) else { return self.spoiled() };
        let (x, at) = (self.shape(), positions.shape());
        let others = |dims: &[usize]| {
            dims.iter().enumerate().filter(|d| d.0 != axis).map(|d| *d.1).collect::<Vec<_>>()
        };
        if at.rank() != x.rank() || others(&x) != others(&at) {
            let message = format!(
                "take_along: expected positions that differ from {} along axis {axis} only, got {}",
                self.ty(),
                positions.ty()
            );
            return self.graph.refuse(message);
        }
        // The axis last, all others in rows.
        let mut order: Vec<usize> = (0..x.rank()).filter(|&a| a != axis).collect();
        order.push(axis);
        let rows: usize = others(&x).iter().product();
        let lines = |v: Value<'g>, extent: usize| v.transpose(&order).reshape([rows, extent]);
        let picked = self.graph.apply(
            "take_along",
            op::Gather { axis: 1, batch: 1 }.into(),
            &[lines(self, x[axis]), lines(positions, at[axis])],
        );
        let turned: Vec<usize> = order.iter().map(|&a| at[a]).collect();
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(i, &a)| back[a] = i);
        picked.reshape(turned).transpose(&back)
    }

    /// Elements at positions along the first axes, as numpy's `x[i, j]`: all positions have one shape, which takes the place
    /// of those axes. A position out of range is clamped to the nearest; that of a constant or an input is refused.
    #[track_caller]
    pub fn at(self, positions: &[Value<'g>]) -> Value<'g> {
        let operands = [&[self][..], positions].concat();
        self.graph.apply("at", op::Gather { axis: 0, batch: 0 }.into(), &operands)
    }

    /// Itself with updates added at positions along the first axes: the transpose of [`Value::at`]. Positions may meet.
    #[track_caller]
    pub fn add_at(self, positions: &[Value<'g>], updates: Value<'g>) -> Value<'g> {
        let operands = [&[self][..], positions, &[updates]].concat();
        self.graph.apply("add_at", op::ScatterAdd { axis: 0, batch: 0 }.into(), &operands)
    }

    /// The piece of these extents that begins at `starts`, an integer scalar for each axis, clamped so that it fits.
    #[track_caller]
    pub fn dynamic_slice(self, starts: &[Value<'g>], sizes: &[usize]) -> Value<'g> {
        let op = op::DynamicSlice { sizes: sizes.to_vec() };
        self.graph.apply("dynamic_slice", op.into(), &[&[self][..], starts].concat())
    }

    /// Itself with the piece that begins at `starts` replaced: see [`Value::dynamic_slice`].
    #[track_caller]
    pub fn dynamic_update(self, update: Value<'g>, starts: &[Value<'g>]) -> Value<'g> {
        self.graph.apply("dynamic_update", op::DynamicUpdate.into(), &[&[self, update][..], starts].concat())
    }

    /// The number of each class among integer labels, `[classes]` of i32.
    #[track_caller]
    pub fn bincount(self, classes: usize) -> Value<'g> {
        let ones = self.graph.full(I32, self.shape(), 1.0);
        self.graph.full(I32, [classes], 0.0).add_at(&[self], ones)
    }
}
