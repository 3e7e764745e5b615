//! Where what a request created can be found, for `Location`.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::call::Call;

/// What CouchDB leaves as it is.
const IN_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'~').remove(b'_').remove(b':');

/// A document of the database that the path begins with.
pub(crate) fn of_document(call: &Call, id: &str) -> HeaderValue {
    let id = utf8_percent_encode(id, IN_PATH);
    call.absolute(&format!("{}/{}/{id}", call.root(), call.raw_segment(0)))
}

/// An attachment of such a document.
pub(crate) fn of_attachment(call: &Call, id: &str, name: &str) -> HeaderValue {
    let (id, name) = (utf8_percent_encode(id, IN_PATH), utf8_percent_encode(name, IN_PATH));
    call.absolute(&format!("{}/{}/{id}/{name}", call.root(), call.raw_segment(0)))
}
