//! The drawing: for each measure a bar a side, as long as the side is fast beside the fastest of them.

use std::fmt::Write as _;

use crate::round::Measure;

const WIDTH: usize = 900;
const LABELS: usize = 360;
const BARS: usize = 380;
const ROW: usize = 18;
const GAP: usize = 26;

/// Ours, and the others.
const COLOURS: [&str; 2] = ["#1f6f8b", "#b9c4c9"];

pub(super) fn draw(measures: &[Measure]) -> String {
    let mut body = String::new();
    let mut y = 20;
    for measure in measures {
        let mut text = |x: usize, y: usize, class: &str, words: &str| {
            let words = escape(words);
            writeln!(body, r#"<text x="{x}" y="{y}" class="{class}">{words}</text>"#)
                .expect("strings take everything");
        };
        let title = match measure.is_met() {
            Some(true) => format!("{} (goal met)", measure.name),
            Some(false) => format!("{} (goal missed)", measure.name),
            None => measure.name.clone(),
        };
        text(10, y, "title", &title);
        let fastest = measure.sides.iter().map(|side| side.per_second()).fold(0.0, f64::max);
        for (at, side) in measure.sides.iter().enumerate() {
            y += ROW;
            let speed = side.per_second();
            let share = if fastest > 0.0 { speed / fastest } else { 0.0 };
            let cpu =
                side.cpu_each().map_or_else(String::new, |it| format!(", {:.1} µs CPU", it * 1e6));
            let mut text = |x: usize, class: &str, words: &str| {
                let words = escape(words);
                writeln!(body, r#"<text x="{x}" y="{y}" class="{class}">{words}</text>"#)
                    .expect("strings take everything");
            };
            text(30, "side", side.name);
            text(LABELS / 2, "side", &format!("{speed:.0} {}/s{cpu}", measure.unit));
            let (colour, top) = (COLOURS[at.min(1)], y - 11);
            writeln!(
                body,
                r#"<rect x="{}" y="{top}" width="{:.1}" height="13" fill="{colour}"/>"#,
                LABELS + 80,
                share * BARS as f64
            )
            .expect("strings take everything");
        }
        y += GAP;
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}">
<style>text{{font:12px sans-serif;fill:#222}}.title{{font-weight:bold}}</style>
<rect width="100%" height="100%" fill="#fff"/>
{body}</svg>
"##
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::round::{Goal, tests::measure};

    #[test]
    fn bars_are_as_long_as_sides_are_fast() {
        let sides = [("settle", 100, 2.0, Some(0.5)), ("a < b", 100, 1.0, None)];
        expect![[r##"
            <svg xmlns="http://www.w3.org/2000/svg" width="900" height="82" viewBox="0 0 900 82">
            <style>text{font:12px sans-serif;fill:#222}.title{font-weight:bold}</style>
            <rect width="100%" height="100%" fill="#fff"/>
            <text x="10" y="20" class="title">reads of a document (goal met)</text>
            <text x="30" y="38" class="side">settle</text>
            <text x="180" y="38" class="side">50 requests/s, 5000.0 µs CPU</text>
            <rect x="440" y="27" width="190.0" height="13" fill="#1f6f8b"/>
            <text x="30" y="56" class="side">a &lt; b</text>
            <text x="180" y="56" class="side">100 requests/s</text>
            <rect x="440" y="45" width="380.0" height="13" fill="#b9c4c9"/>
            </svg>
        "##]]
        .assert_eq(&draw(&[measure(Goal::SpeedAtLeast(0.4), &sides)]));
    }
}
