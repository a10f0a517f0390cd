//! A report as one HTML file without anything to fetch: figures, the curve of latencies by
//! percentile, and the rate over time, both drawn as SVG.

use std::fmt::Write;

use super::units;
use crate::compare::pairs::Outcome;
use crate::result::RunResult;

/// One named outcome after the other.
pub fn html(sections: &[(String, &Outcome)]) -> String {
    let mut page = String::from(HEAD);
    for (name, outcome) in sections {
        // Writing to a String cannot fail.
        let _ = write!(page, "<h2>{}</h2>\n{}", escape(name), figures(outcome));
        let runs = || {
            outcome.sides.iter().enumerate().flat_map(|(side, outcome)| {
                outcome.runs.iter().map(move |run| (side, outcome.label.as_str(), run))
            })
        };
        page.push_str("<div class=charts>\n");
        page.push_str(&latency_chart(runs()));
        page.push_str(&rate_chart(runs()));
        page.push_str("</div>\n");
    }
    page.push_str("</body></html>\n");
    page
}

fn figures(outcome: &Outcome) -> String {
    let Some(first) = outcome.sides.first().and_then(|side| side.runs.first()) else {
        return String::new();
    };
    let mut table = String::from("<table><tr><th>figure</th>");
    for (index, side) in outcome.sides.iter().enumerate() {
        let label = escape(&side.label);
        let _ = write!(table, "<th class=s{index}>{label}: median (lowest..highest)</th>");
    }
    table.push_str("<th>ratio</th></tr>\n");
    let mut names = first.compared_metrics();
    names.extend([
        "generator_cpu".to_owned(),
        "busy".to_owned(),
        "waited".to_owned(),
        "faults".to_owned(),
    ]);
    for name in names {
        let _ = write!(table, "<tr><td>{}</td>", escape(&name));
        for side in &outcome.sides {
            let show = |value| units::metric(&name, value);
            let text = side.spread(&name).map_or_else(String::new, |s| {
                format!("{} ({}..{})", show(s.median), show(s.min), show(s.max))
            });
            let _ = write!(table, "<td>{text}</td>");
        }
        let ratio = outcome
            .ratios
            .get(&name)
            .map_or_else(String::new, |r| format!("{:.3} ({:.3}..{:.3})", r.median, r.min, r.max));
        let _ = writeln!(table, "<td>{ratio}</td></tr>");
    }
    table + "</table>\n"
}

type Runs<'a> = dyn Iterator<Item = (usize, &'a str, &'a RunResult)> + 'a;

fn latency_chart<'a>(runs: impl Iterator<Item = (usize, &'a str, &'a RunResult)> + 'a) -> String {
    let runs: Box<Runs<'a>> = Box::new(runs);
    // The horizontal axis is the number of nines, so that the tail has room.
    let nines = |quantile: f64| -(1.0 - quantile.min(0.999_999)).log10();
    let curves: Vec<Curve> = runs
        .filter_map(|(side, _, run)| {
            let latency = run.latency.as_ref()?;
            let points =
                latency.curve.iter().map(|&(q, ns)| (nines(q), (ns.max(1) as f64).log10()));
            Some(Curve { side, points: points.collect() })
        })
        .collect();
    let ticks_x = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999];
    let ticks_x = ticks_x.map(|q| (nines(q), format!("{}", (q * 1e6f64).round() / 1e4)));
    let (low, high) = curves.bounds(|point| point.1);
    let ticks_y: Vec<(f64, String)> = (low.floor() as i32..=high.ceil() as i32)
        .map(|power| (f64::from(power), units::time(10f64.powi(power - 9))))
        .collect();
    chart("latency by percentile", &curves, &ticks_x, &ticks_y)
}

