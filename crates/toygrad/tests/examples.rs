//! The numbered examples run, and what they assert holds.

use std::path::Path;

/// Each example as a module, and a test that calls its `main`.
macro_rules! examples {
    ($($name:ident $path:literal)*) => {
        $(
            #[path = $path]
            mod $name;

            #[test]
            fn $name() -> toygrad::Result<()> {
                self::$name::main()
            }
        )*
        const NAMED: &[&str] = &[$($path),*];
    };
}

examples! {
    scalar "../examples/01_scalar.rs"
    chain "../examples/02_chain.rs"
    tensors "../examples/03_tensors.rs"
    neurons "../examples/04_neurons.rs"
    moons "../examples/05_moons.rs"
    second_order "../examples/06_second_order.rs"
    custom "../examples/07_custom.rs"
    mistakes "../examples/08_mistakes.rs"
}

#[test]
fn all_are_here_numbered_and_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the examples")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".rs"))
        .collect();
    names.sort();
    for (number, name) in (1..).zip(&names) {
        assert!(
            name.starts_with(&format!("{number:02}_")),
            "{name} is not number {number}"
        );
        let path = format!("../examples/{name}");
        assert!(
            NAMED.contains(&&*path),
            "{name} is not run by tests/examples.rs"
        );
    }
    for path in NAMED {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests")
            .join(path);
        let lines = std::fs::read_to_string(file)
            .expect("an example")
            .lines()
            .count();
        assert!(lines <= 120, "{path} has {lines} lines");
    }
}
