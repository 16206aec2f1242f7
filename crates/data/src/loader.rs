//! Batches for training, read ahead on a thread of their own.

use std::{
    any::Any,
    ops::ControlFlow,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use bespoke_tensor::Tensor;

use crate::{
    DataError, Dataset, Draws, Field, Transform,
    dataset::{allocate, write_row},
    permutation,
};

/// How many batches are read ahead if nothing else is asked for: one while another is used, and one for slow files.
const AHEAD: usize = 2;

/// Reads a data set batch by batch: shuffled, augmented, ahead of its use.
///
/// The order of an epoch is a function of seed and epoch alone, and an example's augmentation one of seed, epoch and the
/// example's index: whoever goes on at batch k gets what a whole epoch would have given from there, read ahead or not.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use bespoke_data::{DataError, Loader, augment, mnist_bundled};
///
/// let digits = mnist_bundled().test;
/// let loader = Loader::new(&digits, 128).shuffle(42).drop_last().augment(augment::translate([2, 2]));
/// for epoch in 0..2 {
///     loader.run(epoch, 0, |batch| -> Result<_, DataError> {
///         assert_eq!(batch.field("image").unwrap().ty().to_string(), "f32[128,28,28]");
///         assert_eq!(batch.fields[1].ty().to_string(), "i32[128]");
///         Ok(ControlFlow::Continue(()))
///     })?;
/// }
/// # Ok::<(), DataError>(())
/// ```
pub struct Loader<'a> {
    dataset: &'a dyn Dataset,
    batch: usize,
    seed: Option<u64>,
    drop_last: bool,
    transform: Option<Box<dyn Transform + 'a>>,
    prefetch: Option<usize>,
}

/// A batch of examples, in memory that is used again once it was seen.
#[derive(Debug)]
pub struct Batch {
    /// The values `[rows, …]` of each field.
    pub fields: Vec<Tensor>,
    /// The number of examples: the loader's batch, or fewer in an epoch's last.
    pub rows: usize,
    /// Which batch of the epoch it is, from 0.
    pub number: usize,
    /// Which examples of the data set these are.
    pub examples: Vec<usize>,
    names: Arc<[Field]>,
}

impl Batch {
    /// Names and types of the fields, without the batch axis.
    pub fn described(&self) -> &[Field] {
        &self.names
    }

    /// The values of the field of this name.
    pub fn field(&self, name: &str) -> Option<&Tensor> {
        self.names.iter().position(|f| f.name == name).map(|i| &self.fields[i])
    }
}

