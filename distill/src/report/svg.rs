//! Small pictures for the pages, coloured by their style sheet. Each is drawn for a width of 320, so that it can be read on a telephone.

use std::fmt::Write;

use super::html::escaped;

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 34.0;

/// What an axis shows.
#[derive(Clone, Copy, Debug)]
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// From `low` to at least `high`, with about `ticks` steps of 1, 2 or 5 times a power of ten.
    fn new(low: f64, high: f64, ticks: f64) -> Axis {
        let high = if high > low { high } else { low + 1.0 };
        let raw = (high - low) / ticks;
        let power = 10f64.powf(raw.log10().floor());
        let factor = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|f| f * power >= raw * 0.999);
        let step = power * factor.unwrap_or(10.0);
        Axis {
            low: (low / step).floor() * step,
            high: (high / step).ceil() * step,
            step,
        }
    }

    fn at(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> Vec<f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count)
            .map(|n| self.low + self.step * n as f64)
            .collect()
    }

    fn label(&self, value: f64) -> String {
        if value.abs() < self.step / 1e6 {
            return "0".to_owned();
        }
        if self.high.abs() < 1e-2 {
            return format!("{value:.0e}");
        }
        let digits = (-self.step.log10().floor()).clamp(0.0, 4.0) as usize;
        format!("{value:.digits$}")
    }
}

fn open(height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" aria-hidden=\"true\" focusable=\"false\">\n")
}

fn x(axis: &Axis, value: f64) -> f64 {
    LEFT + axis.at(value) * (WIDTH - LEFT - RIGHT)
}

fn y(axis: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - axis.at(value) * (HEIGHT - TOP - BOTTOM)
}

/// Grid, numbers and names of both axes.
fn axes(out: &mut String, across: &Axis, up: &Axis, name: &str) {
    for tick in up.ticks() {
        let at = y(up, tick);
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 5.0,
            at + 4.0,
            up.label(tick)
        );
    }
    for tick in across.ticks() {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(across, tick),
            HEIGHT - BOTTOM + 15.0,
            across.label(tick)
        );
    }
    let _ = writeln!(
        out,
        "<path class=\"axis\" d=\"M{LEFT} {:.1}H{}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        HEIGHT - BOTTOM,
        WIDTH - RIGHT,
        WIDTH - RIGHT,
        HEIGHT - 4.0,
        escaped(name)
    );
}

