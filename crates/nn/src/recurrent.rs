//! Recurrent layers: plain ones, LSTMs and GRUs, in stacks and in both directions.

use crate::{CellWeights, Nonlinearity, Value, cells::Cell};

/// Choices for recurrent layers: by default one layer, forward in time, from zeros, of operands `[steps,batch,inputs]`.
///
/// ```
/// use bespoke_nn::{F32, Graph, I32, Recurrent};
///
/// let g = Graph::new();
/// let x = g.input("x", F32, [2, 7, 3]);
/// let lengths = g.input("lengths", I32, [2]);
/// let options = Recurrent::new().layers(2).bidirectional().batch_first().lengths(lengths);
/// let (y, (h, c)) = x.lstm(5, options);
/// assert_eq!(y.ty().to_string(), "f32[2,7,10]");
/// assert_eq!([h.ty(), c.ty()].map(|ty| ty.to_string()), ["f32[4,2,5]"; 2]);
/// g.output("y", y);
/// assert!(g.compile().is_ok());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Recurrent<'g> {
    layers: usize,
    bidirectional: bool,
    batch_first: bool,
    bias: bool,
    dropout: f64,
    nonlinearity: Nonlinearity,
    lengths: Option<Value<'g>>,
    hidden: Option<Value<'g>>,
    cell: Option<Value<'g>>,
    steps: Steps,
}

/// How the graph has the steps.
#[derive(Clone, Copy, Debug)]
enum Steps {
    Loop,
    Checkpoints,
    Segments(usize),
    Unrolled,
}

impl Default for Recurrent<'_> {
    fn default() -> Self {
        Recurrent {
            layers: 1,
            bidirectional: false,
            batch_first: false,
            bias: true,
            dropout: 0.0,
            nonlinearity: Nonlinearity::Tanh,
            lengths: None,
            hidden: None,
            cell: None,
            steps: Steps::Loop,
        }
    }
}

impl<'g> Recurrent<'g> {
    /// One layer, forward in time, from zeros, with biases, of operands `[steps,batch,inputs]`.
    pub fn new() -> Recurrent<'g> {
        Recurrent::default()
    }

    /// So many layers, each of what the one before gave.
    pub fn layers(self, layers: usize) -> Recurrent<'g> {
        Recurrent { layers, ..self }
    }

    /// Each layer also runs from the last step to the first, and gives both results, one behind the other.
    pub fn bidirectional(self) -> Recurrent<'g> {
        Recurrent { bidirectional: true, ..self }
    }

    /// Operand and result are `[batch,steps,…]` instead of `[steps,batch,…]`; states are not changed by that.
    pub fn batch_first(self) -> Recurrent<'g> {
        Recurrent { batch_first: true, ..self }
    }

    /// With or without biases.
    pub fn bias(self, bias: bool) -> Recurrent<'g> {
        Recurrent { bias, ..self }
    }

    /// In training, each number that a layer gives to the next is zero with this probability, at each step anew, and the others
    /// are larger by as much; a query keeps all. See [`Value::dropout`].
    pub fn dropout(self, probability: f64) -> Recurrent<'g> {
        Recurrent { dropout: probability, ..self }
    }

    /// Of a plain layer: its function.
    pub fn nonlinearity(self, nonlinearity: Nonlinearity) -> Recurrent<'g> {
        Recurrent { nonlinearity, ..self }
    }

    /// The number of steps of each sequence, integers `[batch]`. Behind its end the result is zero; the last state is that
    /// at its end, and the reverse direction starts there.
    pub fn lengths(self, lengths: Value<'g>) -> Recurrent<'g> {
        Recurrent { lengths: Some(lengths), ..self }
    }

    /// The hidden states to start from, `[layers·directions,batch,hidden]`: forward and reverse of the first layer, then of
    /// the second, and so on.
    pub fn initial(self, hidden: Value<'g>) -> Recurrent<'g> {
        Recurrent { hidden: Some(hidden), ..self }
    }

    /// Of an LSTM: the states of its cells to start from, shaped like [`Recurrent::initial`].
    pub fn initial_cell(self, cell: Value<'g>) -> Recurrent<'g> {
        Recurrent { cell: Some(cell), ..self }
    }

    /// A gradient keeps the states at every √T-th of T steps only: see [`Scan::checkpoints`](crate::Scan::checkpoints).
    pub fn checkpoints(self) -> Recurrent<'g> {
        Recurrent { steps: Steps::Checkpoints, ..self }
    }

    /// A gradient keeps the states at every `steps`-th step only: see [`Scan::segments`](crate::Scan::segments).
    pub fn segments(self, steps: usize) -> Recurrent<'g> {
        Recurrent { steps: Steps::Segments(steps), ..self }
    }

    /// The steps as nodes of the graph instead of a loop: code grows with their number.
    pub fn unrolled(self) -> Recurrent<'g> {
        Recurrent { steps: Steps::Unrolled, ..self }
    }

    /// The number of directions.
    fn sides(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }
}

