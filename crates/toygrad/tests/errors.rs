//! Mistakes: what they say, that the first one is told, and that no argument of any public
//! operation makes a panic.

use toygrad::*;

/// Line and column numbers change with every edit of this file.
fn normal(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(".rs:") {
        let file = rest[..at].rfind([' ', '/']).map_or(0, |i| i + 1);
        let place = &rest[at + 4..];
        let end = place.find(|c: char| !c.is_ascii_digit() && c != ':');
        let start = rest[..at].rfind(' ').map_or(0, |i| i + 1);
        out += &rest[..start];
        out += &format!("{}.rs:L", &rest[file..at]);
        rest = end.map_or("", |end| &place[end..]);
    }
    out + rest
}

fn texts() -> Vec<String> {
    let a = Value::zeros([3, 4])
        .cast(DType::F32)
        .matmul(Value::zeros([4, 4]));
    let b = Parameter::new([1.0, 2.0, 3.0, 4.0, 5.0]);
    let x = Value::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    let read: Vec<Value> = vec![
        &a + &b,
        x.matmul(&x),
        // The first mistake wins, through a chain that makes others.
        ((&a + &b).sin() * Value::zeros([7]).matmul(&x))
            .sum_axis(9)
            .sqrt(),
        x.sum_axis(2),
        x.reshape([4, -1]),
        x.slice(s![.., 7]),
        x.gather(1, [[0], [3]]),
        x.index_select(0, [0.5]),
        x.squeeze(0),
        x.expand([4, 3]),
        Value::concat([&x, &x.t()], 0),
        einsum("ij,kl->im", [&x, &x]),
        Value::from_slice(&[1.0, 2.0], [3]),
        Value::from(vec![vec![1.0], vec![2.0, 3.0]]),
        Value::zeros([0]).max(),
        Value::zeros([usize::MAX, 2]),
        x.dot(&x),
        vjp(&[x.square()], &[Value::ones([5])], [&x]).remove(0),
        custom(
            [&x],
            |x| x[0].sin(),
            |_, _, g| vec![g.sum_axis(0), g.clone()],
        ),
    ];
    let mut texts: Vec<String> = read
        .iter()
        .map(|v| {
            let v = gradients(&v.sum(), [&x]).remove(0) + v.sum();
            match v.to_vec::<f64>() {
                Err(e) => e.to_string(),
                Ok(_) => format!("no mistake: {v:?}"),
            }
        })
        .collect();
    let errors = [
        x.item().map(drop),
        x.backward().map(drop),
        x.cast(DType::I64).sum().backward().map(drop),
        b.grad().map(drop),
        b.set(Value::zeros([2])),
        gradcheck(|x| x[0].clone(), &[Value::from([1])]).map(drop),
    ];
    texts.extend(
        errors
            .into_iter()
            .filter_map(Result::err)
            .map(|e| e.to_string()),
    );
    texts
}

#[test]
fn messages_say_what_where_and_how_to_put_it_right() {
    let found: Vec<String> = texts().iter().map(|t| normal(t)).collect();
    let found = found.join("\n\n") + "\n";
    let wanted = include_str!("errors.txt");
    if found != wanted {
        let path = std::env::temp_dir().join("toygrad-errors.txt");
        std::fs::write(&path, &found).expect("the temporary folder");
        panic!(
            "messages have changed; compare tests/errors.txt with {}",
            path.display()
        );
    }
}
