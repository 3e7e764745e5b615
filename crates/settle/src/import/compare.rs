//! Whether two databases have the same leaves.
//!
//! First both feeds of changes are read, and of each a number is kept that does not depend on the order: the
//! sum of a hash of every leaf. Equal sums end it, and memory does not depend on how many documents
//! there are. Where they differ, each side is asked what it does not know of the other's leaves, page by page.

use serde::Deserialize;
use serde_json::Value;

use super::{
    CallError, Couch, Counts, Import, Kind,
    couch::as_text,
    revisions::{Leaves, Pages, unknown_to},
};
use crate::limits::IMPORT_REVISIONS_NAMED;

pub(super) struct Comparison {
    pub(super) there: Counts,
    pub(super) here: Counts,
    pub(super) missing_here: Unknown,
    pub(super) only_here: Unknown,
}

/// Leaves of one side that the other does not know.
#[derive(Default)]
pub(super) struct Unknown {
    /// All of them.
    pub(super) count: u64,
    /// The first of them.
    pub(super) first: Vec<Leaves>,
}

/// What a database says of itself, as far as it matters here.
#[derive(Deserialize)]
pub(super) struct Info {
    pub(super) doc_count: u64,
    #[serde(default)]
    pub(super) doc_del_count: u64,
    #[serde(default)]
    update_seq: Value,
    #[serde(default)]
    props: Properties,
}

#[derive(Default, Deserialize)]
struct Properties {
    #[serde(default)]
    partitioned: bool,
}

/// All leaves of a database in two numbers.
#[derive(Default, PartialEq, Eq)]
struct Sum {
    leaves: u64,
    /// Without documents that every server makes for itself.
    hashes: u128,
}

impl Info {
    pub(super) async fn of(server: &Couch, database: &str) -> Result<Self, CallError> {
        server.get(&[database], &[]).await
    }

    pub(super) fn is_partitioned(&self) -> bool {
        self.props.partitioned
    }

    /// How often the database was written to. The rest of a sequence may differ from one request to the
    /// next on a cluster where nothing happens.
    pub(super) fn sequence(&self) -> String {
        as_text(&self.update_seq).chars().take_while(char::is_ascii_digit).collect()
    }
}

impl Comparison {
    pub(super) fn is_same(&self, kind: Kind) -> bool {
        let Self { there, here, missing_here, only_here } = self;
        missing_here.count == 0
            && match kind {
                Kind::Documents => only_here.count == 0 && there == here,
                // The server's own are beside them, and states of its own above them.
                Kind::Users | Kind::Replications => true,
            }
    }
}

impl Import {
    pub(super) async fn compare(
        &self,
        database: &str,
        kind: Kind,
    ) -> Result<Comparison, CallError> {
        let (source, target) = (&self.source, &self.target);
        let (there, here) =
            tokio::try_join!(sum(source, database, kind), sum(target, database, kind))?;
        let (mut missing_here, mut only_here) = (Unknown::default(), Unknown::default());
        if there != here {
            missing_here = unknown(source, target, database, kind).await?;
            only_here = unknown(target, source, database, kind).await?;
        }
        let there = counts(&Info::of(source, database).await?, &there);
        let here = counts(&Info::of(target, database).await?, &here);
        Ok(Comparison { there, here, missing_here, only_here })
    }
}

fn counts(info: &Info, sum: &Sum) -> Counts {
    Counts { documents: info.doc_count, deleted: info.doc_del_count, leaves: sum.leaves }
}

async fn sum(server: &Couch, database: &str, kind: Kind) -> Result<Sum, CallError> {
    let mut sum = Sum::default();
    let mut pages = Pages::of(server, database);
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            return Ok(sum);
        }
        for leaves in &page {
            sum.add(leaves, kind);
        }
    }
}

impl Sum {
    fn add(&mut self, Leaves { id, revs }: &Leaves, kind: Kind) {
        for rev in revs {
            self.leaves += 1;
            if !kind.has_builtin(id) {
                self.hashes = self.hashes.wrapping_add(hash(id, rev));
            }
        }
    }
}

/// A revision has no NUL, so no two leaves make the same text.
fn hash(id: &str, rev: &str) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(rev.as_bytes()).update(b"\0").update(id.as_bytes());
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    u128::from_le_bytes(bytes)
}

/// What `of` has and `to` does not know.
async fn unknown(of: &Couch, to: &Couch, database: &str, kind: Kind) -> Result<Unknown, CallError> {
    let mut unknown = Unknown::default();
    let mut pages = Pages::of(of, database);
    loop {
        let mut page = pages.next().await?;
        if page.is_empty() {
            return Ok(unknown);
        }
        page.retain(|leaves| !kind.has_builtin(&leaves.id));
        for leaves in unknown_to(to, database, &page).await? {
            unknown.count += u64::try_from(leaves.revs.len()).unwrap_or(u64::MAX);
            if unknown.first.len() < IMPORT_REVISIONS_NAMED {
                unknown.first.push(leaves);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(id: &str, revs: &[&str]) -> Leaves {
        Leaves { id: id.to_owned(), revs: revs.iter().map(|rev| (*rev).to_owned()).collect() }
    }

    fn sum_of(all: &[Leaves], kind: Kind) -> Sum {
        let mut sum = Sum::default();
        all.iter().for_each(|leaves| sum.add(leaves, kind));
        sum
    }

    #[test]
    fn what_a_server_makes_for_itself_does_not_count() {
        let users = [leaves("_design/_auth", &["1-a"]), leaves("org.couchdb.user:ada", &["1-b"])];
        let others = [leaves("_design/_auth", &["1-c"]), users[1].clone()];
        assert!(sum_of(&users, Kind::Users) == sum_of(&others, Kind::Users));
        assert!(sum_of(&users, Kind::Documents) != sum_of(&others, Kind::Documents));
    }

    #[test]
    fn the_integer_of_a_sequence_says_how_often_was_written() {
        let check = |text: &str, expected: &str| {
            let info: Info = serde_json::from_str(text).unwrap();
            assert_eq!(info.sequence(), expected);
        };
        check(r#"{"doc_count":1,"update_seq":"41-g1AAAA"}"#, "41");
        check(r#"{"doc_count":1,"update_seq":41}"#, "41");
        check(r#"{"doc_count":1}"#, "");
    }

    proptest! {
        #[test]
        fn sums_are_equal_when_leaves_are_in_whatever_order(
            all in proptest::collection::btree_set(("[a-c]{0,2}", "[1-3]-[a-c]"), 0..20),
            at in any::<prop::sample::Index>(),
            seed in any::<u64>(),
        ) {
            let all: Vec<_> = all.iter().map(|(id, rev)| leaves(id, &[rev])).collect();
            let mut turned = all.clone();
            turned.rotate_left(usize::try_from(seed % 20).unwrap() % all.len().max(1));
            prop_assert!(sum_of(&all, Kind::Documents) == sum_of(&turned, Kind::Documents));
            if !all.is_empty() {
                turned.remove(at.index(all.len()));
                prop_assert!(sum_of(&all, Kind::Documents).hashes != sum_of(&turned, Kind::Documents).hashes);
            }
        }
    }
}
