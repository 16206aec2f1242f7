//! Tables with classes.

use std::{path::Path, sync::Arc};

use bespoke_data::{self as data, Csv, Dataset, Per, Scaler};

use crate::{
    error::Failure,
    source::{Kept, Parts, split},
};

/// A table with a header line, whose last column is the class. Columns have mean 0 and standard deviation 1 in the training
/// part; what is missing is 0, the mean.
pub fn table(file: &Path, seed: u64) -> Result<(Parts, Kept), Failure> {
    let table = Csv::new().label_last().read(file)?;
    if table.columns.is_empty() {
        let reason = "expected columns of numbers before the last, which is the class; there are none";
        return Err(Failure(format!("{}: {reason}", file.display())));
    }
    let classes = table.class_names().unwrap_or_default().to_vec();
    let (train, held_out) = split(Arc::new(table.data), seed)?;
    let scaler = Scaler::standardise(&*train, "x", Per::Element)?;
    let scaled = |part: Arc<dyn Dataset>| -> Arc<dyn Dataset> {
        let (fields, scaler) = (part.fields().to_vec(), scaler.clone());
        Arc::new(data::map(part, fields, move |_, mut example| {
            example[0] = scaler.apply(&example[0])?;
            example[0].view_mut::<f32>()?.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = 0.0);
            Ok(example)
        }))
    };
    let parts = (scaled(train), scaled(held_out));
    Ok((parts, Kept::Table(Box::new(scaler), classes)))
}
