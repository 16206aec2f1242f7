//! Steps of recurrent layers.

use bespoke_tensor::DType;

use crate::{Graph, Init, Value};

/// The function of a plain recurrent layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nonlinearity {
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// max(x, 0).
    Relu,
}

/// The weights of one step, laid out as those of PyTorch's cells: the rows are those of all gates, one gate after the
/// other. A plain step has 1 gate, a GRU's 3 (reset, update, new), an LSTM's 4 (input, forget, cell, output).
///
/// ```
/// use bespoke_nn::{CellWeights, F32, Graph};
///
/// let g = Graph::new();
/// let (x, zeros) = (g.input("x", F32, [2, 3]), g.full(F32, [2, 5], 0.0));
/// let weights = CellWeights::lstm(&g, F32, 3, 5);
/// let (h, c) = x.lstm_cell(zeros, zeros, &weights);
/// let (h, _) = x.lstm_cell(h, c, &weights); // the next step, with the same weights
/// assert_eq!(h.ty().to_string(), "f32[2,5]");
/// assert!(g.compile().is_ok());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CellWeights<'g> {
    /// Of the operand: `[gates·hidden,inputs]`.
    pub weight_ih: Value<'g>,
    /// Of the hidden state: `[gates·hidden,hidden]`.
    pub weight_hh: Value<'g>,
    /// Of the operand: `[gates·hidden]`.
    pub bias_ih: Option<Value<'g>>,
    /// Of the hidden state: `[gates·hidden]`.
    pub bias_hh: Option<Value<'g>>,
}

