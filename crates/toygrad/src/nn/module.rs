//! What a model is: something whose parameters can be visited, each with its name.

use crate::{DType, Error, Parameter, Result, Value};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

/// Something with parameters: a layer, a model, an optimiser's state.
///
/// `#[derive(Module)]` writes [`visit`](Module::visit) for structs and enums; the rest follows from
/// it. Names are the dotted paths of PyTorch: `layers.0.weight`. Plain types (numbers, strings,
/// `PhantomData`, ...) are modules without parameters, so that a struct with such fields derives
/// too; `#[module(skip)]` leaves out a field of any other type.
///
/// ```
/// use toygrad::prelude::*;
///
/// #[derive(Module)]
/// struct Net {
///     layers: Vec<Linear>,
///     scale: f64,
/// }
/// let net = Net { layers: vec![Linear::new(3, 2), Linear::new(2, 1)], scale: 0.5 };
/// let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]);
/// ```
pub trait Module {
    /// Shows every parameter and buffer to `visitor`, with its name: `prefix` joined with the
    /// path from here, by [`path`].
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter));

    /// Everything that is saved: parameters and buffers by name, in the order of the fields. One
    /// that is reached in two ways is there under both names.
    fn state_dict(&self) -> Vec<(String, Parameter)> {
        let mut found = Vec::new();
        self.visit("", &mut |name, p| found.push((name.to_string(), p.clone())));
        found
    }

    /// The parameters that are trained, each once, under its first name.
    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        once(self.state_dict(), true)
    }

    /// The parameters that are trained, each once.
    fn parameters(&self) -> Vec<Parameter> {
        let named = self.named_parameters().into_iter();
        named.map(|(_, p)| p).collect()
    }

    /// The state that is saved but not trained (running statistics, ...), each once, under its
    /// first name.
    fn buffers(&self) -> Vec<(String, Parameter)> {
        once(self.state_dict(), false)
    }

    /// Those of the parameters and buffers that `keep` wants, under their names: what an optimiser
    /// gets that trains a part of a model.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// let model = Mlp::new(&[2, 3, 1], Activation::Relu);
    /// let matrices = model.select(|_, p| p.shape().rank() == 2);
    /// let last = model.select(|name, _| name.starts_with("layers.1."));
    /// assert_eq!((matrices.parameters().len(), last.parameters().len()), (2, 2));
    /// ```
    fn select(&self, keep: impl Fn(&str, &Parameter) -> bool) -> Selection
    where
        Self: Sized,
    {
        let all = self.state_dict().into_iter();
        Selection(all.filter(|(name, p)| keep(name, p)).collect())
    }

    /// Puts Values into all parameters and buffers, by name.
    ///
    /// # Errors
    /// Names that are missing or that nothing here has; shapes that differ. Then nothing has
    /// changed.
    #[track_caller]
    fn load_state_dict(&self, state: &[(String, Value)]) -> Result<()> {
        let given: HashMap<&str, &Value> = state.iter().map(|(n, v)| (&n[..], v)).collect();
        let cells = self.state_dict();
        let own: HashSet<&str> = cells.iter().map(|(n, _)| &n[..]).collect();
        let missing = cells
            .iter()
            .map(|(n, _)| &n[..])
            .filter(|n| !given.contains_key(n));
        let missing: Vec<&str> = missing.collect();
        let unknown = state
            .iter()
            .map(|(n, _)| &n[..])
            .filter(|n| !own.contains(n));
        let unknown: Vec<&str> = unknown.collect();
        let list = |what: &str, names: Vec<&str>| match names.is_empty() {
            true => String::new(),
            false => format!("\n  {what}: {}", names.join(", ")),
        };
        if !missing.is_empty() || !unknown.is_empty() {
            return Err(Error::argument(format!(
                "the state does not fit the module{}{}",
                list("missing", missing),
                list("unknown", unknown)
            )));
        }
        let pairs = cells.iter().filter_map(|(name, cell)| {
            let value = given.get(&name[..])?;
            Some((cell, value.cast(cell.dtype())))
        });
        Parameter::set_all(pairs, &[])
    }

    /// How many numbers are trained.
    fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|p| p.shape().elements()).sum()
    }

    /// Forgets the gradients of all parameters.
    fn zero_grad(&self) {
        self.visit("", &mut |_, p| p.zero_grad());
    }

    /// Gives every parameter its path as its name, so that messages show it.
    fn name_parameters(&self) {
        self.visit("", &mut |name, p| {
            if !name.is_empty() {
                p.set_name(name);
            }
        });
    }
}

