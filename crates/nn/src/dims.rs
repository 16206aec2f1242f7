//! Shapes as users write them.

use bespoke_tensor::{Shape, TensorError};

/// What can be given as a shape: arrays, slices and vectors of extents. One that is no shape is an error of the graph.
pub trait Dims {
    /// The shape.
    ///
    /// # Errors
    /// [`TensorError`] beyond rank 8 or if the elements cannot be addressed.
    fn dims(&self) -> Result<Shape, TensorError>;
}

impl Dims for Shape {
    fn dims(&self) -> Result<Shape, TensorError> {
        Ok(*self)
    }
}

impl<const N: usize> Dims for [usize; N] {
    fn dims(&self) -> Result<Shape, TensorError> {
        Shape::new(self)
    }
}

impl Dims for &[usize] {
    fn dims(&self) -> Result<Shape, TensorError> {
        Shape::new(self)
    }
}

impl Dims for Vec<usize> {
    fn dims(&self) -> Result<Shape, TensorError> {
        Shape::new(self)
    }
}
