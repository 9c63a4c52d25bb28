//! Images: files that Pillow wrote (tests/files/make.py), and files that are none.
#![cfg(feature = "images")]

use std::fs;
use std::path::{Path, PathBuf};
use toygrad::data::{Dataset, ImageFolder, Loader};
use toygrad::io::{ImageOptions, read_image};
use toygrad::prelude::*;

const GREY: ImageOptions = ImageOptions {
    grey: true,
    size: None,
};

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/images")
}

/// A folder of its own for each test, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = format!("toygrad-images-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn copy(&self, from: &str, to: &str) {
        let to = self.0.join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(files().join(from), to).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pixels(file: &str, options: &ImageOptions) -> Vec<u8> {
    let image = read_image(files().join(file), options).unwrap();
    let channels = if options.grey { 1 } else { 3 };
    assert_eq!(image.shape()[..], [channels, 2, 3], "{file}");
    image.to_vec().unwrap()
}

#[test]
fn images_of_every_kind() {
    // Pixel p has red 30 p, green 30 p + 10, blue 30 p + 20.
    let channel = |first: u8| (0..6).map(move |p| 30 * p + first);
    let expected: Vec<u8> = [0, 10, 20].into_iter().flat_map(channel).collect();
    for file in ["sea/rgb.png", "sea/rgba.PNG", "sea/palette.png"] {
        assert_eq!(pixels(file, &ImageOptions::default()), expected, "{file}");
    }
    assert_eq!(pixels("sky/grey16.png", &GREY), [0, 1, 255, 100, 10, 50]);
    assert_eq!(pixels("sky/plain.jpg", &GREY), [90; 6]);
    assert_eq!(pixels("sky/plain.jpg", &ImageOptions::default()), [90; 18]);
    let size = Some([5, 4]);
    let larger = read_image(
        files().join("sky/plain.jpg"),
        &ImageOptions { size, ..GREY },
    );
    let larger = larger.unwrap();
    assert_eq!(larger.shape()[..], [1, 5, 4]);
    assert_eq!(larger.to_vec::<u8>().unwrap(), [90; 20]);
}

#[test]
fn classes_are_folders_in_sorted_order() {
    let data = ImageFolder::open(files(), ImageOptions::default()).unwrap();
    assert_eq!(data.classes(), ["sea", "sky"]);
    let names: Vec<_> = data.files().iter().map(|(path, _)| path).collect();
    let names: Vec<_> = names.iter().filter_map(|p| p.file_name()).collect();
    let sorted = [
        "palette.png",
        "rgb.png",
        "rgba.PNG",
        "grey16.png",
        "plain.jpg",
    ];
    assert_eq!(names, sorted);
    let (x, y) = data.batch(&[4, 0]).unwrap();
    assert_eq!(x.shape()[..], [2, 3, 2, 3]);
    assert_eq!(y.to_vec::<i64>().unwrap(), [1, 0]);
    assert!(data.batch(&[5]).is_err());
    let loader = Loader::new(data, 2).shuffle(1).prefetch(2);
    let batches: Result<Vec<_>> = loader.epoch(0).collect();
    assert_eq!(batches.unwrap().len(), 3);
}

#[test]
fn faults_name_the_file() {
    let message = |path: &Path, options: ImageOptions| {
        let data = ImageFolder::open(path, options);
        let read = data.and_then(|d| d.batch(&(0..d.len()).collect::<Vec<_>>()));
        read.map(|_| ()).unwrap_err().to_string()
    };
    let folder = Folder::new("faults");
    let none = message(&folder.0.join("nowhere"), GREY);
    assert!(none.contains("nowhere: cannot read"), "{none}");
    let empty = message(&folder.0, GREY);
    assert!(empty.contains("holds no folders"), "{empty}");
    fs::create_dir(folder.0.join("cat")).unwrap();
    fs::write(folder.0.join("cat/notes.txt"), "no image").unwrap();
    let without = message(&folder.0, GREY);
    assert!(without.contains("cat: holds no image"), "{without}");

    let whole = fs::read(files().join("sea/rgb.png")).unwrap();
    for (bytes, what) in [
        (&b"GIF89a"[..], "text"),
        (&whole[..60], "cut"),
        (&[], "empty"),
    ] {
        fs::write(folder.0.join("cat/a.png"), bytes).unwrap();
        let damaged = message(&folder.0, GREY);
        assert!(
            damaged.contains("a.png: cannot be read as a PNG"),
            "{what}: {damaged}"
        );
    }
    // 2^31 - 1 pixels each way.
    let mut huge = whole.clone();
    huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    fs::write(folder.0.join("cat/a.png"), huge).unwrap();
    assert!(message(&folder.0, GREY).contains("a.png"));

    folder.copy("sea/rgb.png", "cat/a.png");
    folder.copy("sky/plain.jpg", "cat/b.jpeg");
    let size = |size| ImageOptions { size, grey: false };
    let larger = read_image(folder.0.join("cat/a.png"), &size(Some([4, 4])));
    assert_eq!(larger.unwrap().shape()[..], [3, 4, 4]);
    let zero = message(&folder.0, size(Some([0, 4])));
    assert!(zero.contains("[0, 4] pixels"), "{zero}");
}

#[test]
fn images_of_different_sizes_want_one() {
    let folder = Folder::new("sizes");
    folder.copy("sea/rgb.png", "a/1.png");
    folder.copy("../tall.png", "b/2.png");
    let data = |size| {
        let options = ImageOptions { grey: true, size };
        ImageFolder::open(&folder.0, options)
            .unwrap()
            .batch(&[0, 1])
    };
    let message = data(None).unwrap_err().to_string();
    assert!(
        message.contains("2.png: is 3 by 2 pixels") && message.contains("1.png 2 by 3"),
        "{message}"
    );
    assert_eq!(data(Some([2, 2])).unwrap().0.shape()[..], [2, 1, 2, 2]);
}
