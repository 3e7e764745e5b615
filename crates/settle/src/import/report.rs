//! What an import came to: a row for each database.

use std::fmt::Write as _;

/// One row a database, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    /// There and here; `None` where it came to no comparison.
    pub counts: Option<(Counts, Counts)>,
    pub verdict: Verdict,
    /// What a person should know, a line each.
    pub details: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub documents: u64,
    pub deleted: u64,
    pub leaves: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is here. In the databases of users and of replications there may be more.
    Same { more_here: u64 },
    /// It changed there all the while, and nothing was refused.
    StillWritten,
    /// Leaves that one side has and the other does not.
    Different { missing_here: u64, only_here: u64 },
    /// The leaves are the same, and a setting is not.
    OtherSettings,
    /// It came to no comparison.
    Failed { reason: String },
}

impl Report {
    /// Whether all is here that has come to rest there.
    pub fn is_well(&self) -> bool {
        self.rows.iter().all(|row| row.verdict.is_well())
    }

    /// The comparison, as text for a terminal.
    pub fn table(&self) -> String {
        const TITLES: [&str; 5] = ["database", "documents", "deleted", "leaves", "result"];
        let mut lines = vec![TITLES.map(str::to_owned)];
        lines.extend(self.rows.iter().map(Row::cells));
        let widths: [usize; 5] = std::array::from_fn(|column| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
        });
        let mut text = String::new();
        for line in &lines {
            let mut padded = String::new();
            for (cell, width) in line.iter().zip(widths) {
                write!(padded, "{cell:width$}  ").expect("a text takes everything");
            }
            text.push_str(padded.trim_end());
            text.push('\n');
        }
        text
    }

    /// One line about all of them.
    pub fn summary(&self) -> String {
        let count =
            |is: fn(&Verdict) -> bool| self.rows.iter().filter(|row| is(&row.verdict)).count();
        let same = count(|it| matches!(it, Verdict::Same { .. }));
        let moving = count(|it| matches!(it, Verdict::StillWritten));
        let databases = if self.rows.len() == 1 { "database" } else { "databases" };
        let mut text = format!("{} {databases}, {same} the same", self.rows.len());
        if moving > 0 {
            write!(text, ", {moving} still written to").expect("a text takes everything");
        }
        let rest = self.rows.len() - same - moving;
        if rest > 0 {
            write!(text, ", {rest} not").expect("a text takes everything");
        }
        text
    }
}

impl Row {
    pub(super) fn failed(name: &str, reason: String) -> Self {
        let (verdict, details) = (Verdict::Failed { reason }, Vec::new());
        Self { name: name.to_owned(), counts: None, verdict, details }
    }

    pub(super) fn documents_here(&self) -> u64 {
        self.counts.map_or(0, |(_, here)| here.documents + here.deleted)
    }

    fn cells(&self) -> [String; 5] {
        let cell = |of: fn(&Counts) -> u64| match &self.counts {
            None => "-".to_owned(),
            Some((there, here)) if of(there) == of(here) => of(here).to_string(),
            Some((there, here)) => format!("{} → {}", of(there), of(here)),
        };
        [
            self.name.clone(),
            cell(|it| it.documents),
            cell(|it| it.deleted),
            cell(|it| it.leaves),
            self.verdict.words(),
        ]
    }
}

impl Verdict {
    fn is_well(&self) -> bool {
        match self {
            Self::Same { .. } | Self::StillWritten => true,
            Self::Different { .. } | Self::OtherSettings | Self::Failed { .. } => false,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Same { more_here: 0 } => "the same".to_owned(),
            Self::Same { more_here } => format!("the same, and {more_here} more here"),
            Self::StillWritten => "still written to there; run it again".to_owned(),
            Self::Different { missing_here, only_here: 0 } => {
                format!("{missing_here} missing here")
            }
            Self::Different { missing_here: 0, only_here } => format!("{only_here} only here"),
            Self::Different { missing_here, only_here } => {
                format!("{missing_here} missing here, {only_here} only here")
            }
            Self::OtherSettings => "other settings".to_owned(),
            Self::Failed { reason } => reason.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn row(name: &str, there: [u64; 3], here: [u64; 3], verdict: Verdict) -> Row {
        let counts = |[documents, deleted, leaves]: [u64; 3]| Counts { documents, deleted, leaves };
        let counts = Some((counts(there), counts(here)));
        Row { name: name.to_owned(), counts, verdict, details: Vec::new() }
    }

    fn check(rows: Vec<Row>, is_well: bool, expected: &Expect) {
        let report = Report { rows };
        expected.assert_eq(&format!("{}{}\n", report.table(), report.summary()));
        assert_eq!(report.is_well(), is_well);
    }

    #[test]
    fn the_table_shows_both_sides_where_they_differ() {
        let missing = Verdict::Different { missing_here: 1, only_here: 0 };
        let rows = vec![
            row("_users", [3, 0, 3], [5, 0, 5], Verdict::Same { more_here: 2 }),
            row("notes", [1200, 3, 1210], [1200, 3, 1210], Verdict::Same { more_here: 0 }),
            row("shop", [41, 0, 41], [40, 0, 40], missing),
            Row::failed("UPPER", "no name of a database here".to_owned()),
        ];
        check(
            rows,
            false,
            &expect![[r#"
            database  documents  deleted  leaves   result
            _users    3 → 5      0        3 → 5    the same, and 2 more here
            notes     1200       3        1210     the same
            shop      41 → 40    0        41 → 40  1 missing here
            UPPER     -          -        -        no name of a database here
            4 databases, 2 the same, 2 not
        "#]],
        );
    }

    #[test]
    fn what_is_still_written_to_is_no_failure() {
        let rows = vec![row("notes", [12, 0, 12], [11, 0, 11], Verdict::StillWritten)];
        check(
            rows,
            true,
            &expect![[r#"
            database  documents  deleted  leaves   result
            notes     12 → 11    0        12 → 11  still written to there; run it again
            1 database, 0 the same, 1 still written to
        "#]],
        );
    }
}
