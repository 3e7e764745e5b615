//! What an engine asks of a batch before it lets it in.

use crate::{Batch, Operation, Outcome, key, limits::VALUE_LENGTH_MAX};

/// The outcome of a batch that no engine can apply, because a key or a value has no legal length.
pub fn refusal(batch: &Batch) -> Option<Outcome> {
    let keys = batch.preconditions.iter().map(|precondition| precondition.key.as_slice());
    let reason = keys
        .chain(batch.operations.iter().map(Operation::key))
        .find_map(key_problem)
        .or_else(|| batch.operations.iter().find_map(value_problem))?;
    Some(Outcome::NotApplied { reason, storage_full: false })
}

/// Bytes of keys and values that a batch carries.
pub fn byte_count(batch: &Batch) -> usize {
    let sizes = batch.operations.iter().map(|operation| match operation {
        Operation::Put { key, value } => key.len() + value.len(),
        Operation::Delete { key } => key.len(),
    });
    sizes.sum()
}

fn key_problem(key: &[u8]) -> Option<String> {
    match key.len() {
        0 => Some("a key is empty".to_owned()),
        length if length > key::LENGTH_MAX => {
            Some(format!("a key has {length} bytes, {} are possible", key::LENGTH_MAX))
        }
        _ => None,
    }
}

fn value_problem(operation: &Operation) -> Option<String> {
    match operation {
        Operation::Put { key, value } if value.len() > VALUE_LENGTH_MAX => Some(format!(
            "the value of key {} has {} bytes, {VALUE_LENGTH_MAX} are possible",
            key.escape_ascii(),
            value.len(),
        )),
        Operation::Put { .. } | Operation::Delete { .. } => None,
    }
}