impl<'g> CellWeights<'g> {
    /// Parameters of a plain step: `rnn_cell0/weight_ih`, `…/weight_hh`, `…/bias_ih` and `…/bias_hh`, uniform within
    /// ± 1/√hidden as PyTorch's are.
    #[track_caller]
    pub fn rnn(g: &'g Graph, dtype: DType, inputs: usize, hidden: usize) -> CellWeights<'g> {
        CellWeights::named(g, "rnn_cell", dtype, Cell::Rnn(Nonlinearity::Tanh), [inputs, hidden])
    }

    /// Parameters of an LSTM's step: like [`CellWeights::rnn`], named `lstm_cell0/…`.
    #[track_caller]
    pub fn lstm(g: &'g Graph, dtype: DType, inputs: usize, hidden: usize) -> CellWeights<'g> {
        CellWeights::named(g, "lstm_cell", dtype, Cell::Lstm, [inputs, hidden])
    }

    /// Parameters of a GRU's step: like [`CellWeights::rnn`], named `gru_cell0/…`.
    #[track_caller]
    pub fn gru(g: &'g Graph, dtype: DType, inputs: usize, hidden: usize) -> CellWeights<'g> {
        CellWeights::named(g, "gru_cell", dtype, Cell::Gru, [inputs, hidden])
    }

    #[track_caller]
    fn named(g: &'g Graph, name: &str, dtype: DType, cell: Cell, sizes: [usize; 2]) -> CellWeights<'g> {
        g.push_scope(name, true);
        let weights = CellWeights::parameters(g, "", dtype, cell, sizes, true);
        g.pop_scope();
        weights
    }

    /// Parameters whose names end so.
    #[track_caller]
    pub(crate) fn parameters(
        g: &'g Graph,
        suffix: &str,
        dtype: DType,
        cell: Cell,
        [inputs, hidden]: [usize; 2],
        bias: bool,
    ) -> CellWeights<'g> {
        let rows = cell.gates().saturating_mul(hidden);
        let init = Init::Uniform(1.0 / (hidden.max(1) as f64).sqrt());
        let weight_ih = g.parameter(&format!("weight_ih{suffix}"), dtype, [rows, inputs], init);
        let weight_hh = g.parameter(&format!("weight_hh{suffix}"), dtype, [rows, hidden], init);
        let (mut bias_ih, mut bias_hh) = (None, None);
        if bias {
            bias_ih = Some(g.parameter(&format!("bias_ih{suffix}"), dtype, [rows], init));
            bias_hh = Some(g.parameter(&format!("bias_hh{suffix}"), dtype, [rows], init));
        }
        CellWeights { weight_ih, weight_hh, bias_ih, bias_hh }
    }

    /// The operand's part of a step, over the last axis, with what of the biases does not depend on the state.
    #[track_caller]
    pub(crate) fn project(&self, cell: Cell, x: Value<'g>) -> Value<'g> {
        let bias = match (self.bias_ih, self.bias_hh) {
            (Some(a), Some(b)) if cell != Cell::Gru => Some(a + b),
            (None, Some(b)) if cell != Cell::Gru => Some(b),
            (a, _) => a,
        };
        x.linear(self.weight_ih, bias)
    }
}

/// The kinds of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// One gate and a state.
    Rnn(Nonlinearity),
    /// Four gates, a hidden state and that of the cell.
    Lstm,
    /// Three gates and a state.
    Gru,
}

impl Cell {
    /// The number of gates.
    pub fn gates(self) -> usize {
        match self {
            Cell::Rnn(_) => 1,
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }

    /// The number of states.
    pub fn states(self) -> usize {
        if self == Cell::Lstm { 2 } else { 1 }
    }

    /// The next states of the operand's part, by the transposed weight and, of a GRU, bias of the hidden state.
    #[track_caller]
    pub fn step<'g>(
        self,
        x: Value<'g>,
        states: &[Value<'g>],
        weight: Value<'g>,
        bias: Option<Value<'g>>,
    ) -> Vec<Value<'g>> {
        let h = states[0];
        let hidden = h.shape().last().copied().unwrap_or_default();
        let part = |v: Value<'g>, i: usize| v.slice(-1, i * hidden..(i + 1) * hidden);
        let of_state = h.matmul(weight);
        match self {
            Cell::Rnn(Nonlinearity::Tanh) => vec![(x + of_state).tanh()],
            Cell::Rnn(Nonlinearity::Relu) => vec![(x + of_state).relu()],
            Cell::Lstm => {
                let gates = x + of_state;
                let [i, f, o] = [0, 1, 3].map(|k| part(gates, k).sigmoid());
                let c = f * states[1] + i * part(gates, 2).tanh();
                vec![o * c.tanh(), c]
            }
            Cell::Gru => {
                let of_state = bias.map_or(of_state, |b| of_state + b);
                let [r, z] = [0, 1].map(|k| (part(x, k) + part(of_state, k)).sigmoid());
                let new = (part(x, 2) + r * part(of_state, 2)).tanh();
                vec![(1.0 - z) * new + z * h]
            }
        }
    }
}

impl<'g> Value<'g> {
    /// A plain step (Elman 1990): tanh or relu of W·x + b + U·h + d. `self` is `[batch,inputs]`, the state `[batch,hidden]`.
    #[track_caller]
    pub fn rnn_cell(
        self,
        hidden: Value<'g>,
        weights: &CellWeights<'g>,
        nonlinearity: Nonlinearity,
    ) -> Value<'g> {
        self.cell("rnn_cell", Cell::Rnn(nonlinearity), &[hidden], weights)[0]
    }

    /// A step of a GRU (Cho et al. 2014) by PyTorch's equations: with r and z the sigmoids of their gates' W·x + b + U·h + d and
    /// n = tanh(W·x + b + r∘(U·h + d)), the next state is (1 − z)∘n + z∘h.
    #[track_caller]
    pub fn gru_cell(self, hidden: Value<'g>, weights: &CellWeights<'g>) -> Value<'g> {
        self.cell("gru_cell", Cell::Gru, &[hidden], weights)[0]
    }

    /// A step of an LSTM (Hochreiter & Schmidhuber 1997) by PyTorch's equations: with i, f and o the sigmoids and g the tanh of
    /// their gates' W·x + b + U·h + d, the cell's next state is c' = f∘c + i∘g and the hidden one o∘tanh(c'). Gives both: hidden,
    /// cell.
    #[track_caller]
    pub fn lstm_cell(
        self,
        hidden: Value<'g>,
        cell: Value<'g>,
        weights: &CellWeights<'g>,
    ) -> (Value<'g>, Value<'g>) {
        let next = self.cell("lstm_cell", Cell::Lstm, &[hidden, cell], weights);
        (next[0], next[1])
    }

    #[track_caller]
    fn cell(self, what: &str, cell: Cell, states: &[Value<'g>], weights: &CellWeights<'g>) -> Vec<Value<'g>> {
        let (x, h, w) = (self.shape(), states[0].shape(), weights.weight_hh.shape());
        let spoiled = self.id.is_none() || states.iter().any(|s| s.id.is_none());
        let fits = x.rank() == 2
            && h.rank() == 2
            && x[0] == h[0]
            && states.iter().all(|s| s.ty() == states[0].ty())
            && w[..] == [cell.gates().saturating_mul(h[1]), h[1]];
        if !spoiled && weights.weight_hh.id.is_some() && !fits {
            self.graph.refuse(format!(
                "{what}: expected [batch,inputs], states [batch,hidden] and weights [{}·hidden,…], got {}, {} and {}",
                cell.gates(),
                self.ty(),
                states.iter().map(|s| s.ty().to_string()).collect::<Vec<_>>().join(", "),
                weights.weight_hh.ty()
            ));
        }
        if spoiled || !fits {
            return states.iter().map(|_| self.spoiled()).collect();
        }
        cell.step(weights.project(cell, self), states, weights.weight_hh.t(), weights.bias_hh)
    }
}
