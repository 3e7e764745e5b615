//! What must hold of any bytes that a peer answers with.

use settle_model::json::validate;
use settle_sync::{
    replication::{Fetched, Want},
    wire,
};

pub(crate) fn check(data: &[u8]) {
    let ids = ["a", "b", "a"];
    let wants: Vec<_> = ids
        .iter()
        .zip(["1-a", "2-b", "2-c"])
        .map(|(id, rev)| Want::new((*id).into(), rev.parse().expect("a revision"), [].into()))
        .collect();
    for results in [wire::parse_bulk_get(&wants, data), wire::parse_open_revs(&wants, data)] {
        let Ok(results) = results else { continue };
        assert!(results.len() <= wants.len());
        for result in results {
            let Fetched::Documents(documents) = result else { continue };
            for document in documents {
                assert_eq!(validate(&document.json), Ok(()));
                assert!(document.changed_attachments(&[]).len() == document.attachments.len());
            }
        }
    }
    if let Ok(page) = wire::parse_changes(data) {
        assert!(page.rows.iter().all(|row| !row.id.is_empty()));
    }
    if let Ok(missing) = wire::parse_revs_diff(data) {
        let asked: Vec<_> = missing.into_iter().map(|(id, it)| (id, it.missing)).collect();
        assert_eq!(validate(&wire::revs_diff_body(&asked)), Ok(()));
    }
    drop(wire::parse_bulk_docs(data));
    drop(wire::parse_info(data));
    drop(wire::parse_committed(data));
    drop(wire::parse_checkpoint(data));
    drop(wire::parse_rev(data));
    drop(wire::parse_filter(data, "f"));
    drop(wire::parse_problem(data));
}