impl<'a> Loader<'a> {
    /// Batches of so many examples, in the data set's order.
    pub fn new(dataset: &'a dyn Dataset, batch: usize) -> Loader<'a> {
        Loader { dataset, batch, seed: None, drop_last: false, transform: None, prefetch: None }
    }

    /// In an order that is random for each epoch. The seed is the augmentation's too, which is 0 otherwise.
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Without a last batch of fewer examples than the others.
    pub fn drop_last(mut self) -> Self {
        self.drop_last = true;
        self
    }

    /// With a transform of each example, drawn anew in each epoch.
    pub fn augment(mut self, transform: impl Transform + 'a) -> Self {
        self.transform = Some(Box::new(transform));
        self
    }

    /// Reads so many batches ahead on one background thread; 0 reads each when it is asked for. If this is not said, it is 2, or
    /// 0 where reading is but a copy: of a data set in memory, without augmentation.
    pub fn prefetch(mut self, batches: usize) -> Self {
        self.prefetch = Some(batches);
        self
    }

    /// The fields of its batches, without the batch axis.
    ///
    /// # Errors
    /// Those of [`Transform::fields`].
    pub fn fields(&self) -> Result<Vec<Field>, DataError> {
        let fields = self.dataset.fields();
        self.transform.as_ref().map_or_else(|| Ok(fields.to_vec()), |t| t.fields(fields))
    }

    /// The number of batches of an epoch.
    pub fn batches(&self) -> usize {
        match (self.batch, self.drop_last) {
            (0, _) => 0,
            (batch, true) => self.dataset.len() / batch,
            (batch, false) => self.dataset.len().div_ceil(batch),
        }
    }

    /// Gives the batches of an epoch to `f`, from batch `from` on, until it breaks off. Where it read ahead, the thread has ended
    /// when this returns.
    ///
    /// # Errors
    /// What `f` returns; [`DataError::BatchSize`] if batches are of 0 examples, what reading and the transform return, and
    /// [`DataError::Panicked`] if they panicked in the background.
    pub fn run<E: From<DataError>>(
        &self,
        epoch: u64,
        from: usize,
        mut f: impl FnMut(&Batch) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        if self.batch == 0 {
            return Err(DataError::BatchSize.into());
        }
        let mut reader = Reader::new(self, epoch)?;
        let numbers = from..self.batches();
        let cheap = self.dataset.in_memory() && self.transform.is_none();
        let ahead = self.prefetch.unwrap_or(if cheap { 0 } else { AHEAD }).min(numbers.len());
        if ahead > 0 {
            return thread::scope(|scope| {
                let (empty_sender, empty) = channel::<Batch>();
                let (sender, full) = channel();
                for _ in 0..=ahead {
                    // It cannot fail: we hold the receiver.
                    _ = empty_sender.send(reader.empty());
                }
                let thread = scope.spawn(move || read_ahead(reader, numbers, &empty, &sender));
                let result = consume(&full, empty_sender, &mut f);
                // Without a receiver the thread ends after the batch that it reads.
                drop(full);
                match thread.join() {
                    Ok(()) => result,
                    Err(panic) => {
                        let name = self.dataset.name().to_owned();
                        Err(DataError::Panicked { name, message: message(&*panic) }.into())
                    }
                }
            });
        }
        let mut batch = reader.empty();
        for number in numbers {
            reader.read(number, &mut batch)?;
            if f(&batch)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Sends batches, in order, in the memory that comes back. It ends with the batches, an error, or when nobody listens.
fn read_ahead(
    mut reader: Reader<'_>,
    numbers: std::ops::Range<usize>,
    empty: &Receiver<Batch>,
    full: &Sender<Result<Batch, DataError>>,
) {
    for number in numbers {
        let Ok(mut batch) = empty.recv() else { return };
        let result = reader.read(number, &mut batch);
        let failed = result.is_err();
        if full.send(result.map(|()| batch)).is_err() || failed {
            return;
        }
    }
}

/// Gives what comes to `f`, and the memory back.
fn consume<E: From<DataError>>(
    full: &Receiver<Result<Batch, DataError>>,
    empty: Sender<Batch>,
    f: &mut impl FnMut(&Batch) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    for batch in full {
        let batch = batch?;
        if f(&batch)?.is_break() {
            break;
        }
        // The thread may have ended: that was the last batch then.
        _ = empty.send(batch);
    }
    Ok(())
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// What reads the batches of one epoch.
struct Reader<'a> {
    dataset: &'a dyn Dataset,
    transform: Option<&'a (dyn Transform + 'a)>,
    batch: usize,
    /// The order of the examples; none is the data set's.
    order: Option<Vec<usize>>,
    seed: u64,
    epoch: u64,
    /// Of the batches.
    fields: Arc<[Field]>,
    /// One example, for the transform.
    sample: Vec<Tensor>,
}

impl<'a> Reader<'a> {
    fn new(loader: &'a Loader<'_>, epoch: u64) -> Result<Reader<'a>, DataError> {
        let dataset = loader.dataset;
        Ok(Reader {
            dataset,
            transform: loader.transform.as_deref(),
            batch: loader.batch,
            order: loader.seed.map(|seed| permutation(dataset.len(), seed, epoch)),
            seed: loader.seed.unwrap_or(0),
            epoch,
            fields: loader.fields()?.into(),
            sample: vec![],
        })
    }

    /// A batch without memory for examples, which it gets when it is first read.
    fn empty(&self) -> Batch {
        Batch { fields: vec![], rows: 0, number: 0, examples: vec![], names: self.fields.clone() }
    }

    fn read(&mut self, number: usize, batch: &mut Batch) -> Result<(), DataError> {
        let start = number * self.batch;
        let end = self.dataset.len().min(start.saturating_add(self.batch));
        batch.number = number;
        batch.examples.clear();
        match &self.order {
            Some(order) => batch.examples.extend_from_slice(&order[start..end]),
            None => batch.examples.extend(start..end),
        }
        if batch.fields.is_empty() || batch.rows != end - start {
            batch.rows = end - start;
            batch.fields = allocate(&self.fields, batch.rows)?;
        }
        let Some(transform) = self.transform else {
            return self.dataset.gather(&batch.examples, &mut batch.fields);
        };
        for (row, &index) in batch.examples.iter().enumerate() {
            self.read_sample(index)?;
            let mut draws = Draws::new(self.seed, self.epoch, index as u64);
            transform.apply(&mut self.sample, self.dataset.fields(), &mut draws)?;
            write_row(self.dataset.name(), &self.fields, index, &self.sample, row, &mut batch.fields)?;
        }
        Ok(())
    }

    /// Reads one example, in the memory of the one before unless that was given another type.
    fn read_sample(&mut self, index: usize) -> Result<(), DataError> {
        let fields = self.dataset.fields();
        self.sample.resize_with(fields.len(), || Tensor::scalar(0u8));
        for (field, tensor) in fields.iter().zip(&mut self.sample) {
            let row = field.batch(1)?;
            let same = tensor.ty() == field.ty;
            *tensor = if same { tensor.reshape(row.shape)? } else { Tensor::try_zeros(row)? };
        }
        self.dataset.gather(&[index], &mut self.sample)?;
        for (field, tensor) in fields.iter().zip(&mut self.sample) {
            *tensor = tensor.reshape(field.ty.shape)?;
        }
        Ok(())
    }
}
