//! L-BFGS.

use crate::nn::Module;
use crate::{DType, Error, Parameter, Result, Value, evaluate, gradients};
use std::collections::VecDeque;
use std::sync::Mutex;

/// L-BFGS (Liu & Nocedal 1989) with a line search for the strong Wolfe conditions, as
/// `torch.optim.LBFGS` with `line_search_fn="strong_wolfe"`: for smooth losses without noise, such
/// as fits, where it needs far fewer evaluations than gradient descent.
///
/// It asks for the loss again and again, so it takes a function that computes it.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::optim::Lbfgs;
/// // Rosenbrock's valley, from the customary start.
/// let (x, y) = (Parameter::new(-1.2), Parameter::new(1.0));
/// let lbfgs = Lbfgs::new(&(&x, &y)).iterations(100);
/// lbfgs.step(|| (1.0 - &x).square() + 100.0 * (&y - x.value().square()).square())?;
/// assert!((x.value().item()? - 1.0).abs() < 1e-4);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Lbfgs {
    parameters: Vec<Parameter>,
    learning_rate: f64,
    iterations: usize,
    tolerance_grad: f64,
    tolerance_change: f64,
    history: usize,
    state: Mutex<State>,
}

type Pair = (Vec<f64>, Vec<f64>, f64);

/// What is kept from one iteration to the next.
#[derive(Clone, Debug, Default)]
struct State {
    iteration: usize,
    direction: Vec<f64>,
    length: f64,
    gradient: Vec<f64>,
    loss: f64,
    /// Changes of the gradient and of the parameters, and one over their product.
    pairs: VecDeque<Pair>,
    scale: f64,
}

/// The loss and gradient at a distance along the direction.
#[derive(Clone)]
struct Point {
    t: f64,
    loss: f64,
    gradient: Vec<f64>,
    slope: f64,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn largest(a: impl IntoIterator<Item = f64>) -> f64 {
    a.into_iter().map(f64::abs).fold(0.0, f64::max)
}

impl Lbfgs {
    /// For a model's parameters, with learning rate 1 (of the first trial of each search), at most
    /// 20 iterations a step, a history of 100, and tolerances of 1e-7 of the largest element of the
    /// gradient and 1e-9 of changes.
    pub fn new(model: &(impl Module + ?Sized)) -> Lbfgs {
        Lbfgs {
            parameters: model.parameters(),
            learning_rate: 1.0,
            iterations: 20,
            tolerance_grad: 1e-7,
            tolerance_change: 1e-9,
            history: 100,
            state: Mutex::default(),
        }
    }

    /// With at most so many iterations in a step.
    pub fn iterations(self, iterations: usize) -> Lbfgs {
        Lbfgs { iterations, ..self }
    }

    /// With another first trial of each search.
    pub fn learning_rate(self, learning_rate: f64) -> Lbfgs {
        Lbfgs {
            learning_rate,
            ..self
        }
    }

    /// Remembering so many iterations.
    pub fn history(self, history: usize) -> Lbfgs {
        Lbfgs { history, ..self }
    }

    /// Done where no element of the gradient is larger, or the loss and every parameter change by
    /// less.
    pub fn tolerances(self, gradient: f64, change: f64) -> Lbfgs {
        Lbfgs {
            tolerance_grad: gradient,
            tolerance_change: change,
            ..self
        }
    }

    /// What it keeps between steps, by name: numbers, direction and gradient, and the history as
    /// rows; f64. Saved and put back, it goes on as if it had never stopped.
    pub fn state_dict(&self) -> Vec<(String, Value)> {
        let s = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let rows = |part: fn(&Pair) -> &Vec<f64>| {
            let all: Vec<f64> = s.pairs.iter().flat_map(|p| part(p).clone()).collect();
            Value::from_vec(all, [s.pairs.len(), s.direction.len()])
        };
        let flat = |v: &Vec<f64>| Value::from_vec(v.clone(), [v.len()]);
        let numbers = vec![s.iteration as f64, s.length, s.loss, s.scale];
        let named = [
            ("numbers", flat(&numbers)),
            ("direction", flat(&s.direction)),
            ("gradient", flat(&s.gradient)),
            ("gradient_changes", rows(|p| &p.0)),
            ("parameter_changes", rows(|p| &p.1)),
        ];
        named.map(|(name, v)| (name.to_string(), v)).into()
    }

