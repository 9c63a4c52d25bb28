//! Recurrent networks: Elman's, LSTM, GRU.

use super::{Dropout, Layer, Module, init, path};
use crate::{Parameter, Value};

/// An Elman network: `h' = tanh(W x + b + U h + c)`; see [`Recurrent`].
pub type Rnn = Recurrent<RnnCell>;
/// Long short-term memory (Hochreiter & Schmidhuber 1997); see [`Recurrent`].
pub type Lstm = Recurrent<LstmCell>;
/// A gated recurrent unit (Cho et al. 2014), in PyTorch's form; see [`Recurrent`].
pub type Gru = Recurrent<GruCell>;

/// One step of a recurrent network.
pub trait RecurrentCell: Default + Send + Sync {
    /// How many times the hidden size the rows of the weights are.
    const GATES: usize;
    /// How many arrays the state consists of; the first is the output.
    const STATES: usize;
    /// The new state, from the projections of the input and of the hidden state
    /// (`[n, GATES · hidden]`, biases included) and the old state (`[n, hidden]` each).
    fn step(&self, input: &Value, hidden: &Value, state: &[Value]) -> Vec<Value>;
}

/// `tanh(W x + b + U h + c)`, or with ReLU.
#[derive(Clone, Copy, Debug, Default)]
pub struct RnnCell {
    relu: bool,
}

impl RecurrentCell for RnnCell {
    const GATES: usize = 1;
    const STATES: usize = 1;
    fn step(&self, input: &Value, hidden: &Value, _: &[Value]) -> Vec<Value> {
        let sum = input + hidden;
        vec![if self.relu { sum.relu() } else { sum.tanh() }]
    }
}

/// Gates i, f, g, o: `c' = σ(f) c + σ(i) tanh(g)`, `h' = σ(o) tanh(c')`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LstmCell;

impl RecurrentCell for LstmCell {
    const GATES: usize = 4;
    const STATES: usize = 2;
    fn step(&self, input: &Value, hidden: &Value, state: &[Value]) -> Vec<Value> {
        let gates = (input + hidden).chunk(4, 1);
        let ([i, f, g, o], [_, c]) = (&gates[..], state) else {
            return vec![input + hidden; 2];
        };
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        vec![o.sigmoid() * c.tanh(), c]
    }
}

/// Gates r, z, n: `n = tanh(x_n + σ(r) h_n)`, `h' = (1 - σ(z)) n + σ(z) h`.
#[derive(Clone, Copy, Debug, Default)]
pub struct GruCell;

impl RecurrentCell for GruCell {
    const GATES: usize = 3;
    const STATES: usize = 1;
    fn step(&self, input: &Value, hidden: &Value, state: &[Value]) -> Vec<Value> {
        let (x, h) = (input.chunk(3, 1), hidden.chunk(3, 1));
        let ([xr, xz, xn], [hr, hz, hn], [old]) = (&x[..], &h[..], state) else {
            return vec![input + hidden];
        };
        let (r, z) = ((xr + hr).sigmoid(), (xz + hz).sigmoid());
        let n = (xn + r * hn).tanh();
        vec![&n + z * (old - &n)]
    }
}

/// The weights of one layer in one direction.
#[derive(Clone, Debug)]
struct Weights {
    /// `[GATES · hidden, inputs]`.
    ih: Parameter,
    /// `[GATES · hidden, hidden]`.
    hh: Parameter,
    /// `[GATES · hidden]` each.
    biases: Option<(Parameter, Parameter)>,
}

/// A recurrent network of one or more layers, in one or both directions, with PyTorch's names
/// (`weight_ih_l0`, `weight_hh_l0_reverse`, ...), layout and initial weights. Used by the names
/// [`Rnn`], [`Lstm`] and [`Gru`].
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::Lstm;
/// let lstm = Lstm::new(4, 8).layers(2).bidirectional(true).batch_first(true);
/// let x = Value::randn([3, 10, 4]);
/// let (y, state) = lstm.run(&x, None);
/// assert_eq!(y.shape()[..], [3, 10, 16]);
/// assert_eq!(state[0].shape()[..], [2 * 2, 3, 8]); // h, and as large c
/// assert_eq!(lstm.named_parameters()[0].0, "weight_ih_l0");
/// ```
#[derive(Clone, Debug)]
pub struct Recurrent<C> {
    cell: C,
    inputs: usize,
    hidden: usize,
    layers: usize,
    bidirectional: bool,
    batch_first: bool,
    bias: bool,
    dropout: f64,
    /// Forward, then reverse, of each layer.
    weights: Vec<Weights>,
}

