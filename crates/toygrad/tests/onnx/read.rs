//! ONNX files taken apart again: the few fields that tests look at.

/// A field of a message: its number and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Field<'a> {
    Int(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message.
pub fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Int(varint(&mut bytes)),
            2 => {
                let n = varint(&mut bytes) as usize;
                let (content, rest) = bytes.split_at(n);
                bytes = rest;
                Field::Bytes(content)
            }
            wire => panic!("a field is written as {wire}"),
        };
        all.push((tag >> 3, field));
    }
    all
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut n = 0;
    for shift in (0..).step_by(7) {
        let (&byte, rest) = bytes.split_first().expect("a byte");
        *bytes = rest;
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    n
}

/// The messages under a number.
pub fn messages(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    let content = |(n, field)| match field {
        Field::Bytes(content) if n == number => Some(content),
        _ => None,
    };
    fields(bytes).into_iter().filter_map(content).collect()
}

/// The texts under a number.
pub fn texts(bytes: &[u8], number: u64) -> Vec<String> {
    let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
    messages(bytes, number).into_iter().map(text).collect()
}

/// The whole numbers under a number.
pub fn ints(bytes: &[u8], number: u64) -> Vec<u64> {
    let int = |(n, field)| match field {
        Field::Int(x) if n == number => Some(x),
        _ => None,
    };
    fields(bytes).into_iter().filter_map(int).collect()
}

/// The graph of a model.
pub fn graph(model: &[u8]) -> &[u8] {
    messages(model, 7)[0]
}

/// The operators of a model, in order.
pub fn operators(model: &[u8]) -> Vec<String> {
    let nodes = messages(graph(model), 1).into_iter();
    nodes.flat_map(|node| texts(node, 4)).collect()
}

/// The names of its constants.
pub fn constants(model: &[u8]) -> Vec<String> {
    let tensors = messages(graph(model), 5).into_iter();
    tensors.flat_map(|tensor| texts(tensor, 8)).collect()
}

/// Names and shapes of its inputs (11) or outputs (12): an extent or its name.
pub fn ports(model: &[u8], number: u64) -> Vec<(String, Vec<String>)> {
    let extent = |dim: &&[u8]| {
        let fixed = ints(dim, 1).first().map(u64::to_string);
        fixed.or_else(|| texts(dim, 2).pop()).unwrap_or_default()
    };
    let port = |port: &[u8]| {
        let tensor = messages(messages(port, 2)[0], 1)[0];
        let shape = messages(tensor, 2)[0];
        let shape = messages(shape, 1).iter().map(extent).collect();
        (texts(port, 1).remove(0), shape)
    };
    messages(graph(model), number)
        .into_iter()
        .map(port)
        .collect()
}
