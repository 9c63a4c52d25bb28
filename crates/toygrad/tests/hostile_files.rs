//! Thousands of damaged files of every format that is read: each is read or refused, none panics,
//! and none makes the reader ask for more memory than a small multiple of its size.
#![cfg(feature = "files")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use toygrad::io::{self, Characters, Features, Target};
use toygrad::prelude::*;
use toygrad::train::Checkpoint;

/// Notes the largest request.
struct Watch;

thread_local! {
    /// Of this thread: tests run beside one another.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn note(size: usize) {
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

// SAFETY: all is handed to the system's allocator.
unsafe impl GlobalAlloc for Watch {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watch = Watch;

/// A small generator of numbers (xorshift64*), so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }

    /// A few changes: bits, bytes, digits, runs of bytes taken out, doubled, or set to extremes.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len());
            let run = at..(at + 1 + self.below(12)).min(bytes.len());
            match self.below(9) {
                _ if bytes.is_empty() => bytes.push(self.below(256) as u8),
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.below(256) as u8,
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(run)),
                4 => bytes[run].fill(0xff),
                5 => bytes[run].fill(0),
                6 => {
                    let copy = bytes[run].to_vec();
                    bytes.splice(at..at, copy);
                }
                7 => {
                    let digits = bytes.iter().enumerate().filter(|(_, b)| b.is_ascii_digit());
                    let digits: Vec<usize> = digits.map(|(i, _)| i).collect();
                    if let Some(&i) = digits.get(self.below(digits.len())) {
                        let number = ["9", "0", "-1", "99999999999999999999", "1e309", "nan"];
                        bytes.splice(i..=i, number[self.below(6)].bytes());
                    }
                }
                _ => {
                    let special = b"[]{}\"',:\n\r\t\\()";
                    bytes[at] = special[self.below(special.len())];
                }
            }
        }
        bytes
    }
}

/// Reads `cases` damaged files made of valid ones.
fn attack(name: &str, valid: &[Vec<u8>], cases: usize, read: impl Fn(&Path) -> Result<()>) {
    let folder =
        std::env::temp_dir().join(format!("toygrad-hostile-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path: PathBuf = folder.join("file");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut refused = 0;
    for case in 0..cases {
        let bytes = random.damage(&valid[case % valid.len()]);
        fs::write(&path, &bytes).unwrap();
        LARGEST.set(0);
        let result = read(&path);
        // A gzip stream may unpack to a thousand times its size; buffers have a floor.
        let bound = 2000 * bytes.len() + (1 << 20);
        let largest = LARGEST.get();
        assert!(largest <= bound, "case {case} asks for {largest} bytes");
        if let Err(e) = result {
            refused += 1;
            let text = e.to_string();
            assert!(text.contains("file") || !text.is_empty(), "case {case}");
        }
    }
    fs::remove_dir_all(&folder).unwrap();
    assert!(
        refused * 20 > cases,
        "only {refused} of {cases} were refused"
    );
}

/// The bytes that `write` writes.
fn written(name: &str, write: impl Fn(&Path) -> Result<()>) -> Vec<u8> {
    let path = std::env::temp_dir().join(format!("toygrad-valid-{name}-{}", std::process::id()));
    write(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    bytes
}

fn values() -> Vec<(&'static str, Value)> {
    vec![
        ("a", Value::from([[1.5f32, -2.0], [3.0, 0.0]])),
        ("b", Value::from([1e300, -0.0])),
        ("c", Value::from([[1i64], [2]])),
        ("d", Value::from([true, false])),
    ]
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut out, bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn safetensors() {
    let file = written("st", |path| {
        io::write_safetensors(path, values(), &[("k", "v")])
    });
    let model = Linear::new(2, 2);
    attack("st", &[file], 2000, |path| {
        let tensors = io::read_safetensors(path)?;
        io::load_with(&model, &tensors)?;
        for value in tensors.values.values() {
            value.to_vec::<f64>()?;
        }
        Ok(())
    });
}

#[test]
fn checkpoints() {
    let tensors = [("w", Value::from([1.0]))];
    let state = r#"{"version":1,"epoch":1,"batch":2,"step":3,"loss_sum":0.5,"learning_rate":null,
        "stopped":false,"seed":1,"position":2,"settings":"","best":null,"waited":0,
        "records":[{"epoch":1,"step":3,"train_loss":0.5,"metrics":[["a",1.0]],"learning_rate":0.1,"seconds":1}]}"#;
    let file = written("cp", |path| {
        io::write_safetensors(path, tensors.clone(), &[("toygrad", state)])
    });
    attack("cp", &[file], 1000, |path| Checkpoint::read(path).map(drop));
}

#[test]
fn npy() {
    let files: Vec<Vec<u8>> = values()
        .iter()
        .map(|(name, v)| written(name, |path| io::write_npy(path, v)))
        .collect();
    attack("npy", &files, 2000, |path| {
        io::read_npy(path)?.to_vec::<f64>().map(drop)
    });
}

#[test]
fn npz() {
    let file = written("npz", |path| io::write_npz(path, &values()));
    attack("npz", &[file], 2000, |path| io::read_npz(path).map(drop));
}

#[test]
fn idx() {
    let mut plain = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
    plain.extend(0..24);
    let files = [packed(&plain), plain];
    attack("idx", &files, 2000, |path| {
        io::read_idx(path)?.to_vec::<u8>().map(drop)
    });
}

#[test]
fn csv() {
    let files = [
        "height,colour,class\n1.5,red,a\n2.5,blue,b\n3.5,red,a\n4.5,,b\n"
            .as_bytes()
            .to_vec(),
        "4,2,yes,no\n1.5,2,0\n2.5,3,1\n3.5,4,0\n4.5,5,1\n".into(),
        packed(b"a;b\n\"1\n2\";3\n4;5\n"),
    ];
    attack("csv", &files, 3000, |path| {
        let table = io::read_csv(path)?;
        let last = table.columns.last().map_or("", |c| &c.name[..]);
        let target = Target::of(&table, last, None);
        let features = Features::of(&table, &[last]);
        let whole = table.without_missing();
        Target::from_json(path, &target?.to_json())?.encode(&whole)?;
        Features::from_json(path, &features?.to_json())?
            .encode(&table)
            .map(drop)
    });
}

#[test]
fn saved_features_and_targets() {
    let files = [
        br#"[{"name":"x","categories":null},{"name":"y","categories":["a","b"]}]"#.to_vec(),
        br#"{"name":"x","classes":["a","b"]}"#.to_vec(),
    ];
    attack("schema", &files, 2000, |path| {
        let text = io::read_text(path)?;
        match text.starts_with('[') {
            true => Features::from_json(path, &text).map(drop),
            false => Target::from_json(path, &text).map(drop),
        }
    });
}

#[test]
fn text() {
    let files = ["añb€\u{1f600}\nline\n".as_bytes().to_vec()];
    attack("text", &files, 2000, |path| {
        let text = io::read_text(path)?;
        Characters::of(&text).encode(&text).map(drop)
    });
}

#[cfg(feature = "images")]
#[test]
fn images() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/images");
    let names = [
        "sea/palette.png",
        "sea/rgb.png",
        "sky/grey16.png",
        "sky/plain.jpg",
    ];
    let files = names.map(|name| fs::read(folder.join(name)).unwrap());
    attack("images", &files, 4000, |path| {
        let size = Some([5, 3]);
        io::read_image(path, &io::ImageOptions { grey: false, size })?;
        io::read_image(path, &io::ImageOptions::default()).map(drop)
    });
}
