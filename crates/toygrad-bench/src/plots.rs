//! Pictures of how cost grows, from the output of `--growth`.

use plotters::coord::Shift;
use plotters::prelude::*;

type Failure = Box<dyn std::error::Error>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Colours that colour-blind people tell apart (Okabe & Ito 2008).
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
];

struct Point {
    kind: String,
    what: String,
    x: f64,
    threads: f64,
    microseconds: f64,
    /// Memory at the most, beyond that of a process that has done nothing.
    megabytes: f64,
}

impl Point {
    /// Reads a flat JSON object as `--growth` prints it.
    fn read(line: &str) -> Option<Point> {
        let field = |name: &str| {
            let rest = line.split(&format!("\"{name}\": ")).nth(1)?;
            Some(rest.split([',', '}']).next()?.trim_matches('"'))
        };
        let number = |name: &str| field(name)?.parse::<f64>().ok();
        Some(Point {
            kind: field("growth")?.to_string(),
            what: field("what")?.to_string(),
            x: number("x")?,
            threads: number("threads")?,
            microseconds: number("min_us")?,
            megabytes: number("peak_rss_mb")? - number("start_rss_mb")?,
        })
    }
}

type Curve = (String, Vec<(f64, f64)>);

/// Draws `nodes.svg`, `elements.svg`, `batch.svg` and `threads.svg`. Where a file holds several
/// measurements of a point, the least is drawn.
pub fn draw(file: &str, folder: &str) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file)?;
    let points: Vec<Point> = text.lines().filter_map(Point::read).collect();
    let curves = |kind: &str, y: &dyn Fn(&Point) -> f64| {
        let mut curves: Vec<Curve> = Vec::new();
        for p in points.iter().filter(|p| p.kind == kind && y(p) > 0.0) {
            let name = match &p.kind[..] {
                "nodes" | "threads" => p.what.clone(),
                _ if p.threads == 1.0 => format!("{}, 1 thread", p.what),
                _ => format!("{}, {} threads", p.what, p.threads),
            };
            match curves.iter_mut().find(|c| c.0 == name) {
                Some(curve) => match curve.1.iter_mut().find(|q| q.0 == p.x) {
                    Some(best) => best.1 = best.1.min(y(p)),
                    None => curve.1.push((p.x, y(p))),
                },
                None => curves.push((name, vec![(p.x, y(p))])),
            }
        }
        curves
    };
    let memory = |p: &Point| p.megabytes;
    for (kind, x, unit, microsecond) in [
        ("nodes", "nodes of the graph", "ns a node", 1e3),
        ("elements", "elements", "ns an element", 1e3),
        ("batch", "samples in a batch", "µs a sample", 1.0),
    ] {
        let each = |p: &Point| p.microseconds * microsecond / p.x;
        save(&format!("{folder}/{kind}.svg"), 2, |panels| {
            log_log(&panels[0], x, unit, &curves(kind, &each))?;
            log_log(&panels[1], x, "MB at the most", &curves(kind, &memory))
        })?;
    }
    let mut threads = curves("threads", &|p| p.microseconds);
    for (_, times) in &mut threads {
        let alone = times[0].1;
        times.iter_mut().for_each(|p| p.1 = alone / p.1);
    }
    save(&format!("{folder}/threads.svg"), 1, |panels| {
        plain(&panels[0], "threads", "times as fast as one", &threads)
    })
}

fn save(
    file: &str,
    panels: usize,
    draw: impl FnOnce(&[Area]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let area = SVGBackend::new(file, (480 * panels as u32, 360)).into_drawing_area();
    area.fill(&WHITE)?;
    draw(&area.split_evenly((1, panels)))?;
    Ok(area.present()?)
}

/// From the smallest to the largest, a little wider by `wider`.
fn range(
    curves: &[Curve],
    of: fn(&(f64, f64)) -> f64,
    wider: impl Fn(f64, f64) -> (f64, f64),
) -> std::ops::Range<f64> {
    let all = || curves.iter().flat_map(|c| &c.1).map(of);
    let (low, high) = wider(
        all().fold(f64::MAX, f64::min),
        all().fold(f64::MIN, f64::max),
    );
    low..high
}

/// A number as one reads it on an axis.
fn short(x: &f64) -> String {
    match *x {
        x if x >= 1e6 => format!("{}M", x / 1e6),
        x if x >= 1e3 => format!("{}k", x / 1e3),
        x => format!("{}", (x * 1e6).round() / 1e6),
    }
}

macro_rules! panel {
    ($area:expr, $x:expr, $y:expr, $names:expr, $curves:expr) => {{
        let mut chart = ChartBuilder::on($area)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d($x, $y)?;
        chart
            .configure_mesh()
            .x_labels($names.2)
            .x_desc($names.0)
            .y_desc($names.1)
            .x_label_formatter(&short)
            .y_label_formatter(&short)
            .light_line_style(WHITE)
            .draw()?;
        for (colour, (name, points)) in COLOURS.iter().zip($curves) {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.clone(), style))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
            chart.draw_series(points.iter().map(|p| Circle::new(*p, 2, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position($names.3)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        Ok(())
    }};
}

fn log_log(area: &Area, x: &str, y: &str, curves: &[Curve]) -> Result<(), Failure> {
    let xs = range(curves, |p| p.0, |low, high| (low, high));
    // Room above for the names.
    let ys = range(
        curves,
        |p| p.1,
        |low, high| (low / 1.5, high * (high / low).powf(0.35)),
    );
    panel!(
        area,
        xs.log_scale(),
        ys.log_scale(),
        (x, y, 10, SeriesLabelPosition::UpperLeft),
        curves
    )
}

fn plain(area: &Area, x: &str, y: &str, curves: &[Curve]) -> Result<(), Failure> {
    let xs = range(curves, |p| p.0, |low, high| (low, high));
    let ys = range(curves, |p| p.1, |_, high| (0.0, high * 1.1));
    panel!(
        area,
        xs,
        ys,
        (x, y, 4, SeriesLabelPosition::LowerRight),
        curves
    )
}
