//! Upsampling: images of another size, and pixels taken from features.

use bespoke_tensor::DType;

use crate::{PerAxis, Value};

impl<'g> Value<'g> {
    /// `[N,C,spatial…]` of another spatial size, each element the one at ⌊i · old/new⌋ along each axis: PyTorch's `interpolate` with
    /// mode `nearest`. The positions are found in integers; PyTorch multiplies i by old/new as f32, which for
    /// some sizes ends just below a whole number, and takes the element before: from 26 to 22, the 11th is element 13 here and 12
    /// there.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [2, 3, 8, 8]);
    /// assert_eq!(x.upsample_nearest([16, 24]).ty().to_string(), "f32[2,3,16,24]");
    /// assert_eq!(x.upsample_linear(16, false).ty().to_string(), "f32[2,3,16,16]");
    /// ```
    #[track_caller]
    pub fn upsample_nearest(self, size: impl Into<PerAxis>) -> Value<'g> {
        let Some(sizes) = self.spatial_sizes("upsample_nearest", &size.into()) else { return self.spoiled() };
        let mut y = self;
        for (i, &new) in sizes.iter().enumerate() {
            y = y.nearest_along(i + 2, new);
        }
        y
    }

    /// `[N,C,spatial…]` of another spatial size, straight lines between the elements along each axis: PyTorch's `interpolate` with
    /// modes `linear`, `bilinear` and `trilinear`. Corners are aligned, or else the edges of the pixels at the corners.
    #[track_caller]
    pub fn upsample_linear(self, size: impl Into<PerAxis>, align_corners: bool) -> Value<'g> {
        let Some(sizes) = self.spatial_sizes("upsample_linear", &size.into()) else { return self.spoiled() };
        let mut y = self;
        for (i, &new) in sizes.iter().enumerate() {
            y = y.linear_along(i + 2, new, align_corners);
        }
        y
    }

    /// Features as pixels: `[N,C·r²,H,W]` gives `[N,C,H·r,W·r]` (Shi et al. 2016).
    #[track_caller]
    pub fn pixel_shuffle(self, factor: usize) -> Value<'g> {
        let square = factor.saturating_mul(factor);
        let grows = |n: usize| n.checked_mul(factor).is_some();
        let fits = |s: &[usize]| square > 0 && s[1].is_multiple_of(square) && grows(s[2]) && grows(s[3]);
        let Some([n, c, h, w]) = self.image("pixel_shuffle", factor, "[N,C·r²,H,W]", fits) else {
            return self.spoiled();
        };
        let split = self.reshape([n, c / square, factor, factor, h, w]);
        split.transpose(&[0, 1, 4, 2, 5, 3]).reshape([n, c / square, h * factor, w * factor])
    }

    /// Pixels as features: `[N,C,H·r,W·r]` gives `[N,C·r²,H,W]`, the inverse of [`Value::pixel_shuffle`].
    #[track_caller]
    pub fn pixel_unshuffle(self, factor: usize) -> Value<'g> {
        let square = factor.saturating_mul(factor);
        let divides = |n: usize| factor > 0 && n.is_multiple_of(factor);
        let fits = |s: &[usize]| divides(s[2]) && divides(s[3]) && s[1].checked_mul(square).is_some();
        let Some([n, c, h, w]) = self.image("pixel_unshuffle", factor, "[N,C,H·r,W·r]", fits) else {
            return self.spoiled();
        };
        let (h, w) = (h / factor, w / factor);
        let split = self.reshape([n, c, h, factor, w, factor]);
        split.transpose(&[0, 1, 3, 5, 2, 4]).reshape([n, c * square, h, w])
    }

    #[track_caller]
    fn nearest_along(self, axis: usize, new: usize) -> Value<'g> {
        let old = self.shape()[axis];
        if old == new {
            return self;
        }
        if new.is_multiple_of(old) {
            // Repeated: the gradient is a sum rather than a scatter.
            let mut dims = self.shape().to_vec();
            dims.insert(axis + 1, new / old);
            let repeated = self.expand_dims(axis as isize + 1).broadcast_to(&dims[..]);
            dims.remove(axis + 1);
            dims[axis] = new;
            return repeated.reshape(dims);
        }
        let position = self.graph.iota(DType::I64, [new], 0) * old as i64 / new as i64;
        self.gather(position.convert(DType::I32), axis as isize)
    }

    #[track_caller]
    fn linear_along(self, axis: usize, new: usize, align_corners: bool) -> Value<'g> {
        let old = self.shape()[axis];
        if old == new {
            return self;
        }
        let i = self.graph.iota(DType::F64, [new], 0);
        let last = (old - 1) as f64;
        let at = if align_corners {
            i * (last / (new - 1).max(1) as f64)
        } else {
            ((i + 0.5) * (old as f64 / new as f64) - 0.5).maximum(0.0)
        };
        let before = at.floor().minimum(last);
        let behind = (before + 1.0).minimum(last);
        let weight = (at - before).convert(self.ty().dtype).along(self, axis);
        let [before, behind] = [before, behind].map(|at| self.gather(at.convert(DType::I32), axis as isize));
        before + (behind - before) * weight
    }

    /// New spatial sizes of `[N,C,spatial…]`, if they can be; an error is kept.
    #[track_caller]
    fn spatial_sizes(self, what: &str, size: &PerAxis) -> Option<Vec<usize>> {
        if !self.floats(what) {
            return None;
        }
        let ty = self.ty();
        if ty.rank() < 3 || ty.shape[2..].contains(&0) {
            self.graph.refuse(format!("{what}: expected [N,C,spatial…] of at least one pixel, got {ty}"));
            return None;
        }
        match size.over("size", ty.rank() - 2, 1) {
            Ok(sizes) => Some(sizes),
            Err(why) => {
                self.graph.refuse(format!("{what}: {why}"));
                None
            }
        }
    }

    /// The extents of an image that fits a factor; an error is kept.
    #[track_caller]
    fn image(
        self,
        what: &str,
        factor: usize,
        layout: &str,
        fits: impl FnOnce(&[usize]) -> bool,
    ) -> Option<[usize; 4]> {
        let shape = self.shape();
        let extents = <[usize; 4]>::try_from(&shape[..]).ok().filter(|s| fits(s));
        if self.id.is_some() && extents.is_none() {
            self.graph.refuse(format!("{what}: expected {layout} with r = {factor}, got {}", self.ty()));
        }
        extents.filter(|_| self.id.is_some())
    }
}
