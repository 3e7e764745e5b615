//! What a client is told of a transaction: the JSON that is recorded beside its effect, and answered again when the
//! transaction comes again.

use settle_model::{id::DocumentId, json::write_string, revision::RevId};

use crate::plan::{Refusal, Taken};

/// `{"accepted":true,"revs":{…},"taken":{…},"result":…}`. `result` is what a transaction function gave back, JSON.
pub fn accepted<'r>(
    revs: impl Iterator<Item = (&'r DocumentId, &'r RevId)>,
    taken: &[Taken],
    result: Option<&[u8]>,
) -> Vec<u8> {
    let mut out = b"{\"accepted\":true,\"revs\":{".to_vec();
    for (at, (id, rev)) in revs.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_string(&mut out, id.as_str());
        out.extend_from_slice(b":\"");
        rev.write_to(&mut out);
        out.push(b'"');
    }
    out.push(b'}');
    if !taken.is_empty() {
        out.extend_from_slice(b",\"taken\":");
        push_taken(&mut out, taken);
    }
    if let Some(result) = result {
        out.extend_from_slice(b",\"result\":");
        out.extend_from_slice(result);
    }
    out.push(b'}');
    out
}

/// Amounts of one document stand together, as its write put them there.
fn push_taken(out: &mut Vec<u8>, taken: &[Taken]) {
    let mut before: &[u8] = b"{";
    for documents in taken.chunk_by(|a, b| a.id == b.id) {
        out.extend_from_slice(before);
        before = b",";
        write_string(out, documents[0].id.as_str());
        let mut between: &[u8] = b":{";
        for Taken { field, amount, .. } in documents {
            out.extend_from_slice(between);
            between = b",";
            write_string(out, field);
            out.push(b':');
            out.extend_from_slice(amount);
        }
        out.push(b'}');
    }
    out.push(b'}');
}

/// `{"accepted":false,"reason":…,"detail":{…},"current":{…}}`
///
/// `current` is the document that it failed on: as JSON, `None` if it is not there. Where it is too large to be told,
/// there is none.
pub fn refused(refusal: &Refusal, current: Option<(&DocumentId, Option<&[u8]>)>) -> Vec<u8> {
    let mut out = b"{\"accepted\":false,\"reason\":".to_vec();
    write_string(&mut out, refusal.reason.as_str());
    out.extend_from_slice(b",\"detail\":");
    out.extend_from_slice(&refusal.detail);
    if let Some((id, document)) = current {
        out.extend_from_slice(b",\"current\":{");
        write_string(&mut out, id.as_str());
        out.push(b':');
        out.extend_from_slice(document.unwrap_or(b"null"));
        out.push(b'}');
    }
    out.push(b'}');
    out
}
