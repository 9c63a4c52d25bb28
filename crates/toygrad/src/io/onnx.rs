//! Models as ONNX files.

use super::file::write_atomically;
use crate::nn::{Module, eval};
use crate::{OnnxOptions, Result, Tree, to_onnx};
use std::path::Path;

/// Exports a model as an ONNX file, for runtimes that have no toygrad (`torch.onnx.export`). The
/// forward function is recorded once in evaluation mode, with inputs of the shapes and dtypes of
/// the arguments; whatever it composes of this library's operations is exported, not only known
/// layers. Parameters are in the file under the names that they have in the model. See
/// [`to_onnx`] for what cannot be exported.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::io;
/// # let path = std::env::temp_dir().join(format!("toygrad-{}.onnx", std::process::id()));
/// let model = Mlp::new(&[4, 8, 3], Activation::Relu);
/// io::export_onnx(&model, |x: Value| model.forward(&x), Value::ones([1, 4]), &path)?;
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), toygrad::Error>(())
/// ```
///
/// # Errors
/// As [`to_onnx`]; what the system says.
#[track_caller]
pub fn export_onnx<A: Tree, R: Tree>(
    model: &(impl Module + ?Sized),
    forward: impl Fn(A) -> R,
    arguments: A,
    path: impl AsRef<Path>,
) -> Result<()> {
    export_onnx_with(model, forward, arguments, path, &OnnxOptions::default())
}

/// [`export_onnx`] with names of inputs and outputs, any extent of the batch, texts about the model.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::{OnnxOptions, io};
/// # let path = std::env::temp_dir().join(format!("toygrad-with-{}.onnx", std::process::id()));
/// let model = Mlp::new(&[4, 8, 3], Activation::Relu);
/// let options = OnnxOptions {
///     inputs: vec!["measurements".into()],
///     outputs: vec!["scores".into()],
///     dynamic_batch: true,
///     ..OnnxOptions::default()
/// };
/// io::export_onnx_with(&model, |x: Value| model.forward(&x), Value::ones([1, 4]), &path, &options)?;
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), toygrad::Error>(())
/// ```
///
/// # Errors
/// As [`export_onnx`]; with `dynamic_batch`, a function that depends on the extent of the batch in
/// another way than through lengths of axes.
#[track_caller]
pub fn export_onnx_with<A: Tree, R: Tree>(
    model: &(impl Module + ?Sized),
    forward: impl Fn(A) -> R,
    arguments: A,
    path: impl AsRef<Path>,
    options: &OnnxOptions,
) -> Result<()> {
    let forward = |arguments: A| eval(|| forward(arguments));
    let bytes = to_onnx(forward, arguments, &model.state_dict(), options)?;
    write_atomically(path, |file| file.write_all(&bytes))
}