/// Some of a module's parameters and buffers: what [`Module::select`] gives.
#[derive(Clone, Debug)]
pub struct Selection(Vec<(String, Parameter)>);

impl Module for Selection {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        for (name, p) in &self.0 {
            visitor(&path(prefix, name), p);
        }
    }
}

/// Those that are trained or not, each cell once.
fn once(all: Vec<(String, Parameter)>, trainable: bool) -> Vec<(String, Parameter)> {
    let mut seen = HashSet::new();
    let wanted =
        |(_, p): &(String, Parameter)| p.is_trainable() == trainable && seen.insert(p.id());
    all.into_iter().filter(wanted).collect()
}

/// `name` under `prefix`: `path("layers", "0")` is `layers.0`.
pub fn path(prefix: &str, name: &str) -> String {
    match (prefix.is_empty(), name.is_empty()) {
        (true, _) => name.to_string(),
        (_, true) => prefix.to_string(),
        _ => format!("{prefix}.{name}"),
    }
}

/// A module that makes one Value of one: what [`Sequential`](super::Sequential) chains.
///
/// The layers of this library are of this kind; one that takes more than its input has methods of
/// its own beside [`forward`](Layer::forward).
pub trait Layer: Module + Send + Sync {
    /// The output for an input; shapes are in the documentation of each layer. A wrong shape gives
    /// a Value that carries the mistake.
    fn forward(&self, x: &Value) -> Value;
}

thread_local! {
    static TRAINING: Cell<bool> = const { Cell::new(true) };
}

/// Runs `f` with layers in evaluation mode: dropout lets everything pass, and batch normalisation
/// uses its running statistics and leaves them alone. What PyTorch's `model.eval()` does, for the
/// Values that `f` records, and no longer. (Gradients pass: see [`no_grad`](crate::no_grad).) A
/// compiled function keeps the mode in which it was recorded, so this belongs inside it.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::Dropout;
/// let y = eval(|| Dropout::new(0.5).forward(&Value::ones([4])));
/// assert_eq!(y.to_vec::<f32>()?, [1.0; 4]);
/// # Ok::<(), toygrad::Error>(())
/// ```
pub fn eval<T>(f: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            TRAINING.set(self.0);
        }
    }
    let _restore = Restore(TRAINING.replace(false));
    f()
}

/// Whether layers are in training mode: everywhere but inside [`eval`].
pub fn is_training() -> bool {
    TRAINING.get()
}

impl Module for Parameter {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        visitor(prefix, self);
    }
}

impl<M: Module> Module for Option<M> {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        if let Some(module) = self {
            module.visit(prefix, visitor);
        }
    }
}

impl<M: Module> Module for [M] {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        for (i, module) in self.iter().enumerate() {
            module.visit(&path(prefix, &i.to_string()), visitor);
        }
    }
}

impl<M: Module, const N: usize> Module for [M; N] {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        self[..].visit(prefix, visitor);
    }
}

impl<M: Module> Module for Vec<M> {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        self[..].visit(prefix, visitor);
    }
}

macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        impl<M: Module + ?Sized> Module for $pointer {
            fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
                (**self).visit(prefix, visitor);
            }
        }
    )*};
}
pointers!(&M, Box<M>, Rc<M>, Arc<M>);

macro_rules! tuples {
    ($(($($m:ident $i:tt),+))*) => {$(
        impl<$($m: Module),+> Module for ($($m,)+) {
            fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
                $(self.$i.visit(&path(prefix, stringify!($i)), visitor);)+
            }
        }
    )*};
}
tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

/// Types without parameters.
macro_rules! plain {
    ($($t:ty),*) => {$(
        impl Module for $t {
            fn visit(&self, _: &str, _: &mut dyn FnMut(&str, &Parameter)) {}
        }
    )*};
}
plain!(
    (),
    bool,
    char,
    str,
    String,
    f32,
    f64,
    u8,
    u16,
    u32,
    u64,
    usize,
    i8,
    i16,
    i32,
    i64,
    isize,
    DType,
    crate::Shape,
    fn(&Value) -> Value,
    super::Activation
);

