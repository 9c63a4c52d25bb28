#!/usr/bin/env bash
# What the smallest program that trains W1 costs to build from nothing: CPU-seconds (user and
# system, dependencies included), crates, and the size of the program without symbols. Prints a
# JSON object. Crates are downloaded before the clock starts.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src
cp "$root/Cargo.lock" .
cat > Cargo.toml <<END
[package]
name = "moons"
edition = "2024"

[workspace]

[dependencies]
toygrad = { path = "$root/crates/toygrad", default-features = false }
END
cat > src/main.rs <<'END'
use toygrad::prelude::*;

fn main() -> toygrad::Result<()> {
    let angles = || (0..50).map(|i| std::f64::consts::PI * f64::from(i) / 49.0);
    let mut points: Vec<[f64; 2]> = angles().map(|t| [t.cos(), t.sin()]).collect();
    points.extend(angles().map(|t| [1.0 - t.cos(), 0.5 - t.sin()]));
    let x = Value::from_vec(points.concat(), vec![100, 2]);
    let y = Value::from_vec((0..100).map(|i| if i < 50 { -1.0 } else { 1.0 }).collect::<Vec<f64>>(), vec![100]);
    let model = Mlp::new(&[2, 16, 16, 1], Activation::Relu);
    let sgd = Sgd::new(&model, 0.1);
    let step = compile(|(x, y): (Value, Value)| {
        let squares = model.parameters().into_iter().map(|p| (&p * &p).sum());
        let scores = model.forward(&x).squeeze(1);
        sgd.minimize(&((1.0 - y * scores).relu().mean() + 1e-4 * squares.sum::<Value>()))
    });
    for _ in 0..100 {
        println!("{}", step.call((x.clone(), y.clone()))?.item()?);
    }
    Ok(())
}
END
export CARGO_TARGET_DIR="$work/target"
cargo fetch --quiet
crates=$(cargo tree --edges normal,build --prefix none | sed 's/ .*//' | sort -u | wc -l)
TIMEFORMAT='%U %S %R'
{ time cargo build --release --quiet 2>"$work/log" || { cat "$work/log" >&2; exit 1; }; } 2>"$work/time"
strip target/release/moons
target/release/moons >/dev/null
read -r user system wall <"$work/time"
awk -v u="$user" -v s="$system" -v w="$wall" -v c="$crates" -v b="$(stat -c %s target/release/moons)" 'BEGIN {
    printf "{\"cold_build\": \"toygrad\", \"cpu_s\": %.1f, \"wall_s\": %.1f, \"crates\": %d, \"stripped_kb\": %d}\n", u + s, w, c, b / 1024
}'
