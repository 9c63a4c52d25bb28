//! Pictures of training as SVG text: curves, confusion, decision boundaries, mistakes, predicted
//! against true.

use super::Record;
use super::metrics::Confusion;
use crate::{Error, Result, Value};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::ops::Range;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 400;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// Colours that colour-blind people tell apart (Okabe & Ito 2008), again and again.
fn colour(i: usize) -> RGBColor {
    const COLOURS: [(u8, u8, u8); 8] = [
        (0, 114, 178),
        (213, 94, 0),
        (0, 158, 115),
        (204, 121, 167),
        (230, 159, 0),
        (86, 180, 233),
        (120, 120, 120),
        (180, 170, 40),
    ];
    let (r, g, b) = COLOURS[i % COLOURS.len()];
    RGBColor(r, g, b)
}

/// A picture of this size.
#[track_caller]
fn svg(width: u32, height: u32, draw: impl FnOnce(&Area) -> Drawn) -> Result<String> {
    let mut text = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        let white: Drawn = area.fill(&WHITE).map_err(Into::into);
        white
            .and_then(|()| draw(&area))
            .and_then(|()| Ok(area.present()?))
    };
    match drawn {
        Ok(()) => Ok(text),
        Err(e) => Err(Error::argument(format!("the picture cannot be drawn: {e}"))),
    }
}

/// The range of the finite ones of some numbers, a little wider; 0 to 1 if there are none.
fn range(numbers: impl Iterator<Item = f64>) -> Range<f64> {
    let finite = numbers.filter(|x| x.is_finite() && x.abs() < 1e100);
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
        (low.min(x), high.max(x))
    });
    if low > high {
        return 0.0..1.0;
    }
    let margin = match high - low {
        0.0 => low.abs().max(1.0) * 0.5,
        width => width * 0.05,
    };
    low - margin..high + margin
}

/// Numbers of a run by epoch, as lines: `curves("loss", &records, &["train_loss", "test_loss"])`.
/// Numbers that are not finite are gaps.
///
/// # Errors
/// None that is known.
#[track_caller]
pub fn curves(title: &str, records: &[Record], names: &[&str]) -> Result<String> {
    let series: Vec<(&str, Vec<(f64, f64)>)> = names
        .iter()
        .map(|name| {
            let point = |r: &Record| Some((r.epoch as f64, r.get(name)?));
            let points = records.iter().filter_map(point);
            (
                *name,
                points
                    .filter(|p| p.1.is_finite() && p.1.abs() < 1e100)
                    .collect(),
            )
        })
        .collect();
    let points = || series.iter().flat_map(|s| &s.1);
    let (x, y) = (range(points().map(|p| p.0)), range(points().map(|p| p.1)));
    svg(WIDTH, HEIGHT, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc("epoch")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .light_line_style(WHITE)
            .draw()?;
        for (i, (name, points)) in series.iter().enumerate() {
            let line =
                chart.draw_series(LineSeries::new(points.clone(), colour(i).stroke_width(2)))?;
            line.label(name.replace('_', " ")).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 16, y)], colour(i).stroke_width(2))
            });
        }
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        Ok(())
    })
}

/// A confusion matrix as a heat map; `names` are those of the classes (numbers where they are too
/// few).
///
/// # Errors
/// None that is known.
#[track_caller]
pub fn confusion(confusion: &Confusion, names: &[String]) -> Result<String> {
    let counts = confusion.counts();
    let n = counts.len();
    let name = |i: usize| {
        names
            .get(i)
            .map_or(i.to_string(), |n| n.chars().take(12).collect())
    };
    let most = counts.iter().flatten().copied().max().unwrap_or(0).max(1) as f64;
    let cell = (480 / n.max(1)).clamp(8, 64) as i32;
    let (left, top) = (110, 70);
    let side = cell * n as i32;
    svg(
        (left + side + 20) as u32,
        (top + side + 20) as u32,
        |area| {
            let small = ("sans-serif", 13).into_font();
            area.draw(&Text::new(
                "rows: class, columns: predicted",
                (10, 10),
                small.clone(),
            ))?;
            for (i, row) in counts.iter().enumerate() {
                let y = top + cell * i as i32;
                if cell >= 14 {
                    area.draw(&Text::new(name(i), (8, y + cell / 2 - 6), small.clone()))?;
                    area.draw(&Text::new(
                        name(i),
                        (left + cell * i as i32 + 2, top - 20),
                        small.clone(),
                    ))?;
                }
                for (j, &count) in row.iter().enumerate() {
                    let x = left + cell * j as i32;
                    let strength = (count as f64 / most).sqrt();
                    let hue = if i == j { colour(0) } else { colour(1) };
                    let corners = [(x, y), (x + cell, y + cell)];
                    area.draw(&Rectangle::new(corners, hue.mix(strength).filled()))?;
                    area.draw(&Rectangle::new(corners, BLACK.mix(0.15)))?;
                    if cell >= 20 && count > 0 {
                        let ink = if strength > 0.6 { WHITE } else { BLACK };
                        let place = (
                            x + cell / 2 - 4 * count.to_string().len() as i32,
                            y + cell / 2 - 6,
                        );
                        area.draw(&Text::new(count.to_string(), place, small.color(&ink)))?;
                    }
                }
            }
            Ok(())
        },
    )
}