impl<T: ?Sized> Module for PhantomData<T> {
    fn visit(&self, _: &str, _: &mut dyn FnMut(&str, &Parameter)) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Linear, Module};

    #[derive(Module)]
    struct Pair<T>(
        T,
        Option<Linear>,
        #[module(skip)]
        #[allow(dead_code)]
        std::time::Duration,
    );

    #[derive(Module)]
    enum Block {
        Linear(Linear),
        Two { first: Linear, r#type: Parameter },
        Empty,
    }

    #[derive(Module)]
    struct Model {
        blocks: Vec<Block>,
        pair: Pair<Parameter>,
        #[module(name = "c_attn")]
        attention: Box<(Linear, f64, [Parameter; 2])>,
        running: Parameter,
        size: usize,
    }

    fn model() -> Model {
        let scalar = || Parameter::new(1.0);
        let block = Block::Two {
            first: Linear::new(2, 3).without_bias(),
            r#type: scalar(),
        };
        Model {
            blocks: vec![Block::Linear(Linear::new(1, 2)), block, Block::Empty],
            pair: Pair(scalar(), None, std::time::Duration::ZERO),
            attention: Box::new((Linear::new(1, 1), 2.0, [scalar(), scalar()])),
            running: Parameter::buffer([0.0, 0.0]),
            size: 7,
        }
    }

    #[test]
    fn names_are_dotted_paths() {
        let model = model();
        let names: Vec<String> = model.state_dict().into_iter().map(|(n, _)| n).collect();
        let expected = [
            "blocks.0.weight",
            "blocks.0.bias",
            "blocks.1.first.weight",
            "blocks.1.type",
            "pair.0",
            "c_attn.0.weight",
            "c_attn.0.bias",
            "c_attn.2.0",
            "c_attn.2.1",
            "running",
        ];
        assert_eq!(names, expected);
        assert_eq!(model.parameter_count(), 2 + 2 + 6 + 1 + 1 + 1 + 1 + 2);
        assert_eq!(model.buffers()[0].0, "running");
        model.name_parameters();
        assert_eq!(model.pair.0.name(), "pair.0");
        assert_eq!(model.size, 7);
    }

    #[test]
    fn a_shared_parameter_counts_once() {
        let p = Parameter::new([1.0, 2.0]);
        let tied = (p.clone(), p.clone());
        assert_eq!(tied.state_dict().len(), 2);
        assert_eq!(tied.parameters().len(), 1);
        assert_eq!(tied.parameter_count(), 2);
    }

    #[test]
    fn a_state_that_does_not_fit_is_an_error() -> crate::Result<()> {
        let model = (Parameter::new([1.0, 2.0]), Parameter::new(3.0));
        let named = |names: &[&str]| -> Vec<(String, Value)> {
            names
                .iter()
                .map(|n| (n.to_string(), Value::from([5.0, 6.0])))
                .collect()
        };
        let error = |r: crate::Result<()>| r.err().map(|e| e.to_string()).unwrap_or_default();
        let message = error(model.load_state_dict(&named(&["0", "weight"])));
        assert!(
            message.contains("missing: 1\n  unknown: weight"),
            "{message}"
        );
        // The shape of the second is wrong, so the first does not change either.
        assert!(model.load_state_dict(&named(&["0", "1"])).is_err());
        assert_eq!(model.0.value().to_vec::<f64>()?, [1.0, 2.0]);
        let mut state = named(&["0"]);
        state.push(("1".into(), Value::from(7.0)));
        model.load_state_dict(&state)?;
        assert_eq!(model.0.value().to_vec::<f64>()?, [5.0, 6.0]);
        assert_eq!(model.1.value().item()?, 7.0);
        Ok(())
    }

    #[test]
    fn gradients_are_forgotten() -> crate::Result<()> {
        let model = model();
        model.blocks.iter().for_each(|b| match b {
            Block::Linear(layer) => {
                let y = layer.forward(&Value::ones([1, 1])).sum();
                assert!(y.backward().is_ok());
                assert!(layer.weight.grad().is_ok());
            }
            Block::Two { .. } | Block::Empty => {}
        });
        model.zero_grad();
        assert!(model.parameters().iter().all(|p| p.grad().is_err()));
        Ok(())
    }

    #[test]
    fn evaluation_mode_ends_with_its_scope() {
        assert!(is_training());
        eval(|| assert!(!is_training()));
        assert!(is_training());
    }
}