/// A line through points; the upward axis begins at 0.
pub fn line(points: &[(f64, f64)], across: &str) -> String {
    let mut out = open(HEIGHT);
    let range = |values: &dyn Fn(&(f64, f64)) -> f64| {
        points
            .iter()
            .map(values)
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, 0.0_f64), |(low, high), v| {
                (low.min(v), high.max(v))
            })
    };
    let (first, last) = range(&|p| p.0);
    let across_axis = Axis::new(first.min(last), last, 5.0);
    let up = Axis::new(0.0, range(&|p| p.1).1, 4.0);
    axes(&mut out, &across_axis, &up, across);
    let mut path = String::new();
    for (n, (px, py)) in points.iter().filter(|p| p.1.is_finite()).enumerate() {
        let verb = if n == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{verb}{:.1} {:.1}", x(&across_axis, *px), y(&up, *py));
    }
    let _ = writeln!(out, "<path class=\"line\" d=\"{path}\"/>");
    if points.len() <= 12 {
        for (px, py) in points.iter().filter(|p| p.1.is_finite()) {
            let _ = writeln!(
                out,
                "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"/>",
                x(&across_axis, *px),
                y(&up, *py)
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

/// One bin of a reliability curve: the mean score of its decisions, the share that is right, how many they are.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Mean score.
    pub score: f64,
    /// Share that is right.
    pub right: f64,
    /// Decisions.
    pub count: usize,
}

/// A reliability curve over the diagonal; bars at the foot show where the decisions are.
pub fn reliability(points: &[Point]) -> String {
    let mut out = open(HEIGHT);
    let unit = Axis {
        low: 0.0,
        high: 1.0,
        step: 0.2,
    };
    axes(&mut out, &unit, &unit, "score");
    let most = points.iter().map(|p| p.count).max().unwrap_or(1).max(1) as f64;
    let foot = HEIGHT - BOTTOM;
    for p in points {
        let height = 30.0 * p.count as f64 / most;
        let _ = writeln!(
            out,
            "<rect class=\"share\" x=\"{:.1}\" y=\"{:.1}\" width=\"14\" height=\"{height:.1}\"/>",
            x(&unit, p.score) - 7.0,
            foot - height
        );
    }
    let _ = writeln!(
        out,
        "<path class=\"ideal\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>",
        x(&unit, 0.0),
        y(&unit, 0.0),
        x(&unit, 1.0),
        y(&unit, 1.0)
    );
    let mut path = String::new();
    for (n, p) in points.iter().enumerate() {
        let verb = if n == 0 { 'M' } else { 'L' };
        let _ = write!(
            path,
            "{verb}{:.1} {:.1}",
            x(&unit, p.score),
            y(&unit, p.right)
        );
    }
    let _ = writeln!(out, "<path class=\"line\" d=\"{path}\"/>");
    for p in points {
        let _ = writeln!(
            out,
            "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"/>",
            x(&unit, p.score),
            y(&unit, p.right)
        );
    }
    out.push_str("</svg>\n");
    out
}

/// One row of [`dots`].
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// One value a seed.
    pub values: Vec<f64>,
    /// The thick line.
    pub median: Option<f64>,
    /// The thin line.
    pub interval: Option<(f64, f64)>,
}

/// Values of several rows on one axis: a ring each, a bar at the median, a line over the interval. With `zero`, 0 is drawn in.
pub fn dots(rows: &[Row], zero: bool) -> String {
    const STEP: f64 = 40.0;
    let height = TOP + STEP * rows.len() as f64 + 24.0;
    let mut out = open(height);
    let all = rows.iter().flat_map(|row| {
        let (low, high) = row.interval.unzip();
        row.values
            .iter()
            .copied()
            .chain(row.median)
            .chain(low)
            .chain(high)
    });
    let start = if zero {
        (0.0, 0.0)
    } else {
        (f64::INFINITY, f64::NEG_INFINITY)
    };
    let (low, high) = all
        .filter(|v| v.is_finite())
        .fold(start, |(low, high): (f64, f64), v| {
            (low.min(v), high.max(v))
        });
    let (low, high) = if low.is_finite() && high > low {
        (low, high)
    } else {
        (0.0, 1.0)
    };
    let axis = Axis::new(low, high, 4.0);
    let x = |value: f64| 12.0 + axis.at(value) * (WIDTH - 24.0);
    for tick in axis.ticks() {
        let class = if zero && tick.abs() < axis.step / 2.0 {
            "axis"
        } else {
            "grid"
        };
        // Lines only beside the values: names stand between them.
        let beside: String = (0..rows.len())
            .map(|n| format!("M{:.1} {:.1}v18", x(tick), TOP + STEP * n as f64 + 17.0))
            .collect();
        let _ = writeln!(
            out,
            "<path class=\"{class}\" d=\"{beside}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            x(tick),
            height - 7.0,
            axis.label(tick)
        );
    }
    for (n, row) in rows.iter().enumerate() {
        let top = TOP + STEP * n as f64;
        let at = top + 26.0;
        let _ = writeln!(
            out,
            "<text class=\"strong\" x=\"12\" y=\"{:.1}\">{}</text>",
            top + 12.0,
            escaped(&row.name)
        );
        if let Some((low, high)) = row.interval {
            let _ = writeln!(
                out,
                "<path class=\"interval\" d=\"M{0:.1} {at:.1}H{1:.1}M{0:.1} {2:.1}v8M{1:.1} {2:.1}v8\"/>",
                x(low),
                x(high),
                at - 4.0
            );
        }
        for value in &row.values {
            let _ = writeln!(
                out,
                "<circle class=\"seed\" cx=\"{:.1}\" cy=\"{at:.1}\" r=\"4\"/>",
                x(*value)
            );
        }
        if let Some(median) = row.median {
            let _ = writeln!(
                out,
                "<path class=\"median\" d=\"M{:.1} {:.1}v14\"/>",
                x(median),
                at - 7.0
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

/// A bar of `part`, 0 to 1; the number stands beside it.
pub fn bar(part: f64) -> String {
    let width = if part.is_finite() {
        100.0 * part.clamp(0.0, 1.0)
    } else {
        0.0
    };
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\" focusable=\"false\">\
         <rect class=\"track\" width=\"100\" height=\"10\"/><rect class=\"fill\" width=\"{width:.1}\" height=\"10\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers_and_hold_everything() {
        let axis = Axis::new(0.0, 0.83, 4.0);
        let labels: Vec<String> = axis.ticks().iter().map(|t| axis.label(*t)).collect();
        assert_eq!(labels, ["0", "0.5", "1.0"]);
        let axis = Axis::new(-0.013, 0.031, 4.0);
        assert!(axis.low <= -0.013 && axis.high >= 0.031, "{axis:?}");
        let axis = Axis::new(1.0, 7.0, 5.0);
        assert_eq!(axis.label(axis.ticks()[1]), "2");
        let axis = Axis::new(0.0, 1.5e-4, 4.0);
        assert_eq!(axis.label(axis.step), "5e-5");
    }

    #[test]
    fn nothing_and_odd_values_are_drawn_without_harm() {
        for svg in [
            line(&[], "epoch"),
            line(&[(1.0, f64::NAN)], "epoch"),
            line(&[(1.0, 3.0)], "epoch"),
            reliability(&[]),
            dots(&[], true),
            dots(
                &[Row {
                    name: "<a>".into(),
                    values: vec![0.5],
                    median: Some(0.5),
                    interval: None,
                }],
                false,
            ),
        ] {
            assert!(
                !svg.contains("NaN") && !svg.contains("inf") && !svg.contains("<a>"),
                "{svg}"
            );
        }
    }
}
