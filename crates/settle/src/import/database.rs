//! One database: made, set, brought, compared.

use reqwest::Method;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use settle_model::id::DatabaseName;

use super::{
    Body, CallError, Import, Kind, Replications, Row, Verdict,
    compare::{Comparison, Info},
    couch::to_json,
    revisions::{Leaves, Refusal},
};
use crate::limits::{IMPORT_ID_CHARACTERS_SHOWN, IMPORT_NAMES_SHOWN, IMPORT_ROUNDS};

/// What a database's admins set, and where it stands.
const SETTINGS: [&str; 2] = ["_revs_limit", "_security"];

impl Import {
    pub(super) async fn bring(&self, name: &str) -> Row {
        if let Err(error) = name.parse::<DatabaseName>() {
            return Row::failed(name, error.to_string());
        }
        match self.bring_database(name, Kind::of(name)).await {
            Ok(row) => row,
            Err(error) => Row::failed(name, error.in_full()),
        }
    }

    async fn bring_database(&self, name: &str, kind: Kind) -> Result<Row, CallError> {
        let other_settings = self.make(name, kind).await?;
        let mut round = 1;
        loop {
            let before = Info::of(&self.source, name).await?.sequence();
            match kind {
                Kind::Documents => self.replicate(name).await?,
                Kind::Users | Kind::Replications => self.copy_all(name, kind).await?,
            }
            let comparison = self.compare(name, kind).await?;
            if comparison.is_same(kind) {
                return Ok(self.same(name, kind, &comparison, other_settings));
            }
            // What a replication has passed over it does not try again, so this does, and learns why.
            let refusals = self.copy(name, kind, &comparison.missing_here.first).await?;
            let is_written = Info::of(&self.source, name).await?.sequence() != before;
            let missing = comparison.missing_here.count;
            let may_become_same = refusals.is_empty() && (is_written || missing > 0);
            if may_become_same && round < IMPORT_ROUNDS {
                round += 1;
                continue;
            }
            let verdict = if refusals.is_empty() && is_written && comparison.only_here.count == 0 {
                Verdict::StillWritten
            } else {
                let only_here = comparison.only_here.count;
                Verdict::Different { missing_here: missing, only_here }
            };
            let mut details = other_settings;
            details.extend(told(&comparison, &refusals));
            return Ok(row(name, &comparison, verdict, details));
        }
    }

