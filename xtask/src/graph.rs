//! The crate graph, which `docs/ARCHITECTURE.md` draws and a test compares: a new edge between crates
//! is a decision, and its diff shows it.
//!
//! Edges are normal dependencies between crates of the workspace, named without `settle-`. What only
//! tests or builds need is not drawn.

use std::collections::BTreeMap;

use anyhow::Context as _;
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::step::root;

/// In the page, the line before the block that holds the graph.
#[cfg(test)]
const MARK: &str = "<!-- crate graph -->\n```text\n";

/// A crate and what it depends on.
type Graph = BTreeMap<String, Vec<String>>;

pub(crate) fn print() -> Result<(), anyhow::Error> {
    print!("{}", draw(&actual()?));
    Ok(())
}

/// The graph that the manifests make.
fn actual() -> Result<Graph, anyhow::Error> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("read the workspace's manifests")?;
    Ok(metadata
        .packages
        .iter()
        .map(|package| {
            let ours = package
                .dependencies
                .iter()
                .filter(|it| it.path.is_some() && it.kind == DependencyKind::Normal);
            let mut names: Vec<_> = ours.map(|it| short(&it.name)).collect();
            names.sort();
            (short(&package.name), names)
        })
        .collect())
}

/// Crates that depend on most come first, so that arrows go down.
fn draw(graph: &Graph) -> String {
    let mut crates: Vec<_> =
        graph.iter().map(|(name, on)| (height(graph, name), name, on)).collect();
    crates.sort_by(|(a, a_name, _), (b, b_name, _)| b.cmp(a).then(a_name.cmp(b_name)));
    let width = crates.iter().map(|(_, name, _)| name.len()).max().unwrap_or(0);
    let line = |name: &str, on: &[String]| {
        if on.is_empty() {
            format!("{name}\n")
        } else {
            format!("{name:width$} → {}\n", on.join(" "))
        }
    };
    crates.iter().map(|(_, name, on)| line(name, on)).collect()
}

/// The longest way down. Cargo refuses cycles.
fn height(graph: &Graph, name: &str) -> usize {
    let below = graph.get(name).into_iter().flatten();
    below.map(|name| height(graph, name) + 1).max().unwrap_or(0)
}

fn short(name: &str) -> String {
    name.strip_prefix("settle-").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use expect_test::{Expect, expect};

    use super::*;

    fn check(edges: &[(&str, &[&str])], drawn: Expect) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let graph = edges.iter().map(|(name, on)| ((*name).to_owned(), owned(on))).collect();
        drawn.assert_eq(&draw(&graph));
    }

    #[test]
    fn arrows_go_down() {
        check(
            &[("model", &[]), ("http", &["database", "model"]), ("database", &["model"])],
            expect![[r"
                http     → database model
                database → model
                model
            "]],
        );
    }

    #[test]
    fn the_drawn_crate_graph_is_the_real_one() {
        let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
        let (_, rest) = page.split_once(MARK).expect("the page draws the crate graph");
        let (drawn, _) = rest.split_once("```").expect("the block ends");
        assert_eq!(
            drawn,
            draw(&actual().unwrap()),
            "docs/ARCHITECTURE.md draws another crate graph. If the new edge is meant, paste what \
             `cargo xtask graph` prints, and say in the page what the crate still does not know"
        );
    }

    /// What is only for tests to find may be turned on by what only tests need.
    #[test]
    fn no_released_server_has_faults_planted() {
        let manifests = root().join("Cargo.toml");
        let metadata = MetadataCommand::new().manifest_path(manifests).no_deps().exec().unwrap();
        let is_planted = |feature: &String| feature.contains("planted");
        let mut planted_by = Vec::new();
        for package in &metadata.packages {
            let default = package.features.get("default").into_iter().flatten();
            assert!(!default.into_iter().any(is_planted), "{}", package.name);
            for dependency in
                package.dependencies.iter().filter(|it| it.features.iter().any(is_planted))
            {
                assert_eq!(dependency.kind, DependencyKind::Development, "{}", package.name);
                planted_by.push(short(&package.name));
            }
        }
        assert_eq!(planted_by, ["settle"]);
    }

    #[test]
    fn the_files_that_the_page_names_are_there() {
        let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
        let named: Vec<_> = page.split('`').filter(|text| text.starts_with("crates/")).collect();
        assert!(named.len() > 10, "{named:?}");
        for file in named {
            assert!(root().join(file).is_file(), "docs/ARCHITECTURE.md names {file}");
        }
    }
}
