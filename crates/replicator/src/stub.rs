//! What a document says of an attachment that is not inside it.

use settle_model::json::{members, unescape};
use settle_sync::replication::Document;

/// The value of a member of the stub of one of the document's attachments.
pub(crate) fn member<'a>(
    document: &'a Document,
    attachment: usize,
    name: &str,
) -> Option<&'a [u8]> {
    let stubs = find(&document.json, "_attachments")?;
    find(find(stubs, &document.attachments.get(attachment)?.name)?, name)
}

fn find<'a>(object: &'a [u8], name: &str) -> Option<&'a [u8]> {
    members(object).find(|(key, _)| unescape(key) == name).map(|(_, value)| value)
}