    /// Makes the database if it is not there, with the settings that it has on the source. Gives back
    /// those that it cannot have here.
    async fn make(&self, name: &str, kind: Kind) -> Result<Vec<String>, CallError> {
        let there = Info::of(&self.source, name).await?;
        let query: &[_] = if there.is_partitioned() { &[("partitioned", "true")] } else { &[] };
        let made: Result<IgnoredAny, CallError> =
            self.target.call(Method::PUT, &[name], query, Body::None).await;
        match made {
            Ok(_) | Err(CallError::Refused { status: 412, .. }) => {}
            Err(error) => return Err(error),
        }
        let mut others = Vec::new();
        if Info::of(&self.target, name).await?.is_partitioned() != there.is_partitioned() {
            others.push("it is partitioned on one side and not on the other".to_owned());
        }
        if kind != Kind::Documents {
            return Ok(others);
        }
        for setting in SETTINGS {
            let path = [name, setting];
            let there: Value = match self.source.get(&path, &[]).await {
                Ok(there) => there,
                // Some that speak the protocol have no such thing.
                Err(CallError::Refused { status: 404 | 405 | 501, .. }) => continue,
                Err(error) => return Err(error),
            };
            let here: Value = self.target.get(&path, &[]).await?;
            if there == here {
                continue;
            }
            let body = to_json(&there);
            let set: Result<IgnoredAny, CallError> =
                self.target.call(Method::PUT, &path, &[], Body::Json(&body)).await;
            match set {
                Ok(_) => {}
                Err(error @ CallError::Refused { status: 400 | 403 | 413, .. }) => {
                    others.push(format!("{setting} cannot be {there} here: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(others)
    }

    /// Has the target replicate. It goes on from its checkpoint, and joins a replication that runs.
    async fn replicate(&self, name: &str) -> Result<(), CallError> {
        let job = json!({ "source": self.source.endpoint(name), "target": name });
        self.target.wait_for::<IgnoredAny>(&["_replicate"], &to_json(&job)).await?;
        Ok(())
    }

    fn same(
        &self,
        name: &str,
        kind: Kind,
        comparison: &Comparison,
        other_settings: Vec<String>,
    ) -> Row {
        let more_here = comparison.only_here.count;
        let verdict = if other_settings.is_empty() {
            Verdict::Same { more_here }
        } else {
            Verdict::OtherSettings
        };
        let mut details = other_settings;
        let stops = self.wanted.replications == Replications::Stopped;
        if kind == Kind::Replications && stops && more_here > 0 {
            details
                .push("what runs there is stopped here; its documents say how to start it".into());
        }
        row(name, comparison, verdict, details)
    }
}

fn row(name: &str, comparison: &Comparison, verdict: Verdict, details: Vec<String>) -> Row {
    let counts = Some((comparison.there, comparison.here));
    Row { name: name.to_owned(), counts, verdict, details }
}

/// What is not the same, by name, as far as there is room for names.
fn told(comparison: &Comparison, refusals: &[Refusal]) -> Vec<String> {
    let Comparison { missing_here, only_here, .. } = comparison;
    let mut lines: Vec<String> = refusals
        .iter()
        .take(IMPORT_NAMES_SHOWN)
        .map(|Refusal { id, reason }| format!("{}: refused: {reason}", cut(id)))
        .collect();
    if refusals.len() > IMPORT_NAMES_SHOWN {
        lines.push(format!("and {} more that were refused", refusals.len() - IMPORT_NAMES_SHOWN));
    }
    let is_refused = |leaves: &&Leaves| refusals.iter().any(|refusal| refusal.id == leaves.id);
    let missing = missing_here.first.iter().filter(|leaves| !is_refused(leaves));
    lines.extend(named(missing, "missing here"));
    lines.extend(named(only_here.first.iter(), "only here"));
    lines
}

fn named<'a>(leaves: impl Iterator<Item = &'a Leaves>, what: &str) -> Vec<String> {
    let line = |Leaves { id, revs }: &Leaves| format!("{}: {what}: {}", cut(id), revs.join(", "));
    leaves.take(IMPORT_NAMES_SHOWN).map(line).collect()
}

/// An id as it is shown, without what would make lines of its own.
fn cut(id: &str) -> String {
    let shown = |letter: char| if letter.is_control() { '\u{FFFD}' } else { letter };
    let mut text: String = id.chars().take(IMPORT_ID_CHARACTERS_SHOWN).map(shown).collect();
    if text.len() < id.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::import::{Counts, compare::Unknown};

    fn leaves(id: &str) -> Leaves {
        Leaves { id: id.to_owned(), revs: vec!["1-a".to_owned(), "1-b".to_owned()] }
    }

    fn check(missing: &[&str], only: &[&str], refused: &[(&str, &str)], expected: &Expect) {
        let none = Counts { documents: 0, deleted: 0, leaves: 0 };
        let unknown = |ids: &[&str]| {
            let first: Vec<_> = ids.iter().map(|id| leaves(id)).collect();
            Unknown { count: 2 * u64::try_from(first.len()).unwrap(), first }
        };
        let (missing_here, only_here) = (unknown(missing), unknown(only));
        let comparison = Comparison { there: none, here: none, missing_here, only_here };
        let refusal =
            |&(id, reason): &(&str, &str)| Refusal { id: id.into(), reason: reason.into() };
        let refusals: Vec<_> = refused.iter().map(refusal).collect();
        expected.assert_eq(&told(&comparison, &refusals).join("\n"));
    }

    #[test]
    fn what_differs_is_named_and_what_is_long_is_cut() {
        let long = "x".repeat(IMPORT_ID_CHARACTERS_SHOWN + 1);
        check(
            &["a", "b"],
            &["c\n"],
            &[("b", "forbidden: no")],
            &expect![[r#"
            b: refused: forbidden: no
            a: missing here: 1-a, 1-b
            c�: only here: 1-a, 1-b"#]],
        );
        check(
            &[],
            &[],
            &vec![(&*long, "illegal_docid: too long"); 12],
            &expect![[r#"
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: refused: illegal_docid: too long
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: refused: illegal_docid: too long
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: refused: illegal_docid: too long
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: refused: illegal_docid: too long
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: refused: illegal_docid: too long
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: refused: illegal_docid: too long
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: refused: illegal_docid: too long
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: refused: illegal_docid: too long
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: refused: illegal_docid: too long
            xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: refused: illegal_docid: too long
            and 2 more that were refused"#]],
        );
    }
}
