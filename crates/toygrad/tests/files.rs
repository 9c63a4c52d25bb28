//! Files that are whole, and files that are not: what is read, and what is said.
#![cfg(feature = "files")]

use std::fs;
use std::path::PathBuf;
use toygrad::io::{self, Content, CsvOptions, Features, Target, Task};
use toygrad::prelude::*;

/// A folder of its own for each test, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("toygrad-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn values() -> Vec<(&'static str, Value)> {
    vec![
        ("f32", Value::from([[1.5f32, -2.0], [f32::NAN, 0.0]])),
        ("f64", Value::from([1e300, -0.0])),
        ("i64", Value::from([i64::MIN, i64::MAX])),
        ("u8", Value::from([[0u8], [255]])),
        ("bool", Value::from([true, false, true])),
        ("scalar", Value::from_vec(vec![7.0f32], ())),
        ("empty", Value::from_vec(Vec::<f32>::new(), [0, 3])),
    ]
}

fn same(a: &Value, b: &Value) {
    assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()));
    let bits = |v: &Value| match v.dtype() {
        DType::F32 => v
            .to_vec::<f32>()
            .unwrap()
            .iter()
            .map(|x| u64::from(x.to_bits()))
            .collect(),
        DType::F64 => v
            .to_vec::<f64>()
            .unwrap()
            .iter()
            .map(|x| x.to_bits())
            .collect(),
        _ => v
            .to_vec::<i64>()
            .unwrap()
            .iter()
            .map(|&x| x as u64)
            .collect::<Vec<_>>(),
    };
    assert_eq!(bits(a), bits(b));
}

fn fault<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("no fault was found"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn every_dtype_and_shape_survives() {
    let folder = Folder::new("dtypes");
    let (st, npz) = (folder.0.join("a.safetensors"), folder.0.join("a.npz"));
    io::write_safetensors(&st, values(), &[("about", "a test")]).unwrap();
    let tensors = io::read_safetensors(&st).unwrap();
    assert_eq!(tensors.metadata["about"], "a test");
    io::write_npz(&npz, &values()).unwrap();
    let arrays = io::read_npz(&npz).unwrap();
    for (name, value) in values() {
        let npy = folder.0.join("a.npy");
        io::write_npy(&npy, &value).unwrap();
        same(&value, &io::read_npy(&npy).unwrap());
        same(&value, &tensors.values[name]);
        same(&value, &arrays[name]);
    }
    assert_eq!(tensors.values.len(), 7);
    // The same arrays give the same bytes.
    let before = fs::read(&st).unwrap();
    io::write_safetensors(&st, values(), &[("about", "a test")]).unwrap();
    assert_eq!(before, fs::read(&st).unwrap());
}

/// A header and the bytes after it, as an NPY file of version 1.
fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn npy_of_other_writers() {
    let folder = Folder::new("npy");
    let fortran = npy(
        "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n",
        &[0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 255, 255],
    );
    let value = io::read_npy(folder.file("a.npy", fortran)).unwrap();
    assert_eq!(value.shape()[..], [2, 3]);
    assert_eq!(value.to_vec::<i64>().unwrap(), [1, 2, 3, 4, 5, -1]);
    for (header, part) in [
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99,), }",
            "needs 396 bytes",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551615, 4), }",
            "too many",
        ),
        (
            "{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }",
            "astype",
        ),
        (
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
            "dictionary",
        ),
        ("{'fortran_order': False, 'shape': (1,), }", "dictionary"),
    ] {
        let message = fault(io::read_npy(folder.file("b.npy", npy(header, &[0; 4]))));
        assert!(message.contains(part), "{message}");
    }
    let message = fault(io::read_npy(folder.file("c.npy", "PK\x03\x04")));
    assert!(message.contains("byte 0"), "{message}");
}

