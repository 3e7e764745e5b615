//! Figures in columns.

use std::fmt::Write as _;

use super::Report;
use crate::round::{Goal, Measure};

/// One measure: a line a side, and what it shows.
pub(crate) fn table(measure: &Measure) -> String {
    let mut out = String::new();
    let unit = measure.unit;
    let mut line = |text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).expect("strings take everything");
        out.push('\n');
    };
    line(format_args!("\n{}", measure.name));
    let first = &measure.sides[0];
    for (at, side) in measure.sides.iter().enumerate() {
        let speed = side.per_second();
        let cpu =
            side.cpu_each().map_or_else(String::new, |it| format!("{:8.2} µs CPU each", it * 1e6));
        let ratio = match at {
            0 => String::new(),
            _ => format!("{:5.2} × in speed", first.per_second() / speed),
        };
        let cpu_ratio = match (at, first.cpu_each(), side.cpu_each()) {
            (1.., Some(ours), Some(theirs)) if theirs > 0.0 => {
                format!(", {:.2} × in CPU", ours / theirs)
            }
            _ => String::new(),
        };
        let name = side.name;
        let text = format!("  {name:<16} {speed:10.0} {unit}/s  {cpu:19}  {ratio}{cpu_ratio}");
        line(format_args!("{}", text.trim_end()));
    }
    if let Some(verdict) = verdict(measure) {
        line(format_args!("  {verdict}"));
    }
    out
}

fn verdict(measure: &Measure) -> Option<String> {
    let reached = measure.reached()?;
    let met = if measure.is_met()? { "met" } else { "MISSED" };
    Some(match measure.goal {
        Goal::CpuAtMost(most) => format!("{met}: {reached:.2} × the CPU, at most {most}"),
        Goal::SpeedAtLeast(least) => {
            format!("{met}: {:.0} % of the speed, at least {:.0} %", reached * 100.0, least * 100.0)
        }
        Goal::PerCpuSecondAtLeast(least) => {
            format!("{met}: {reached:.0} {} per CPU second, at least {least:.0}", measure.unit)
        }
        Goal::None => return None,
    })
}

pub(crate) fn memory_table(report: &Report) -> String {
    let mut out =
        String::from("\nmemory of the server, MiB: private now, peak with mapped files\n");
    for used in &report.memory {
        let mib = |kib: u64| kib as f64 / 1024.0;
        let (now, peak) = (mib(used.anonymous_kib), mib(used.peak_kib));
        writeln!(out, "  {now:6.1} {peak:8.1}  after {}", used.after)
            .expect("strings take everything");
    }
    out
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::round::tests::measure;

    fn check(goal: Goal, expected: Expect) {
        let sides = [
            ("settle", 10_000, 2.0, Some(0.5)),
            ("bare handler", 10_000, 1.0, Some(0.25)),
            ("peer", 1_000, 1.0, None),
        ];
        expected.assert_eq(&table(&measure(goal, &sides)));
    }

    #[test]
    fn a_missed_goal_is_loud() {
        check(
            Goal::CpuAtMost(1.7),
            expect![[r#"

            reads of a document
              settle                 5000 requests/s     50.00 µs CPU each
              bare handler          10000 requests/s     25.00 µs CPU each   0.50 × in speed, 2.00 × in CPU
              peer                   1000 requests/s                        5.00 × in speed
              MISSED: 2.00 × the CPU, at most 1.7
        "#]],
        );
    }

    #[test]
    fn a_goal_per_cpu_second_names_the_unit() {
        check(
            Goal::PerCpuSecondAtLeast(300.0),
            expect![[r#"

            reads of a document
              settle                 5000 requests/s     50.00 µs CPU each
              bare handler          10000 requests/s     25.00 µs CPU each   0.50 × in speed, 2.00 × in CPU
              peer                   1000 requests/s                        5.00 × in speed
              met: 20000 requests per CPU second, at least 300
        "#]],
        );
    }
}