fn rate_chart<'a>(runs: impl Iterator<Item = (usize, &'a str, &'a RunResult)> + 'a) -> String {
    let step = crate::recorder::STEP_NS as f64 / 1e9;
    let curves: Vec<Curve> = runs
        .filter(|(_, _, run)| !run.rate_over_time.is_empty())
        .map(|(side, _, run)| {
            let points = run.rate_over_time.iter().enumerate();
            Curve { side, points: points.map(|(i, &rate)| ((i + 1) as f64 * step, rate)).collect() }
        })
        .collect();
    let (_, seconds) = curves.bounds(|point| point.0);
    let (_, high) = curves.bounds(|point| point.1);
    let ticks = |top: f64| (0..=4).map(move |part| top * f64::from(part) / 4.0);
    let ticks_x: Vec<_> = ticks(seconds).map(|at| (at, format!("{at:.1} s"))).collect();
    let ticks_y: Vec<_> = ticks(high * 1.05).map(|at| (at, units::count(at))).collect();
    chart("messages a second over time", &curves, &ticks_x, &ticks_y)
}

struct Curve {
    side: usize,
    points: Vec<(f64, f64)>,
}

trait Bounds {
    fn bounds(&self, pick: impl Fn(&(f64, f64)) -> f64) -> (f64, f64);
}

impl Bounds for Vec<Curve> {
    fn bounds(&self, pick: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let values = self.iter().flat_map(|curve| curve.points.iter().map(&pick));
        let (low, high) =
            values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        if low <= high {
            (low, high)
        } else {
            (0.0, 1.0)
        }
    }
}

fn chart(title: &str, curves: &[Curve], x: &[(f64, String)], y: &[(f64, String)]) -> String {
    if curves.is_empty() {
        return String::new();
    }
    let span = |ticks: &[(f64, String)]| {
        let low = ticks.first().map_or(0.0, |tick| tick.0);
        let high = ticks.last().map_or(1.0, |tick| tick.0);
        (low, (high - low).max(1e-9))
    };
    let ((x_low, x_span), (y_low, y_span)) = (span(x), span(y));
    let place_x = |value: f64| 70.0 + (value - x_low) / x_span * 480.0;
    let place_y = |value: f64| 270.0 - (value - y_low) / y_span * 230.0;
    let mut svg =
        format!("<svg viewBox='0 0 570 310' width=570 height=310><text x=70 y=20>{title}</text>\n");
    for (value, label) in y {
        let at = place_y(*value);
        let _ = writeln!(
            svg,
            "<line x1=70 x2=550 y1={at:.1} y2={at:.1} /><text x=64 y={:.1} class=e>{label}</text>",
            at + 4.0
        );
    }
    for (value, label) in x {
        let at = place_x(*value);
        let _ = writeln!(
            svg,
            "<line x1={at:.1} x2={at:.1} y1=40 y2=270 /><text x={at:.1} y=288 class=m>{label}</text>"
        );
    }
    for curve in curves {
        let inside = curve.points.iter().filter(|point| point.0 >= x_low);
        let points: String = inside
            .map(|&(px, py)| {
                format!("{:.1},{:.1} ", place_x(px.min(x_low + x_span)), place_y(py.max(y_low)))
            })
            .collect();
        let _ = writeln!(svg, "<polyline class=s{} points='{points}' />", curve.side.min(1));
    }
    svg + "</svg>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const HEAD: &str = "<!doctype html><html lang=en><head><meta charset=utf-8>\
<title>midge-load report</title><style>\
body{font:14px system-ui,sans-serif;margin:2em auto;max-width:1200px;color:#222}\
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:3px 10px;text-align:left}\
.charts{display:flex;flex-wrap:wrap;gap:1em;margin:1em 0}\
svg text{font-size:11px}svg line{stroke:#e4e4e4}.e{text-anchor:end}.m{text-anchor:middle}\
polyline{fill:none;stroke-width:1.4;opacity:.8}\
polyline.s0{stroke:#06c}polyline.s1{stroke:#d50}th.s0{color:#06c}th.s1{color:#d50}\
</style></head><body><h1>midge-load report</h1>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_a_line_for_each_curve_and_names_are_escaped() {
        let curves = vec![
            Curve { side: 0, points: vec![(0.0, 1.0), (1.0, 2.0)] },
            Curve { side: 1, points: vec![(0.0, 3.0)] },
        ];
        let ticks = [(0.0, "a".to_owned()), (4.0, "b".to_owned())];
        let svg = chart("t", &curves, &ticks, &ticks);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(!svg.contains("NaN"));
        assert_eq!(escape("<a&b>"), "&lt;a&amp;b&gt;");
    }
}
