//! What must hold of any bytes that are found as checkpoints: a line for each side.

use settle_model::json::validate;
use settle_sync::{
    checkpoint::{Checkpoint, common_ancestor},
    limits::HISTORY_MAX,
};

pub(crate) fn check(data: &[u8]) {
    let mut sides = data.split(|&byte| byte == b'\n').map(Checkpoint::parse);
    let (source, target) = (sides.next(), sides.next());
    let (source, target) = (source.and_then(Result::ok), target.and_then(Result::ok));
    for checkpoint in source.iter().chain(&target) {
        assert!(checkpoint.history.len() <= HISTORY_MAX);
        let text = checkpoint.to_json();
        assert_eq!(validate(&text), Ok(()));
        assert_eq!(Checkpoint::parse(&text).as_ref(), Ok(checkpoint));
        let alone = common_ancestor(Some(checkpoint), None, "7");
        assert_eq!(alone.seq, None, "the target may be another one");
        let same = common_ancestor(Some(checkpoint), Some(checkpoint), "7");
        assert_eq!(same.seq.as_ref(), Some(&checkpoint.source_last_seq));
    }
    drop(common_ancestor(source.as_ref(), target.as_ref(), "7"));
}