impl<'g> Value<'g> {
    /// Plain recurrent layers (Elman 1990), of steps as [`Value::rnn_cell`] has them: `[steps,batch,inputs]` gives the hidden
    /// states of all steps `[steps,batch,hidden·directions]` and the last `[layers·directions,batch,hidden]`.
    ///
    /// Parameters are named and laid out as those of PyTorch's `nn.RNN`: `rnn0/weight_ih_l0` `[hidden,inputs]`,
    /// `weight_hh_l0` `[hidden,hidden]`, `bias_ih_l0` and `bias_hh_l0` `[hidden]`, those of the reverse direction
    /// `weight_ih_l0_reverse` and so on, those of the next layer `weight_ih_l1` `[hidden,hidden·directions]` and so on. They
    /// start uniform within ± 1/√hidden.
    #[track_caller]
    pub fn rnn(self, hidden: usize, options: Recurrent<'g>) -> (Value<'g>, Value<'g>) {
        let cell = Cell::Rnn(options.nonlinearity);
        let (output, last) = self.recurrent("rnn", cell, hidden, options);
        (output, last[0])
    }

    /// LSTM layers (Hochreiter & Schmidhuber 1997), of steps as [`Value::lstm_cell`] has them: like [`Value::rnn`], with the
    /// last states as (hidden, cell). Weights `lstm0/…` have rows for the gates input, forget, cell, output:
    /// `[4·hidden,…]`, as those of PyTorch's `nn.LSTM`.
    #[track_caller]
    pub fn lstm(self, hidden: usize, options: Recurrent<'g>) -> (Value<'g>, (Value<'g>, Value<'g>)) {
        let (output, last) = self.recurrent("lstm", Cell::Lstm, hidden, options);
        (output, (last[0], last[1]))
    }

    /// GRU layers (Cho et al. 2014), of steps as [`Value::gru_cell`] has them: like [`Value::rnn`]. Weights `gru0/…` have
    /// rows for the gates reset, update, new: `[3·hidden,…]`, as those of PyTorch's `nn.GRU`.
    #[track_caller]
    pub fn gru(self, hidden: usize, options: Recurrent<'g>) -> (Value<'g>, Value<'g>) {
        let (output, last) = self.recurrent("gru", Cell::Gru, hidden, options);
        (output, last[0])
    }

    #[track_caller]
    fn recurrent(
        self,
        what: &str,
        cell: Cell,
        hidden: usize,
        options: Recurrent<'g>,
    ) -> (Value<'g>, Vec<Value<'g>>) {
        let spoiled = (self.spoiled(), vec![self.spoiled(); cell.states()]);
        let Some(starts) = self.starts(what, cell, hidden, &options) else { return spoiled };
        let g = self.graph;
        let name = g.push_scope(what, true);
        let mut x = if options.batch_first { self.transpose(&[1, 0, 2]) } else { self };
        let present = options.lengths.map(|lengths| {
            let [steps, batch] = [0, 1].map(|axis| x.shape()[axis]);
            g.iota(crate::I32, [steps, batch], 0).lt(lengths.convert(crate::I32)).expand_dims(-1)
        });
        let mut last = vec![vec![]; cell.states()];
        for layer in 0..options.layers {
            if layer > 0 {
                x = x.drop_some(what, options.dropout, 3);
            }
            let mut outputs = vec![];
            for side in 0..options.sides() {
                let suffix = format!("_l{layer}{}", ["", "_reverse"][side]);
                let sizes = [x.shape()[2], hidden];
                let weights = CellWeights::parameters(g, &suffix, self.ty().dtype, cell, sizes, options.bias);
                let at = layer * options.sides() + side;
                let start: Vec<Value<'g>> =
                    starts.iter().map(|s| s.slice(0, at..at + 1).squeeze(0)).collect();
                let (output, end) = x.run_steps(cell, &weights, &start, present, side == 1, options.steps);
                outputs.push(output);
                for (all, end) in last.iter_mut().zip(end) {
                    all.push(end.expand_dims(0));
                }
            }
            x = if let [one] = outputs[..] { one } else { outputs[0].concatenate(&outputs[1..], 2) };
        }
        let output = if options.batch_first { x.transpose(&[1, 0, 2]) } else { x };
        let last = last.into_iter().map(|all| all[0].concatenate(&all[1..], 0)).collect();
        (g.end_layer(name, output), last)
    }

