//! Colour jitter along the colours' principal components.

use bespoke_tensor::{DType, Tensor};

use super::{Target, position, wrong_type};
use crate::{DataError, Dataset, Draws, Field, Transform};

/// The principal components of the colours of a data set: the eigenvectors of the channels' covariance over all elements of all
/// images.
#[derive(Clone, Debug)]
pub struct ColourPca {
    field: String,
    /// Eigenvalue and eigenvector of each component, largest first.
    components: Vec<(f64, Vec<f64>)>,
}

impl ColourPca {
    /// Of a field of images `f32[C,H,W]` or volumes `f32[C,D,H,W]`. Reads all examples.
    ///
    /// # Errors
    /// [`DataError::Type`] if the field is of another type, and those of reading.
    pub fn fit(dataset: &(impl Dataset + ?Sized), field: &str) -> Result<ColourPca, DataError> {
        let number = position("a colour PCA", field, dataset.fields())?;
        let ty = dataset.fields()[number].ty;
        check("a colour PCA", field, ty)?;
        let channels = ty.shape[0];
        let (mut sums, mut products, mut count) =
            (vec![0.0; channels], vec![vec![0.0; channels]; channels], 0.0);
        let mut batch = dataset.allocate(1)?;
        for index in 0..dataset.len() {
            dataset.gather(&[index], &mut batch)?;
            let values = batch[number].view::<f32>()?;
            let size = values.len() / channels.max(1);
            for i in 0..channels {
                let a = &values[i * size..][..size];
                sums[i] += a.iter().map(|&x| f64::from(x)).sum::<f64>();
                for j in 0..=i {
                    let b = &values[j * size..][..size];
                    products[i][j] +=
                        a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
                }
            }
            count += size as f64;
        }
        let count: f64 = f64::max(count, 1.0);
        let covariance =
            |i: usize, j: usize| products[i.max(j)][i.min(j)] / count - sums[i] * sums[j] / count / count;
        let matrix = (0..channels).map(|i| (0..channels).map(|j| covariance(i, j)).collect()).collect();
        Ok(ColourPca { field: field.to_owned(), components: eigenvectors(matrix) })
    }

    /// The eigenvalues and eigenvectors, largest first.
    pub fn components(&self) -> &[(f64, Vec<f64>)] {
        &self.components
    }

    /// Adds Σᵢ αᵢ λᵢ pᵢ to all elements, with eigenvalues λ, eigenvectors p and normal numbers α of this standard deviation
    /// (Krizhevsky, Sutskever & Hinton 2012, who take 0.1): the light's colour and intensity change as they do in the data. It
    /// keeps the labels of things whose colour may vary with light.
    pub fn jitter(&self, deviation: f64) -> ColourJitter {
        ColourJitter {
            pca: self.clone(),
            deviation,
            target: Target { on: Some(self.field.clone()), also: vec![] },
        }
    }
}

fn check(what: &str, name: &str, ty: bespoke_tensor::Type) -> Result<(), DataError> {
    if ty.dtype == DType::F32 && (3..=4).contains(&ty.rank()) {
        return Ok(());
    }
    Err(wrong_type(what, name, "an image f32[C,H,W] or a volume f32[C,D,H,W]", ty))
}

/// See [`ColourPca::jitter`].
#[derive(Clone, Debug)]
pub struct ColourJitter {
    pca: ColourPca,
    deviation: f64,
    target: Target,
}

impl Transform for ColourJitter {
    fn fields(&self, fields: &[Field]) -> Result<Vec<Field>, DataError> {
        let main = &fields[self.target.main("colour jitter", fields)?];
        check("colour jitter", &main.name, main.ty)?;
        let channels = self.pca.components.len();
        if main.ty.shape[0] != channels {
            return Err(wrong_type("colour jitter", &main.name, &format!("{channels} channels"), main.ty));
        }
        if !(self.deviation >= 0.0 && self.deviation.is_finite()) {
            let reason = format!("expected a deviation of 0 or more, got {}", self.deviation);
            return Err(DataError::argument("colour jitter", reason));
        }
        Ok(fields.to_vec())
    }

    fn apply(&self, sample: &mut [Tensor], fields: &[Field], draws: &mut Draws) -> Result<(), DataError> {
        let main = self.target.main("colour jitter", fields)?;
        let values = sample[main].view_mut::<f32>()?;
        let channels = self.pca.components.len();
        let mut added = vec![0.0; channels];
        for (value, vector) in &self.pca.components {
            let size = draws.normals()[0] * self.deviation * value;
            added.iter_mut().zip(vector).for_each(|(a, p)| *a += size * p);
        }
        let size = (values.len() / channels.max(1)).max(1);
        for (channel, added) in values.chunks_mut(size).zip(added) {
            channel.iter_mut().for_each(|x| *x += added as f32);
        }
        Ok(())
    }
}

/// Eigenvalues and eigenvectors of a symmetric matrix, largest first, by Jacobi's rotations (Golub & Van Loan, *Matrix
/// Computations*, §8.5). A vector's largest element is positive.
fn eigenvectors(mut a: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let n = a.len();
    // Its rows become the vectors.
    let mut vectors: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let total: f64 = a.iter().flatten().map(|x| x * x).sum();
    for _sweep in 0..64 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
        if off <= total * 1e-30 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    (a[k][p], a[k][q]) = (c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]);
                }
                for k in 0..n {
                    (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]);
                    (vectors[p][k], vectors[q][k]) =
                        (c * vectors[p][k] - s * vectors[q][k], s * vectors[p][k] + c * vectors[q][k]);
                }
            }
        }
    }
    let mut components: Vec<(f64, Vec<f64>)> =
        vectors.into_iter().enumerate().map(|(i, v)| (a[i][i], v)).collect();
    components.sort_by(|x, y| y.0.total_cmp(&x.0));
    for (_, vector) in &mut components {
        let largest = vector.iter().copied().max_by(|x, y| x.abs().total_cmp(&y.abs())).unwrap_or(1.0);
        vector.iter_mut().for_each(|x| *x *= largest.signum());
    }
    components
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvectors_solve_their_equation() {
        let mut draws = Draws::new(3, 0, 0);
        for n in 0..6 {
            let half: Vec<Vec<f64>> = (0..n).map(|_| (0..n).map(|_| draws.normals()[0]).collect()).collect();
            let matrix: Vec<Vec<f64>> =
                (0..n).map(|i| (0..n).map(|j| half[i][j] + half[j][i]).collect()).collect();
            let components = eigenvectors(matrix.clone());
            assert_eq!(components.len(), n);
            for (i, (value, vector)) in components.iter().enumerate() {
                for row in 0..n {
                    let product: f64 = matrix[row].iter().zip(vector).map(|(a, v)| a * v).sum();
                    assert!((product - value * vector[row]).abs() < 1e-12, "{n}: {product}");
                }
                for (j, (_, other)) in components.iter().enumerate() {
                    let dot: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                    assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-12);
                }
            }
            assert!(components.is_sorted_by(|a, b| a.0 >= b.0));
        }
    }
}