impl Rnn {
    /// With ReLU in place of tanh.
    pub fn relu(mut self) -> Rnn {
        self.cell.relu = true;
        self
    }
}

impl<C: RecurrentCell> Recurrent<C> {
    /// One layer in one direction, of `inputs` features and a state of `hidden` features, for
    /// inputs `[time, n, inputs]`.
    #[track_caller]
    pub fn new(inputs: usize, hidden: usize) -> Self {
        Recurrent {
            cell: C::default(),
            inputs,
            hidden,
            layers: 1,
            bidirectional: false,
            batch_first: false,
            bias: true,
            dropout: 0.0,
            weights: Vec::new(),
        }
        .drawn()
    }

    /// With so many layers, each of the outputs of the one before; draws new weights.
    #[track_caller]
    pub fn layers(self, layers: usize) -> Self {
        Recurrent { layers, ..self }.drawn()
    }

    /// With layers in both directions of time, their outputs side by side; draws new weights.
    #[track_caller]
    pub fn bidirectional(self, bidirectional: bool) -> Self {
        Recurrent {
            bidirectional,
            ..self
        }
        .drawn()
    }

    /// For inputs and outputs `[n, time, features]`.
    pub fn batch_first(self, batch_first: bool) -> Self {
        Recurrent {
            batch_first,
            ..self
        }
    }

    /// The same without biases; draws new weights.
    #[track_caller]
    pub fn without_bias(self) -> Self {
        Recurrent {
            bias: false,
            ..self
        }
        .drawn()
    }

    /// With dropout between layers.
    pub fn dropout(self, p: f64) -> Self {
        Recurrent { dropout: p, ..self }
    }

    fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// With weights drawn from U(-1/√hidden, 1/√hidden).
    #[track_caller]
    fn drawn(mut self) -> Self {
        let (rows, hidden) = (self.hidden.saturating_mul(C::GATES), self.hidden);
        let draw = |shape: &[usize]| Parameter::new(init::torch_default(shape, hidden));
        let directions = self.directions();
        self.weights = (0..self.layers * directions)
            .map(|i| {
                let inputs = match i / directions {
                    0 => self.inputs,
                    _ => hidden.saturating_mul(directions),
                };
                let (ih, hh) = (draw(&[rows, inputs]), draw(&[rows, hidden]));
                let biases = self.bias.then(|| (draw(&[rows]), draw(&[rows])));
                Weights { ih, hh, biases }
            })
            .collect();
        self
    }

    /// The outputs of the last layer at each time, `[time, n, directions · hidden]`, and the final
    /// state of all layers: h, and of an LSTM c, each `[layers · directions, n, hidden]`. It starts
    /// from `state`, of the same shapes, or zeros.
    #[track_caller]
    pub fn run(&self, x: &Value, state: Option<&[Value]>) -> (Value, Vec<Value>) {
        match self.unrolled(x, state) {
            Ok(result) => result,
            Err(mistake) => (mistake.clone(), vec![mistake; C::STATES]),
        }
    }

