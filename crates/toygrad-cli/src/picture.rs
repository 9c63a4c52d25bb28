//! Graphs as pictures: DOT, which Graphviz draws, and SVG.

use layout::adt::dag::NodeHandle;
use layout::backends::svg::SVGWriter;
use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::geometry::Point;
use layout::core::style::StyleAttr;
use layout::std_shapes::shapes::{Arrow, Element, ShapeKind};
use layout::topo::layout::VisualGraph;

/// A node: what it is, its shape and dtype, and the nodes that it reads.
struct Node {
    what: String,
    shape: String,
    inputs: Vec<usize>,
}

/// The nodes of a listing, which has a line `%3 = add %1 %2 [4] f32` for each.
fn nodes(listing: &str) -> Vec<Node> {
    let number = |word: &str| word.strip_prefix('%')?.parse().ok();
    let node = |line: &str| {
        let (_, rest) = line.split_once(" = ")?;
        // The last bracket is that of the shape.
        let (before, shape) = rest.rsplit_once(" [")?;
        let words = before.split(' ');
        let what: Vec<&str> = words.clone().filter(|w| number(w).is_none()).collect();
        Some(Node {
            what: what.join(" "),
            shape: format!("[{shape}"),
            inputs: words.filter_map(number).collect(),
        })
    };
    listing.lines().filter_map(node).collect()
}

/// A listing as DOT.
pub fn dot(listing: &str) -> String {
    let mut out = String::from("digraph model {\n  node [shape=box];\n");
    for (i, node) in nodes(listing).iter().enumerate() {
        let what = node.what.replace('\\', "").replace('"', "'");
        out += &format!("  n{i} [label=\"{what}\\n{}\"];\n", node.shape);
        for input in &node.inputs {
            out += &format!("  n{input} -> n{i};\n");
        }
    }
    out + "}\n"
}

/// A listing as SVG.
pub fn svg(listing: &str) -> String {
    let mut graph = VisualGraph::new(Orientation::TopToBottom);
    let mut handles: Vec<NodeHandle> = Vec::new();
    for node in nodes(listing) {
        let label = format!("{}\n{}", node.what, node.shape);
        let width = node.what.chars().count().max(node.shape.chars().count());
        let size = Point::new(9.5 * width as f64 + 16.0, 48.0);
        let shape = ShapeKind::new_box(&label);
        // What is learned stands out from what is computed.
        let fill = match node.what.starts_with("parameter") {
            true => Color::new(0xfff2_ccff),
            false => Color::new(0xffff_ffff),
        };
        let black = Color::new(0x0000_00ff);
        // The font of arrows: of several, the writer would list the sizes in any order.
        let style = StyleAttr::new(black, 1, Some(fill), 4, 15);
        let element = Element::create(shape, style, Orientation::TopToBottom, size);
        let handle = graph.add_node(element);
        for input in node.inputs.iter().filter_map(|&i| handles.get(i)) {
            graph.add_edge(Arrow::simple(""), *input, handle);
        }
        handles.push(handle);
    }
    let mut out = SVGWriter::new();
    graph.do_it(false, false, false, &mut out);
    out.finalize()
}