/// What a classifier says of the plane: `classify` gives scores `[n, classes]` of points
/// `[n, 2]`; the points of the data are drawn with their labels' colours.
///
/// # Errors
/// Points or labels of other shapes; the errors of `classify`.
#[track_caller]
pub fn decision_boundary(
    points: &Value,
    labels: &Value,
    classify: impl Fn(&Value) -> Result<Value>,
) -> Result<String> {
    const CELLS: usize = 80;
    let p = points.to_vec::<f64>()?;
    let labels = labels.to_vec::<usize>()?;
    if points.shape()[..] != [labels.len(), 2] {
        let message = format!("points are [{}, 2], not {}", labels.len(), points.shape());
        return Err(Error::argument(message));
    }
    let (xs, ys) = (
        range(p.iter().step_by(2).copied()),
        range(p.iter().skip(1).step_by(2).copied()),
    );
    let (dx, dy) = (
        (xs.end - xs.start) / CELLS as f64,
        (ys.end - ys.start) / CELLS as f64,
    );
    let mut grid = Vec::with_capacity(2 * CELLS * CELLS);
    for i in 0..CELLS * CELLS {
        grid.push((xs.start + dx * ((i % CELLS) as f64 + 0.5)) as f32);
        grid.push((ys.start + dy * ((i / CELLS) as f64 + 0.5)) as f32);
    }
    let scores = classify(&Value::from_vec(grid, [CELLS * CELLS, 2]))?;
    let classes = scores.argmax(-1).to_vec::<usize>()?;
    if classes.len() != CELLS * CELLS {
        let message = format!("scores are [n, classes], not {}", scores.shape());
        return Err(Error::argument(message));
    }
    svg(480, 480, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(44)
            .build_cartesian_2d(xs.clone(), ys.clone())?;
        chart.configure_mesh().disable_mesh().draw()?;
        // Cells of one class in a row are one rectangle.
        for row in 0..CELLS {
            let mut start = 0;
            for run in classes[row * CELLS..(row + 1) * CELLS].chunk_by(|a, b| a == b) {
                let end = start + run.len();
                let y = ys.start + dy * row as f64;
                let corners = [
                    (xs.start + dx * start as f64, y),
                    (xs.start + dx * end as f64, y + dy),
                ];
                let fill = colour(run[0]).mix(0.25).filled();
                chart.draw_series([Rectangle::new(corners, fill)])?;
                start = end;
            }
        }
        let dot =
            |(p, &label): (&[f64], &usize)| Circle::new((p[0], p[1]), 3, colour(label).filled());
        let finite = p
            .chunks_exact(2)
            .zip(&labels)
            .filter(|(p, _)| p.iter().all(|x| x.is_finite()));
        chart.draw_series(finite.map(dot))?;
        Ok(())
    })
}

