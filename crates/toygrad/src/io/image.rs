//! Images: PNG and JPEG.

use super::file::{fault, read_bytes};
use crate::{Result, Value};
use image::imageops::FilterType;
use image::{DynamicImage, ImageReader, Limits};
use std::io::Cursor;
use std::path::Path;

/// How an image is read.
///
/// ```no_run
/// use toygrad::io::{ImageOptions, read_image};
/// let options = ImageOptions { grey: true, size: Some([28, 28]) };
/// assert_eq!(read_image("seven.png", &options)?.shape()[..], [1, 28, 28]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// In one channel of grey, not in red, green and blue.
    pub grey: bool,
    /// Brought to this height and width, by the mean of what falls into a pixel (bilinear between
    /// pixels where it becomes larger).
    pub size: Option<[usize; 2]>,
}

/// Reads a PNG or a JPEG file, which it is by its first bytes: u8 `[channels, height, width]`, with
/// 3 channels, or 1 of grey. What is transparent is taken for opaque; 16 bits become 8.
///
/// # Errors
/// What the system says; a file that is damaged, is no PNG or JPEG, or wants more than 512 MiB.
pub fn read_image(path: impl AsRef<Path>, options: &ImageOptions) -> Result<Value> {
    let path = path.as_ref();
    let bytes = read_bytes(path)?;
    let mut image = decode(&bytes).map_err(|e| {
        let message = format!("cannot be read as a PNG or JPEG image: {e}");
        fault(path, message)
    })?;
    if let Some(size) = options.size {
        let [height, width] = size.map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        if !(1..=MOST).contains(&height) || !(1..=MOST).contains(&width) {
            let message = format!("an image of {size:?} pixels: 1 to {MOST} are wanted");
            return Err(fault(path, message));
        }
        if (image.height(), image.width()) != (height, width) {
            image = image.resize_exact(width, height, FilterType::Triangle);
        }
    }
    let (height, width) = (image.height() as usize, image.width() as usize);
    Ok(match options.grey {
        true => Value::from_vec(image.into_luma8().into_raw(), [1, height, width]),
        false => {
            // Pixel after pixel becomes channel after channel.
            let pixels = image.into_rgb8().into_raw();
            let channel = |c: usize| pixels.iter().skip(c).step_by(3).copied();
            Value::from_vec((0..3).flat_map(channel).collect(), [3, height, width])
        }
    })
}

/// The longest side that images are brought to.
const MOST: u32 = 1 << 14;

fn decode(bytes: &[u8]) -> image::ImageResult<DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    // A header may claim any size; packed data gives at most some 1,030 times its own.
    let mut limits = Limits::default();
    let most = bytes.len() as u64 * 1100 + (1 << 16);
    limits.max_alloc = Some(most.min(1 << 29));
    reader.limits(limits);
    reader.decode()
}