    /// Puts back what [`state_dict`](Lbfgs::state_dict) gave.
    ///
    /// # Errors
    /// A name that is missing; shapes that are not those of a state of these parameters. Then
    /// nothing has changed.
    #[track_caller]
    pub fn load_state_dict(&self, state: &[(String, Value)]) -> Result<()> {
        let value = |name: &str| match state.iter().find(|(n, _)| n == name) {
            Some((_, v)) => Ok(v),
            None => Err(Error::argument(format!(
                "the state of L-BFGS has no `{name}`"
            ))),
        };
        let wanted: usize = self.parameters.iter().map(|p| p.value().elements()).sum();
        let numbers = value("numbers")?.to_vec::<f64>()?;
        let &[iteration, length, loss, scale] = &numbers[..] else {
            return Err(Error::argument("the state of L-BFGS has 4 `numbers`"));
        };
        // Before the first step there is no direction.
        let n = if iteration == 0.0 { 0 } else { wanted };
        let k = value("gradient_changes")?
            .shape()
            .first()
            .copied()
            .unwrap_or(0);
        for (name, shape) in [
            ("direction", vec![n]),
            ("gradient", vec![n]),
            ("gradient_changes", vec![k, n]),
            ("parameter_changes", vec![k, n]),
        ] {
            let found = value(name)?.shape();
            if found[..] != shape[..] {
                return Err(Error::argument(format!(
                    "`{name}` of the state of L-BFGS has shape {found}; for these parameters it is \
                     {shape:?}"
                )));
            }
        }
        let gradients = value("gradient_changes")?.to_vec::<f64>()?;
        let parameters = value("parameter_changes")?.to_vec::<f64>()?;
        let row = |v: &[f64], i: usize| v[i * n..(i + 1) * n].to_vec();
        let pairs = (0..k).map(|i| {
            let (y, x) = (row(&gradients, i), row(&parameters, i));
            let inverse = 1.0 / dot(&y, &x);
            (y, x, inverse)
        });
        let state = State {
            iteration: iteration as usize,
            direction: value("direction")?.to_vec()?,
            length,
            gradient: value("gradient")?.to_vec()?,
            loss,
            pairs: pairs.collect(),
            scale,
        };
        *self.state.lock().unwrap_or_else(|e| e.into_inner()) = state;
        Ok(())
    }

    /// Moves the parameters towards a minimum of the loss, and gives the loss before.
    ///
    /// # Errors
    /// What computing the loss and its gradient gives; a loss that is not finite at the start.
    #[track_caller]
    pub fn step(&self, loss: impl Fn() -> Value) -> Result<f64> {
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            let message = format!("a learning rate is above 0; {} came", self.learning_rate);
            return Err(Error::argument(message));
        }
        // A state is whole whenever the lock is free.
        let mut kept = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let mut s = kept.clone();
        let (first, mut gradient) = self.measure(&loss)?;
        if !first.is_finite() {
            return Err(Error::argument(format!("the loss is {first} at the start")));
        }
        let mut current = first;
        for _ in 0..self.iterations {
            if largest(gradient.iter().copied()) <= self.tolerance_grad {
                break;
            }
            s.iteration += 1;
            self.turn(&mut s, &gradient);
            let before = current;
            s.gradient = gradient.clone();
            s.loss = current;
            let shortest = 1.0 / gradient.iter().map(|g| g.abs()).sum::<f64>();
            let trial = match s.iteration {
                1 => self.learning_rate * shortest.min(1.0),
                _ => self.learning_rate,
            };
            let slope = dot(&gradient, &s.direction);
            if slope > -self.tolerance_change {
                break;
            }
            let start = Point {
                t: 0.0,
                loss: current,
                gradient,
                slope,
            };
            let found = self.search(&loss, &s.direction, start, trial)?;
            s.length = found.t;
            current = found.loss;
            gradient = found.gradient;
            let moved = largest(s.direction.iter().map(|d| d * s.length));
            if moved <= self.tolerance_change || (current - before).abs() < self.tolerance_change {
                break;
            }
        }
        *kept = s;
        Ok(first)
    }

    /// The loss and its gradient, where the parameters are.
    #[track_caller]
    fn measure(&self, loss: &impl Fn() -> Value) -> Result<(f64, Vec<f64>)> {
        let loss = loss();
        let values: Vec<Value> = self.parameters.iter().map(Parameter::value).collect();
        let mut all = gradients(&loss, &values);
        all.push(loss.clone());
        evaluate(&all)?;
        let mut flat = Vec::new();
        for g in &all[..values.len()] {
            flat.extend(g.to_vec::<f64>()?);
        }
        Ok((loss.item()?, flat))
    }

    /// A new direction: minus the gradient, times an estimate of the inverse Hessian.
    fn turn(&self, s: &mut State, gradient: &[f64]) {
        if s.gradient.len() != gradient.len() {
            s.direction = gradient.iter().map(|g| -g).collect();
            s.scale = 1.0;
            return;
        }
        let y: Vec<f64> = gradient
            .iter()
            .zip(&s.gradient)
            .map(|(a, b)| a - b)
            .collect();
        let x: Vec<f64> = s.direction.iter().map(|d| d * s.length).collect();
        let product = dot(&y, &x);
        if product > 1e-10 {
            if s.pairs.len() >= self.history.max(1) {
                s.pairs.pop_front();
            }
            s.scale = product / dot(&y, &y);
            s.pairs.push_back((y, x, 1.0 / product));
        }
        let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut shares = Vec::new();
        for (y, x, inverse) in s.pairs.iter().rev() {
            let share = dot(x, &q) * inverse;
            q.iter_mut().zip(y).for_each(|(q, y)| *q -= share * y);
            shares.push(share);
        }
        q.iter_mut().for_each(|q| *q *= s.scale);
        for ((y, x, inverse), share) in s.pairs.iter().zip(shares.iter().rev()) {
            let back = share - dot(y, &q) * inverse;
            q.iter_mut().zip(x).for_each(|(q, x)| *q += back * x);
        }
        s.direction = q;
    }