/// Images that a classifier takes for something else, the surest mistakes first, at most `limit`:
/// `images` are `[n, height, width]`, `scores` `[n, classes]`, `labels` `[n]`.
///
/// # Errors
/// Values of other shapes.
#[track_caller]
pub fn misclassified(
    images: &Value,
    scores: &Value,
    labels: &Value,
    names: &[String],
    limit: usize,
) -> Result<String> {
    let (&[n, height, width], &[rows, classes]) = (&images.shape()[..], &scores.shape()[..]) else {
        return Err(Error::argument(format!(
            "images are [n, height, width] and scores [n, classes], not {} and {}",
            images.shape(),
            scores.shape()
        )));
    };
    let labels = labels.to_vec::<usize>()?;
    if rows != n || labels.len() != n || classes == 0 {
        return Err(Error::argument(
            "images, scores and labels must be of the same samples",
        ));
    }
    let sure = scores.softmax(-1).to_vec::<f64>()?;
    let taken = scores.argmax(-1).to_vec::<usize>()?;
    let mut wrong: Vec<usize> = (0..n).filter(|&i| taken[i] != labels[i]).collect();
    wrong.sort_by(|&a, &b| {
        let sureness = |i: usize| sure[i * classes + taken[i]];
        sureness(b).total_cmp(&sureness(a))
    });
    wrong.truncate(limit.min(100));
    let pixels = images.to_vec::<f64>()?;
    let name = |i: usize| {
        names
            .get(i)
            .map_or(i.to_string(), |n| n.chars().take(8).collect())
    };
    const COLUMNS: usize = 8;
    let pixel = (64 / width.max(height).max(1)).max(1) as i32;
    let (cell_w, cell_h) = (pixel * width as i32 + 24, pixel * height as i32 + 34);
    let sheet_rows = wrong.len().div_ceil(COLUMNS).max(1) as i32;
    svg(
        (cell_w * COLUMNS as i32).max(200) as u32,
        (cell_h * sheet_rows) as u32,
        |area| {
            let font = ("sans-serif", 12).into_font();
            if wrong.is_empty() {
                area.draw(&Text::new("none is misclassified", (10, 10), font.clone()))?;
            }
            for (place, &i) in wrong.iter().enumerate() {
                let (left, top) = (
                    cell_w * (place % COLUMNS) as i32 + 8,
                    cell_h * (place / COLUMNS) as i32 + 22,
                );
                let title = format!("{} not {}", name(taken[i]), name(labels[i]));
                area.draw(&Text::new(title, (left, top - 17), font.clone()))?;
                let image = &pixels[i * height * width..(i + 1) * height * width];
                let shades = range(image.iter().copied());
                for (k, &x) in image.iter().enumerate() {
                    let (x0, y0) = (
                        left + pixel * (k % width) as i32,
                        top + pixel * (k / width) as i32,
                    );
                    let part = (x - shades.start) / (shades.end - shades.start);
                    let shade = (255.0 * (1.0 - part)) as u8;
                    let corners = [(x0, y0), (x0 + pixel, y0 + pixel)];
                    area.draw(&Rectangle::new(
                        corners,
                        RGBColor(shade, shade, shade).filled(),
                    ))?;
                }
            }
            Ok(())
        },
    )
}

/// Predicted numbers against true ones; on the diagonal they are equal.
///
/// # Errors
/// Values of different shapes.
#[track_caller]
pub fn predicted_true(predictions: &Value, targets: &Value) -> Result<String> {
    let (p, t) = (predictions.to_vec::<f64>()?, targets.to_vec::<f64>()?);
    if predictions.shape() != targets.shape() {
        let (a, b) = (predictions.shape(), targets.shape());
        return Err(Error::argument(format!("predictions are {a}, targets {b}")));
    }
    let all = range(p.iter().chain(&t).copied());
    svg(480, 480, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(all.clone(), all.clone())?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc("true")
            .y_desc("predicted")
            .light_line_style(WHITE)
            .draw()?;
        let ends = [(all.start, all.start), (all.end, all.end)];
        chart.draw_series([PathElement::new(ends, BLACK.mix(0.4))])?;
        let finite = t
            .iter()
            .zip(&p)
            .filter(|(t, p)| t.is_finite() && p.is_finite());
        chart.draw_series(
            finite.map(|(&t, &p)| Circle::new((t, p), 3, colour(0).mix(0.6).filled())),
        )?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_numbers_draw_too() {
        let record = |epoch, train_loss| Record {
            epoch,
            step: 0,
            train_loss,
            metrics: vec![],
            learning_rate: None,
            seconds: 0.0,
        };
        for records in [
            vec![],
            vec![record(1, 2.0)],
            vec![record(1, f64::NAN), record(2, f64::INFINITY)],
            vec![record(1, 1e300), record(2, -1e300)],
        ] {
            let text = curves("loss", &records, &["train_loss", "nothing"]).unwrap();
            assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
        }
        let scores = Value::from([[1.0, 0.0], [0.0, f64::NAN]]);
        let labels = Value::from([1, 0]);
        let names = [String::from("<a & b>")];
        let matrix = Confusion::of(&scores, &labels).unwrap();
        let text = confusion(&matrix, &names).unwrap();
        assert!(text.contains("&lt;a &amp; b"), "{text}");
        let images = Value::from([[[f64::NAN, 1.0]], [[0.0, 0.0]]]);
        misclassified(&images, &scores, &labels, &names, 10).unwrap();
        assert!(misclassified(&images, &scores, &Value::from([1]), &[], 10).is_err());
        predicted_true(&Value::from([1.0, f64::NAN]), &Value::from([1.0, 2.0])).unwrap();
        assert!(predicted_true(&Value::from([1.0]), &Value::from([1.0, 2.0])).is_err());
        let points = Value::from([[0.0, 1.0], [f64::INFINITY, 2.0]]);
        decision_boundary(&points, &labels, |x| Ok(x.clone())).unwrap();
        assert!(decision_boundary(&points, &Value::from([1]), |x| Ok(x.clone())).is_err());
    }
}
