//! Images and volumes at other places.

use bespoke_tensor::{Tensor, TensorError};

use super::{Border, Layout, warp::Matrix};

/// Calls `f` with each place of the result, in order, and where it is taken from.
fn places(layout: &Layout, matrix: &Matrix, mut f: impl FnMut(usize, [f64; 3])) {
    let (dims, centre) = (layout.dims, layout.extents.map(|extent| (extent as f64 - 1.0) / 2.0));
    for to in 0..layout.elements() {
        let (mut place, mut rest) = ([0.0; 4], to);
        for axis in (0..dims).rev() {
            place[axis] = (rest % layout.extents[axis]) as f64 - centre[axis];
            rest /= layout.extents[axis];
        }
        place[dims] = 1.0;
        let along = |row: &[f64; 4]| (0..=dims).map(|i| row[i] * place[i]).sum::<f64>();
        // Behind the eye is far away.
        let divisor = along(&matrix[dims]).max(1e-9);
        f(
            to,
            std::array::from_fn(|axis| {
                if axis < dims { along(&matrix[axis]) / divisor + centre[axis] } else { 0.0 }
            }),
        );
    }
}

/// Each element of the result from the up to 2 or 2·2·2 around its place, weighted by their nearness along each axis.
pub(super) fn linear(
    from: &Tensor,
    layout: Layout,
    matrix: &Matrix,
    border: Border,
) -> Result<Tensor, TensorError> {
    let mut to = Tensor::zeros(from.ty());
    let (source, size) = (from.view::<f32>()?, layout.elements());
    let target = to.view_mut::<f32>()?;
    places(&layout, matrix, |at, place| {
        let floor = place.map(f64::floor);
        let mut outside = 0.0;
        let mut inside = [(0, 0.0f32); 8];
        let mut count = 0;
        for corner in 0..1 << layout.dims {
            let (mut weight, mut index) = (1.0, Some(0));
            for axis in 0..layout.dims {
                let next = corner >> axis & 1;
                let fraction = place[axis] - floor[axis];
                weight *= if next == 1 { fraction } else { 1.0 - fraction };
                let element = border.resolve((floor[axis] as i64).saturating_add(next), layout.extents[axis]);
                index = index.zip(element).map(|(index, element)| index * layout.extents[axis] + element);
            }
            // What has no weight may be infinite.
            if weight > 0.0 {
                match index {
                    Some(index) => {
                        inside[count] = (index, weight as f32);
                        count += 1;
                    }
                    None => outside += weight as f32,
                }
            }
        }
        let beyond = if outside > 0.0 { outside * border.value() } else { 0.0 };
        for channel in 0..layout.channels {
            let source = &source[channel * size..][..size];
            let sum: f32 = inside[..count].iter().map(|&(index, weight)| weight * source[index]).sum();
            target[channel * size + at] = sum + beyond;
        }
    });
    Ok(to)
}

/// Each element of the result is the one nearest to its place.
pub(super) fn nearest(from: &Tensor, layout: Layout, matrix: &Matrix, border: Border) -> Tensor {
    let mut to = Tensor::zeros(from.ty());
    let (bytes, size) = (from.dtype().size(), layout.elements());
    let (source, target) = (from.bytes(), to.bytes_mut());
    places(&layout, matrix, |at, place| {
        let mut index = Some(0);
        for axis in 0..layout.dims {
            let element = border.resolve((place[axis] + 0.5).floor() as i64, layout.extents[axis]);
            index = index.zip(element).map(|(index, element)| index * layout.extents[axis] + element);
        }
        let Some(index) = index else { return };
        for channel in 0..layout.channels {
            let element = &source[(channel * size + index) * bytes..][..bytes];
            target[(channel * size + at) * bytes..][..bytes].copy_from_slice(element);
        }
    });
    to
}