    /// A point along the direction that satisfies the strong Wolfe conditions (Nocedal & Wright
    /// 2006, algorithms 3.5 and 3.6), or the best found; the parameters are left there.
    fn search(
        &self,
        loss: &impl Fn() -> Value,
        direction: &[f64],
        start: Point,
        trial: f64,
    ) -> Result<Point> {
        const C1: f64 = 1e-4;
        const C2: f64 = 0.9;
        const MOST: usize = 25;
        let mut origin = Vec::new();
        for p in &self.parameters {
            origin.push(p.value().to_vec::<f64>()?);
        }
        let at = |t: f64| -> Result<Point> {
            self.place(&origin, direction, t)?;
            let (loss, gradient) = self.measure(loss)?;
            let slope = dot(&gradient, direction);
            Ok(Point {
                t,
                loss,
                gradient,
                slope,
            })
        };
        let size = largest(direction.iter().copied());
        let low_enough = |p: &Point| p.loss <= start.loss + C1 * p.t * start.slope;
        let flat_enough = |p: &Point| p.slope.abs() <= -C2 * start.slope;
        // Forward until a minimum lies between two points.
        let mut previous = start.clone();
        let mut point = at(trial)?;
        let mut evaluations = 1;
        let mut bracket = None;
        while evaluations < MOST {
            if !low_enough(&point)
                || (evaluations > 2 && point.loss >= previous.loss)
                || !point.loss.is_finite()
            {
                bracket = Some((previous.clone(), point.clone()));
                break;
            }
            if flat_enough(&point) {
                return Ok(point);
            }
            if point.slope >= 0.0 {
                bracket = Some((previous.clone(), point.clone()));
                break;
            }
            let least = point.t + 0.01 * (point.t - previous.t);
            let t = minimum(&previous, &point, least, point.t * 10.0);
            previous = std::mem::replace(&mut point, at(t)?);
            evaluations += 1;
        }
        let (a, b) = bracket.unwrap_or((start.clone(), point));
        let (mut low, mut high) = if a.loss <= b.loss || b.loss.is_nan() {
            (a, b)
        } else {
            (b, a)
        };
        // Narrow it down.
        let mut stuck = false;
        while evaluations < MOST && (high.t - low.t).abs() * size >= self.tolerance_change {
            let (from, to) = (low.t.min(high.t), low.t.max(high.t));
            let mut t = match high.loss.is_finite() {
                true => minimum(&low, &high, from, to),
                false => (from + to) / 2.0,
            };
            // Too near to an end, twice or at it: one tenth inside.
            let margin = 0.1 * (to - from);
            if (to - t).min(t - from) < margin {
                if stuck || t >= to || t <= from {
                    t = if (t - to).abs() < (t - from).abs() {
                        to - margin
                    } else {
                        from + margin
                    };
                    stuck = false;
                } else {
                    stuck = true;
                }
            } else {
                stuck = false;
            }
            let point = at(t)?;
            evaluations += 1;
            if !low_enough(&point) || point.loss >= low.loss || !point.loss.is_finite() {
                high = point;
                continue;
            }
            if flat_enough(&point) {
                return Ok(point);
            }
            if point.slope * (high.t - low.t) >= 0.0 {
                high = low;
            }
            low = point;
        }
        self.place(&origin, direction, low.t)?;
        Ok(low)
    }

    /// Puts the parameters at a distance from the origin along the direction.
    fn place(&self, origin: &[Vec<f64>], direction: &[f64], t: f64) -> Result<()> {
        let mut rest = direction;
        let mut updates = Vec::new();
        for (p, from) in self.parameters.iter().zip(origin) {
            let (own, others) = rest.split_at_checked(from.len()).unwrap_or((rest, &[]));
            rest = others;
            let moved: Vec<f64> = from.iter().zip(own).map(|(x, d)| x + t * d).collect();
            let value = Value::from_vec(moved, p.shape()).cast(DType::F64);
            updates.push((p, value.cast(p.dtype())));
        }
        Parameter::set_all(updates, &[])
    }
}

/// Where the cubic through two points with their slopes has its minimum, within bounds; their
/// middle where it has none (Nocedal & Wright 2006, equation 3.59).
fn minimum(a: &Point, b: &Point, from: f64, to: f64) -> f64 {
    let (a, b) = if a.t <= b.t { (a, b) } else { (b, a) };
    let d1 = a.slope + b.slope - 3.0 * (a.loss - b.loss) / (a.t - b.t);
    let square = d1 * d1 - a.slope * b.slope;
    let d2 = square.sqrt();
    let t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2));
    match square >= 0.0 && t.is_finite() {
        true => t.max(from).min(to),
        false => (from + to) / 2.0,
    }
}
