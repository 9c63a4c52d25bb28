//! Images in folders, one folder for each class.

use super::Dataset;
use crate::io::{ImageOptions, read_image};
use crate::{Error, Result, Value};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of folders of images, as PyTorch's `ImageFolder`: `cat/1.png`, `dog/a.jpg`. The names
/// of the folders are the classes, numbered in their sorted order. A batch is the images, u8
/// `[n, channels, height, width]`, and their classes, i64 `[n]`; images are read when they are
/// asked for, so [`Loader::prefetch`](super::Loader::prefetch) is of use.
///
/// Files whose names end in `.png`, `.jpg` or `.jpeg` are images. Others, folders within those of
/// the classes, and names that begin with a dot are left out.
///
/// ```no_run
/// use toygrad::data::{Dataset, ImageFolder, Loader};
/// use toygrad::io::ImageOptions;
/// let options = ImageOptions { grey: false, size: Some([64, 64]) };
/// let pets = ImageFolder::open("pets", options)?;
/// println!("{} images of {:?}", pets.len(), pets.classes());
/// let loader = Loader::new(pets, 32).shuffle(1).prefetch(2);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    classes: Vec<String>,
    files: Vec<(PathBuf, i64)>,
    options: ImageOptions,
}

impl ImageFolder {
    /// Finds the classes and the files, in sorted order; reads no image yet.
    ///
    /// # Errors
    /// A folder that cannot be read or has no folders in it; a class without images.
    pub fn open(path: impl AsRef<Path>, options: ImageOptions) -> Result<ImageFolder> {
        let path = path.as_ref();
        let (mut classes, mut files) = (Vec::new(), Vec::new());
        for folder in entries(path)?.into_iter().filter(|p| p.is_dir()) {
            let class = classes.len() as i64;
            let images = entries(&folder)?.into_iter().filter(|p| is_image(p));
            let before = files.len();
            files.extend(images.map(|file| (file, class)));
            if files.len() == before {
                let message = "holds no image of its class: no .png, .jpg or .jpeg";
                return Err(Error::file(&folder, None, message));
            }
            classes.push(name(&folder));
        }
        if classes.is_empty() {
            let message = "holds no folders: a folder of images is wanted for each class";
            return Err(Error::file(path, None, message));
        }
        Ok(ImageFolder {
            classes,
            files,
            options,
        })
    }

    /// The names of the classes; the position of each is its number.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The files, with the numbers of their classes, in the order of the dataset.
    pub fn files(&self) -> &[(PathBuf, i64)] {
        &self.files
    }
}

/// What is in a folder, by name, without what is hidden.
fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let fault = |e| Error::file(path, None, format!("cannot read this folder: {e}"));
    let all = fs::read_dir(path).map_err(fault)?;
    let paths = all.map(|entry| Ok(entry.map_err(fault)?.path()));
    let mut paths = paths.collect::<Result<Vec<PathBuf>>>()?;
    paths.retain(|p| !name(p).starts_with('.'));
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    ["png", "jpg", "jpeg"].iter().any(|e| ending == *e) && path.is_file()
}

impl Dataset for ImageFolder {
    type Batch = (Value, Value);

    fn len(&self) -> usize {
        self.files.len()
    }

    /// # Errors
    /// A position out of range; a file that cannot be read; images of different sizes, where none
    /// was given.
    fn batch(&self, indices: &[usize]) -> Result<(Value, Value)> {
        let (mut pixels, mut classes) = (Vec::new(), Vec::new());
        let mut first: Option<(Vec<usize>, &Path)> = None;
        for &i in indices {
            let Some((path, class)) = self.files.get(i) else {
                let message = format!("image {i} of {}: positions begin at 0", self.len());
                return Err(Error::argument(message));
            };
            let image = read_image(path, &self.options)?;
            let shape = image.shape().to_vec();
            let (expected, other) = first.get_or_insert_with(|| (shape.clone(), path));
            if *expected != shape {
                let message = format!(
                    "is {} by {} pixels, and {} {} by {}: give a size that all are brought to",
                    shape[1],
                    shape[2],
                    other.display(),
                    expected[1],
                    expected[2]
                );
                return Err(Error::file(path, None, message));
            }
            pixels.extend(image.to_vec::<u8>()?);
            classes.push(*class);
        }
        let shape = match first {
            Some((shape, _)) => [&[indices.len()], &shape[..]].concat(),
            None => vec![0, if self.options.grey { 1 } else { 3 }, 0, 0],
        };
        let n = classes.len();
        Ok((
            Value::from_vec(pixels, &shape[..]),
            Value::from_vec(classes, [n]),
        ))
    }
}