    #[track_caller]
    fn unrolled(&self, x: &Value, state: Option<&[Value]>) -> Result<(Value, Vec<Value>), Value> {
        if x.error().is_some() {
            return Err(x.clone());
        }
        let mut y = if self.batch_first && x.rank() == 3 {
            x.transpose(0, 1)
        } else {
            x.clone()
        };
        let [time, n, features] = y.shape()[..] else {
            return Err(self.misfit(x));
        };
        if features != self.inputs || time == 0 {
            return Err(self.misfit(x));
        }
        let lines = self.weights.len();
        let zeros = || Value::zeros([lines, n, self.hidden]).cast(y.dtype());
        let start = match state {
            None => (0..C::STATES).map(|_| zeros()).collect(),
            Some(state) => state.to_vec(),
        };
        if let Some(mistake) = start.iter().find(|s| s.error().is_some()) {
            return Err(mistake.clone());
        }
        if start.len() != C::STATES
            || start
                .iter()
                .any(|s| s.shape()[..] != [lines, n, self.hidden])
        {
            let shapes: Vec<_> = start.iter().map(Value::shape).collect();
            return Err(init::mistake(format!(
                "the state is {} of shape [{lines}, {n}, {}], not {shapes:?}",
                C::STATES,
                self.hidden
            )));
        }
        let mut last: Vec<Vec<Value>> = vec![Vec::new(); C::STATES];
        for (layer, weights) in self.weights.chunks(self.directions()).enumerate() {
            if layer > 0 && self.dropout > 0.0 {
                y = Dropout::new(self.dropout).forward(&y);
            }
            let mut sides = Vec::new();
            for (direction, weights) in weights.iter().enumerate() {
                let line = (layer * self.directions() + direction) as isize;
                let from = |s: &Value| s.slice(crate::s![line]);
                let state = start.iter().map(from).collect();
                let (side, state) = self.line(&y, weights, state, direction == 1);
                sides.push(side);
                last.iter_mut().zip(state).for_each(|(all, s)| all.push(s));
            }
            y = Value::concat(sides, -1);
        }
        let y = if self.batch_first {
            y.transpose(0, 1)
        } else {
            y
        };
        Ok((y, last.into_iter().map(|s| Value::stack(s, 0)).collect()))
    }

    /// One layer in one direction: the outputs `[time, n, hidden]` and the final state.
    fn line(
        &self,
        x: &Value,
        weights: &Weights,
        mut state: Vec<Value>,
        reverse: bool,
    ) -> (Value, Vec<Value>) {
        // The inputs of all times at once: one product.
        let mut projected = x.matmul(weights.ih.value().t());
        if let Some((bias, _)) = &weights.biases {
            projected += bias;
        }
        let kernel = weights.hh.value().t();
        let mut inputs = unstacked(projected);
        if reverse {
            inputs.reverse();
        }
        let mut outputs = Vec::new();
        for input in &inputs {
            let Some(h) = state.first() else { break };
            let mut hidden = h.matmul(&kernel);
            if let Some((_, bias)) = &weights.biases {
                hidden += bias;
            }
            state = self.cell.step(input, &hidden, &state);
            outputs.extend(state.first().cloned());
        }
        if reverse {
            outputs.reverse();
        }
        (Value::stack(outputs, 0), state)
    }

    #[track_caller]
    fn misfit(&self, x: &Value) -> Value {
        let order = if self.batch_first {
            "n, time"
        } else {
            "time, n"
        };
        init::mistake(format!(
            "a recurrent network of {} features takes [{order}, {}] with one time or more, not {}",
            self.inputs,
            self.inputs,
            x.shape()
        ))
    }
}

/// The parts of the first axis. Halves of halves: the gradient of each slice is padded to what it
/// is a slice of, which for all slices of the whole would be quadratic work.
fn unstacked(x: Value) -> Vec<Value> {
    let (mut done, mut open) = (Vec::new(), vec![x]);
    while let Some(x) = open.pop() {
        match x.shape().first() {
            Some(&n) if n > 1 => {
                open.push(x.narrow(0, n / 2, n - n / 2));
                open.push(x.narrow(0, 0, n / 2));
            }
            Some(_) => done.push(x.squeeze(0)),
            None => done.push(x),
        }
    }
    done
}

impl<C> Module for Recurrent<C> {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        let directions = 1 + usize::from(self.bidirectional);
        for (i, weights) in self.weights.iter().enumerate() {
            let reverse = if i % directions == 1 { "_reverse" } else { "" };
            let mut show = |name: &str, p: &Parameter| {
                visitor(
                    &path(prefix, &format!("{name}_l{}{reverse}", i / directions)),
                    p,
                );
            };
            show("weight_ih", &weights.ih);
            show("weight_hh", &weights.hh);
            if let Some((ih, hh)) = &weights.biases {
                show("bias_ih", ih);
                show("bias_hh", hh);
            }
        }
    }
}

impl<C: RecurrentCell> Layer for Recurrent<C> {
    /// The outputs at each time, from zeros: `[time, n, inputs] -> [time, n, directions · hidden]`.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        self.run(x, None).0
    }
}