#[test]
fn safetensors_that_lie() {
    let folder = Folder::new("lies");
    let file = |header: &str, data: &[u8]| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        folder.file("a.safetensors", bytes)
    };
    let half = r#"{"h":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}"#;
    let tensors = io::read_safetensors(file(half, &[0x80, 0x3f, 0x00, 0xc0])).unwrap();
    assert_eq!(tensors.values["h"].to_vec::<f32>().unwrap(), [1.0, -2.0]);

    let one = |dtype: &str, shape: &str, end: &str| {
        format!(r#"{{"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    // Sizes whose sum wraps around to what the file has.
    let mut wrapping = String::from("{");
    let mut start = 0u64;
    for i in 0..8 {
        let end = start.wrapping_add((1 << 61) - 1);
        wrapping += &format!(
            r#""{i}":{{"dtype":"U8","shape":[{}],"data_offsets":[{start},{end}]}},"#,
            (1u64 << 61) - 1
        );
        start = end;
    }
    wrapping.pop();
    wrapping.push('}');
    let deep = "[".repeat(100_000);
    for (header, part) in [
        (
            one("F32", "[2]", "8"),
            "describes 8 bytes of numbers, the file has 4",
        ),
        (one("F32", "[3]", "4"), "damaged"),
        (one("F32", "[18446744073709551615]", "4"), "damaged"),
        (one("F8_E4M3", "[4]", "4"), "toygrad has no dtype for"),
        (one("WHAT", "[4]", "4"), "damaged"),
        (wrapping, "cut off or appended to"),
        (deep, "damaged"),
        ("{}".into(), "describes 0 bytes"),
        (String::new(), "damaged"),
    ] {
        let message = fault(io::read_safetensors(file(&header, &[0; 4])));
        assert!(message.contains(part), "{message}");
    }
    let long = folder.file("b.safetensors", u64::MAX.to_le_bytes());
    assert!(fault(io::read_safetensors(long)).contains("longer than the file"));
    let short = folder.file("c.safetensors", "abc");
    assert!(fault(io::read_safetensors(short)).contains("too short"));
}

#[test]
fn idx_plain_and_packed() {
    let folder = Folder::new("idx");
    let plain = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255];
    let value = io::read_idx(folder.file("a.idx", plain)).unwrap();
    assert_eq!(
        (value.dtype(), &value.shape()[..]),
        (DType::U8, &[2, 3][..])
    );
    assert_eq!(value.to_vec::<u8>().unwrap(), [1, 2, 3, 4, 5, 255]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, &plain).unwrap();
    let packed = packed.finish().unwrap();
    same(&value, &io::read_idx(folder.file("a.gz", &packed)).unwrap());
    let float = [0, 0, 13, 1, 0, 0, 0, 1, 0x3f, 0x80, 0, 0];
    let value = io::read_idx(folder.file("b.idx", float)).unwrap();
    assert_eq!(value.to_vec::<f32>().unwrap(), [1.0]);
    for (bytes, part) in [
        (&plain[..17], "cut off"),
        (&plain[..7], "axes"),
        (&plain[..2], "begin"),
        (&[0, 0, 7, 0][..], "format 0x07"),
        (
            &[0, 0, 8, 2, 255, 255, 255, 255, 255, 255, 255, 255][..],
            "does not fit",
        ),
        (&packed[..packed.len() - 4], "damaged"),
    ] {
        let message = fault(io::read_idx(folder.file("c.idx", bytes)));
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn packed_data_of_another_length() {
    let folder = Folder::new("bomb");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, &[0, 0, 8, 1, 0x7f, 0xff, 0xff, 0xff]).unwrap();
    std::io::Write::write_all(&mut packed, &vec![0; 1 << 22]).unwrap();
    let message = fault(io::read_idx(folder.file("a.gz", packed.finish().unwrap())));
    assert!(message.contains("does not fit"), "{message}");
}

#[test]
fn csv_types_are_inferred() {
    let folder = Folder::new("csv");
    let text =
        "\u{feff}height;name;\"class; of it\";n\n1.5;Ann;a;1\n\n ?;Bob;b;2\n2e3;\"C\nD\";a;\n";
    let table = io::read_csv(folder.file("a.csv", text)).unwrap();
    let names: Vec<&str> = table.columns.iter().map(|c| &c.name[..]).collect();
    assert_eq!(names, ["height", "name", "class; of it", "n"]);
    assert_eq!(table.missing(), [(1, 0), (2, 3)]);
    assert_eq!(table.without_missing().rows(), 1);
    assert_eq!(table.lines[0], 2);
    let Content::Categories { names, rows } = &table.columns[2].content else {
        panic!("words are categories");
    };
    assert_eq!(
        (names.len(), &rows[..]),
        (2, &[Some(0), Some(1), Some(0)][..])
    );
    let message = fault(Features::of(&table, &["name"]).unwrap().encode(&table));
    assert!(
        message.contains("column 1 (height): no value (2 missing"),
        "{message}"
    );

    // No header; tabs; numbers that are said to be categories.
    let path = folder.file("b.csv", "1\t2\n3\t4\n");
    let table = io::read_csv(&path).unwrap();
    assert_eq!(table.columns[1].name, "column_2");
    assert_eq!(table.columns[1].content, Content::Numbers(vec![2.0, 4.0]));
    let options = CsvOptions {
        categories: vec!["column_2".into()],
        ..Default::default()
    };
    let table = io::read_csv_with(&path, &options).unwrap();
    assert!(matches!(
        table.columns[1].content,
        Content::Categories { .. }
    ));
}

#[test]
fn csv_faults_have_a_line_and_a_column() {
    let folder = Folder::new("csv-faults");
    let many = |last: &str| format!("x,y\n{}{last}\n", "1,2\n".repeat(30));
    for (text, parts) in [
        ("".to_string(), &["is empty"][..]),
        ("a,b\n".into(), &["no row"]),
        (
            "a,a\n1,2\n".into(),
            &["line 1", "two columns are named \"a\""],
        ),
        (
            "a,b\n1,2\n3\n".into(),
            &["line 3", "has 1 fields, line 2 has 2"],
        ),
        ("a,b,c\n1,2\n".into(), &["line 1", "has 3 fields"]),
        (
            many("oops,3"),
            &["line 32", "column 1 (x)", "\"oops\" is no number"],
        ),
        (
            "2,1,yes\n1,0\n2,1\n".into(),
            &["line 3", "class 1", "1 classes"],
        ),
    ] {
        let message = fault(io::read_csv(folder.file("a.csv", &text)));
        for part in parts {
            assert!(message.contains(part), "{text:?}: {message}");
        }
    }
    let message = fault(io::read_csv(folder.file("b.csv", b"a,b\n1,\xff\n")));
    assert!(
        message.contains("line 2") && message.contains("UTF-8"),
        "{message}"
    );
    assert!(fault(io::read_csv(folder.0.join("none.csv"))).contains("check the path"));
    assert!(fault(io::read_csv(&folder.0)).contains("folder"));
}

#[test]
fn the_layout_that_counts_its_rows() {
    let folder = Folder::new("counted");
    let text = "3,2,setosa,versicolor\n5.1,3.5,0\n4.9,3.0,1\n6.0,2.0,0\n";
    let table = io::read_csv(folder.file("iris.csv", text)).unwrap();
    let features = Features::of(&table, &["class"]).unwrap();
    assert_eq!(features.names(), ["feature_1", "feature_2"]);
    assert_eq!(features.encode(&table).unwrap().shape()[..], [3, 2]);
    let target = Target::of(&table, "class", None).unwrap();
    let classes = ["setosa", "versicolor"].map(String::from).to_vec();
    assert_eq!(target.task, Task::Classification(classes));
    assert_eq!(
        target.encode(&table).unwrap().to_vec::<i64>().unwrap(),
        [0, 1, 0]
    );
}

#[test]
fn what_was_learned_of_a_table_is_applied_to_another() {
    let folder = Folder::new("schema");
    let train = "x,colour,y\n1,red,3.5\n2,blue,4.25\n3,red,5\n4,blue,6\n";
    let train = io::read_csv(folder.file("train.csv", train)).unwrap();
    let target = Target::of(&train, "y", None).unwrap();
    assert_eq!(target.task, Task::Regression);
    assert_eq!(target.encode(&train).unwrap().shape()[..], [4, 1]);
    let features = Features::of(&train, &["y"]).unwrap();
    let features = Features::from_json("model", &features.to_json()).unwrap();
    assert_eq!(
        Target::from_json("model", &target.to_json()).unwrap(),
        target
    );
    let test = io::read_csv(folder.file("a.csv", "colour,x\nblue,7\n")).unwrap();
    let encoded = features.encode(&test).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(encoded, [7.0, 1.0, 0.0]);
    for (text, part) in [
        (
            "colour,x\ngreen,7\n",
            "line 2, column 1 (colour): \"green\" was not there",
        ),
        ("colour,x\nblue,seven\n", "a word, in training a number"),
        ("colour,x\nblue,1e300\n", "too large"),
        ("colour\nblue\n", "has no column \"x\"; there are colour"),
    ] {
        let table = io::read_csv(folder.file("b.csv", text)).unwrap();
        let message = fault(features.encode(&table));
        assert!(message.contains(part), "{message}");
    }
    for damaged in ["", "{}", "[{\"name\": 3}]", "[1]"] {
        assert!(Features::from_json("model", damaged).is_err());
        assert!(Target::from_json("model", damaged).is_err());
    }
    // Numbers that are classes.
    let rows: String = (0..30).map(|i| format!("{i},{}\n", i % 3)).collect();
    let table = io::read_csv(folder.file("c.csv", format!("x,k\n{rows}"))).unwrap();
    let target = Target::of(&table, "k", None).unwrap();
    assert_eq!(
        target.task,
        Task::Classification(["0", "1", "2"].map(String::from).to_vec())
    );
    assert_eq!(target.encode(&table).unwrap().dtype(), DType::I64);
    assert_eq!(
        Target::of(&table, "k", Some(false)).unwrap().task,
        Task::Regression
    );
    assert!(Target::of(&table, "nothing", None).is_err());
}

#[test]
fn a_failed_write_leaves_what_was_there() {
    let folder = Folder::new("atomic");
    let path = folder.file("a.txt", "before");
    let message = fault(io::write_atomically(&path, |file| {
        file.write_all(b"half")?;
        Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
    }));
    assert!(message.contains("make room"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), b"before");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    assert!(fault(io::write_text(folder.0.join("no/a.txt"), "x")).contains("cannot write"));
    assert!(io::write_text("/", "x").is_err());
    let failed = Value::from([1.0, 2.0]) + Value::from([1.0; 3]);
    assert!(io::write_npy(&path, &failed).is_err());
    assert!(io::write_safetensors(&path, [("x", failed)], &[]).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"before");
}

#[test]
fn text_is_utf8() {
    let folder = Folder::new("text");
    assert_eq!(
        io::read_text(folder.file("a", "\u{feff}añb")).unwrap(),
        "añb"
    );
    assert!(fault(io::read_text(folder.file("b", b"a\nb\xff"))).contains("line 2"));
}

#[test]
fn models_load_what_was_saved_or_say_all_that_differs() {
    let folder = Folder::new("models");
    let path = folder.0.join("model.safetensors");
    let model = Mlp::new(&[3, 4, 2], Activation::Relu);
    let optimizer = Adam::new(&model, 0.1);
    let x = Value::ones([1, 3]);
    let _ = optimizer.minimize(&model.forward(&x).sum()).item().unwrap();
    io::save(&(&model, &optimizer), &path).unwrap();

    let other = Mlp::new(&[3, 4, 2], Activation::Relu);
    let second = Adam::new(&other, 0.5);
    io::load(&(&other, &second), &path).unwrap();
    assert_eq!(second.learning_rate().unwrap(), 0.1);
    for ((name, a), (_, b)) in model.state_dict().iter().zip(other.state_dict()) {
        assert_eq!(
            a.value().to_vec::<f32>().unwrap(),
            b.value().to_vec::<f32>().unwrap(),
            "{name}"
        );
    }
    for ((_, a), (_, b)) in optimizer.state_dict().iter().zip(second.state_dict()) {
        assert_eq!(
            a.value().to_vec::<f64>().unwrap(),
            b.value().to_vec::<f64>().unwrap()
        );
    }

    io::save(&model, &path).unwrap();
    let wider = Mlp::new(&[3, 5, 2, 2], Activation::Relu);
    let before = wider.layers[0].weight.value().to_vec::<f32>().unwrap();
    let message = fault(io::load(&wider, &path));
    for part in [
        "missing in the file",
        "layers.2.weight",
        "layers.0.weight: [5, 3] f32 in the model, [4, 3] f32 in the file",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(
        before,
        wider.layers[0].weight.value().to_vec::<f32>().unwrap()
    );
    let report = io::load_with(&wider, &io::read_safetensors(&path).unwrap()).unwrap();
    assert_eq!(report.mismatched.len(), 3);
    assert_eq!(report.missing, ["layers.2.weight", "layers.2.bias"]);
    let small = Linear::new(1, 1);
    let message = fault(io::load(&small, &path));
    assert!(
        message.contains("not in the model:\n    layers.0.bias"),
        "{message}"
    );

    // Weights of another precision are converted.
    let wide: Vec<(String, Value)> = model
        .state_dict()
        .into_iter()
        .map(|(n, p)| (n, p.value().cast(DType::F64)))
        .collect();
    io::write_safetensors(&path, wide.iter().map(|(n, v)| (&n[..], v.clone())), &[]).unwrap();
    io::load(&model, &path).unwrap();
    // Weights tied under two names, of which the file has one.
    let tied = Parameter::new([1.0, 2.0]);
    io::write_safetensors(&path, [("0", Value::from([3.0, 4.0]))], &[]).unwrap();
    io::load(&(tied.clone(), tied.clone()), &path).unwrap();
    assert_eq!(tied.value().to_vec::<f64>().unwrap(), [3.0, 4.0]);
}

/// Files that NumPy and the safetensors package for Python wrote (tests/files/make.py).
#[test]
fn files_of_other_writers() {
    let file = |name: &str| {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/files")
            .join(name)
    };
    let a = Value::from([[0.0f32, 0.25, 0.5], [0.75, 1.0, 1.25]]);
    let half = Value::from([1.5f32, -0.25, 65504.0]);
    same(&a, &io::read_npy(file("f4.npy")).unwrap());
    same(
        &a.cast(DType::F64),
        &io::read_npy(file("f8-fortran.npy")).unwrap(),
    );
    same(
        &Value::from([1i64, -2, 300]),
        &io::read_npy(file("i2-big-endian.npy")).unwrap(),
    );
    same(&half, &io::read_npy(file("f2.npy")).unwrap());
    same(
        &Value::from_vec(vec![7i64], ()),
        &io::read_npy(file("scalar.npy")).unwrap(),
    );
    for name in ["stored.npz", "packed.npz"] {
        let arrays = io::read_npz(file(name)).unwrap();
        assert_eq!(arrays.len(), 2);
        same(&a, &arrays["a"]);
        same(&Value::from([true, false]), &arrays["b"]);
    }
    let tensors = io::read_safetensors(file("numpy.safetensors")).unwrap();
    same(&a, &tensors.values["a"]);
    same(&half.narrow(0, 0, 2), &tensors.values["half"]);
    same(&Value::from([[1i64], [-1]]), &tensors.values["i"]);
    assert_eq!(tensors.metadata["who"], "safetensors");
}