    /// The states to start from, `[layers·directions,batch,hidden]` each, if all fits.
    #[track_caller]
    fn starts(
        self,
        what: &str,
        cell: Cell,
        hidden: usize,
        options: &Recurrent<'g>,
    ) -> Option<Vec<Value<'g>>> {
        if !self.floats(what) {
            return None;
        }
        let (g, ty) = (self.graph, self.ty());
        let layout = if options.batch_first { "[batch,steps,inputs]" } else { "[steps,batch,inputs]" };
        let problem = if ty.rank() != 3 {
            Some(format!("expected {layout}, got {ty}"))
        } else if options.layers == 0 || hidden == 0 {
            Some(format!("{} layers of {hidden} hidden numbers", options.layers))
        } else if !(0.0..1.0).contains(&options.dropout) {
            Some(format!("expected a probability of at least 0 and below 1, got {}", options.dropout))
        } else if options.cell.is_some() && cell != Cell::Lstm {
            Some("only an LSTM has states of cells to start from".to_owned())
        } else if options.nonlinearity != Nonlinearity::Tanh && !matches!(cell, Cell::Rnn(_)) {
            Some("only `rnn` has a choice of nonlinearity".to_owned())
        } else {
            None
        };
        if let Some(problem) = problem {
            g.refuse(format!("{what}: {problem}"));
            return None;
        }
        let batch = ty.shape[usize::from(!options.batch_first)];
        if let Some(lengths) = options.lengths {
            let got = lengths.ty();
            if lengths.id.is_some() && (!got.dtype.is_int() || got.shape[..] != [batch]) {
                g.refuse(format!("{what}: expected lengths of integers [{batch}], got {got}"));
            }
            lengths.id?;
        }
        let dims = [options.layers.saturating_mul(options.sides()), batch, hidden];
        let expected = bespoke_tensor::Type { dtype: ty.dtype, shape: g.shape(what, dims)? };
        let mut starts = vec![];
        for given in [options.hidden, options.cell].into_iter().take(cell.states()) {
            let start = match given {
                Some(given) => given,
                None => g.full(ty.dtype, expected.shape, 0.0),
            };
            if start.id.is_some() && start.ty() != expected {
                g.refuse(format!("{what}: expected states {expected}, got {}", start.ty()));
                return None;
            }
            start.id?;
            starts.push(start);
        }
        Some(starts)
    }

    /// What the steps of one direction of one layer give, and the last states.
    #[track_caller]
    fn run_steps(
        self,
        cell: Cell,
        weights: &CellWeights<'g>,
        start: &[Value<'g>],
        present: Option<Value<'g>>,
        reverse: bool,
        how: Steps,
    ) -> (Value<'g>, Vec<Value<'g>>) {
        // The operand's part of all steps is one product.
        let projected = weights.project(cell, self);
        let (weight, bias) = (weights.weight_hh.t(), weights.bias_hh);
        let step = |states: &[Value<'g>], slices: &[Value<'g>]| {
            let mut next = cell.step(slices[0], states, weight, bias);
            let mut given = next[0];
            if let Some(&present) = slices.get(1) {
                given = present.select(given, 0.0);
                next = next.iter().zip(states).map(|(&n, &s)| present.select(n, s)).collect();
            }
            (next, vec![given])
        };
        let stepped: Vec<Value<'g>> = [projected].into_iter().chain(present).collect();
        let scan = self.graph.scan(start, &stepped);
        let scan = match how {
            Steps::Loop => scan,
            Steps::Checkpoints => scan.checkpoints(),
            Steps::Segments(steps) => scan.segments(steps),
            Steps::Unrolled => return self.unroll(start, &stepped, reverse, step),
        };
        let scan = if reverse { scan.reverse() } else { scan };
        let done = scan.run(step);
        (done.steps[0], done.carry)
    }

    /// The steps one after the other.
    #[track_caller]
    fn unroll(
        self,
        start: &[Value<'g>],
        stepped: &[Value<'g>],
        reverse: bool,
        step: impl Fn(&[Value<'g>], &[Value<'g>]) -> (Vec<Value<'g>>, Vec<Value<'g>>),
    ) -> (Value<'g>, Vec<Value<'g>>) {
        let (steps, mut states) = (self.shape()[0], start.to_vec());
        let mut outputs = vec![];
        for i in 0..steps {
            let at = if reverse { steps - 1 - i } else { i };
            let slices: Vec<Value<'g>> = stepped.iter().map(|v| v.slice(0, at..at + 1).squeeze(0)).collect();
            let (next, given) = step(&states, &slices);
            states = next;
            outputs.push(given[0].expand_dims(0));
        }
        if reverse {
            outputs.reverse();
        }
        let output = match outputs.split_first() {
            Some((first, rest)) => first.concatenate(rest, 0),
            None => self.graph.refuse("unrolled: expected at least one step".to_owned()),
        };
        (output, states)
    }
}
