//! The programs of a model in training, for each number of rows that batches have.

use bespoke_data::Field;
use bespoke_graph::Graph as Ir;
use bespoke_tensor::Type;

use crate::{
    TrainError, Trainer,
    feed::Feed,
    store::{Bound, Store},
};

/// What is compiled for one number of rows.
pub struct Programs {
    /// Names and types of the inputs of all.
    pub inputs: Vec<(String, Type)>,
    /// For each input that is used as index, how many positions it may point to.
    pub extents: Vec<(String, usize)>,
    /// The step of each who learns, in turn.
    pub steps: Vec<Bound>,
    /// What they are made of.
    pub graphs: Vec<Ir>,
    /// Measures, and changes no state.
    pub query: Bound,
}

impl Programs {
    /// The number of rows, if there are inputs with a batch axis.
    pub fn rows(&self) -> usize {
        self.inputs.first().and_then(|i| i.1.shape.first().copied()).unwrap_or(0)
    }

    /// What turns fields of a data set of this name into inputs.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the fields do not fit the inputs.
    pub fn feed(&self, name: &str, fields: &[Field]) -> Result<Feed, TrainError> {
        Feed::new(&self.inputs, &self.extents, name, fields)
    }
}

/// The programs for whole batches, and for others as they are met.
pub struct Family {
    trainer: Trainer,
    /// Can there be others?
    grows: bool,
    members: Vec<Programs>,
}

impl Family {
    /// Of the programs for whole batches.
    pub fn new(whole: Programs, grows: bool, trainer: Trainer) -> Family {
        Family { trainer, grows, members: vec![whole] }
    }

    /// The programs for whole batches.
    pub fn whole(&mut self) -> &mut Programs {
        &mut self.members[0]
    }

    /// The number of rows of whole batches.
    pub fn rows(&self) -> usize {
        self.members[0].rows()
    }

    /// Is there a program for any number of rows?
    pub fn grows(&self) -> bool {
        self.grows
    }

    /// The programs for so many rows: those of whole batches if there can be no others.
    ///
    /// # Errors
    /// [`TrainError`] if they cannot be built or compiled.
    pub fn of_rows(&mut self, rows: usize, store: &Store) -> Result<&mut Programs, TrainError> {
        let known = self.members.iter().position(|p| p.rows() == rows);
        let at = match known {
            Some(at) => at,
            None if !self.grows => 0,
            None => {
                self.members.push(self.trainer.programs_for(rows, store)?);
                self.members.len() - 1
            }
        };
        Ok(&mut self.members[at])
    }
}
