//! The handwritten digits that come with the crate.

use crate::{Error, Result, Value};
use flate2::read::GzDecoder;
use std::io::Read;

const FILE: &[u8] = include_bytes!("../../data/digits.csv.gz");

/// 1,797 handwritten digits, 8 by 8 pixels: images (f32 `[1797, 64]`, grey values scaled to 0..1)
/// and labels (i64 `[1797]`, 0..9).
///
/// UCI Machine Learning Repository, "Optical Recognition of Handwritten Digits" (E. Alpaydin and
/// C. Kaynak, 1998), licence CC BY 4.0.
///
/// ```
/// let (images, labels) = toygrad::data::digits()?;
/// assert_eq!(images.shape()[..], [1797, 64]);
/// assert_eq!(labels.to_vec::<i64>()?[..5], [0, 1, 2, 3, 4]);
/// # Ok::<(), toygrad::Error>(())
/// ```
///
/// # Errors
/// None, unless the crate was built with another file in its place.
pub fn digits() -> Result<(Value, Value)> {
    let fault = |message: String| Error::file("digits.csv.gz", None, message);
    let mut text = String::new();
    let mut file = GzDecoder::new(FILE).take(1 << 22);
    file.read_to_string(&mut text)
        .map_err(|e| fault(e.to_string()))?;
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for (i, line) in text.lines().enumerate() {
        let numbers: Vec<u8> = line.split(',').map_while(|x| x.parse().ok()).collect();
        match numbers.split_last() {
            Some((label, pixels)) if pixels.len() == 64 && *label < 10 => {
                images.extend(pixels.iter().map(|&p| f32::from(p) / 16.0));
                labels.push(i64::from(*label));
            }
            _ => return Err(fault(format!("line {}: not 65 numbers", i + 1))),
        }
    }
    let images = Value::from_vec(images, [labels.len(), 64]);
    Ok((images, labels.into_iter().collect()))
}
