//! A single figure with its bound, for benches that compare with no other side.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) bound: Bound,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    None,
}

impl Finding {
    pub(crate) fn new(
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        bound: Bound,
    ) -> Self {
        Self { name: name.into(), value, unit, bound }
    }

    /// A line for people.
    pub(crate) fn line(&self) -> String {
        let Self { name, value, unit, bound } = self;
        let verdict = match *bound {
            Bound::AtMost(most) if *value <= most => format!("met: at most {most}"),
            Bound::AtMost(most) => format!("MISSED: at most {most}"),
            Bound::AtLeast(least) if *value >= least => format!("met: at least {least}"),
            Bound::AtLeast(least) => format!("MISSED: at least {least}"),
            Bound::None => String::new(),
        };
        let text = format!("  {name:<44} {value:10.2} {unit:<10} {verdict}");
        format!("{}\n", text.trim_end())
    }
}

pub(crate) fn write_findings(findings: &[Finding], json: &Path) -> Result<(), anyhow::Error> {
    if let Some(folder) = json.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let text = serde_json::to_string_pretty(findings).context("write the figures as JSON")?;
    fs::write(json, text).with_context(|| format!("write {}", json.display()))?;
    println!("\nwrote {}", json.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_figure_says_whether_it_keeps_its_bound() {
        let line = |value, bound| Finding::new("start", value, "s", bound).line();
        let lines = [
            line(0.5, Bound::AtMost(1.0)),
            line(1.5, Bound::AtMost(1.0)),
            line(0.5, Bound::AtLeast(1.0)),
            line(0.5, Bound::None),
        ];
        expect![[r#"
            figures
              start                                              0.50 s          met: at most 1
              start                                              1.50 s          MISSED: at most 1
              start                                              0.50 s          MISSED: at least 1
              start                                              0.50 s
        "#]]
        .assert_eq(&format!("figures\n{}", lines.concat()));
    }
}
