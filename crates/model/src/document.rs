//! Documents as clients send and receive them.
//!
//! A document is one JSON object. Members whose keys begin with an underscore speak about the
//! document; all others are its *body*. [`parse`] checks the text, takes the special members out,
//! and leaves the body as text without white space, member order and spelling kept, in one pass.
//! [`Outgoing::write`] goes the other way by splicing, so that reading a document parses nothing.
//!
//! Source: `couch_doc:from_json_obj/1`, `transfer_fields/3` and `to_json_obj/2`, `couch_att:from_json/2`
//! and `to_json/4`, `chttpd_db` for `_bulk_docs`; the reasons are CouchDB's, word for word. As there,
//! a text that is not JSON is reported before anything that is wrong with its members.
//!
//! Different here: an attachment that is not an object is refused, where CouchDB leaves it out without
//! a word; so are members of attachments of the wrong type, which it fails on later or stores, and content
//! types that no header can carry; and
//! `_revisions` must fit their `start`.

mod attachment;
mod bulk;
mod error;
pub mod limits;
mod parse;
mod rev;
mod write;

pub use self::{
    attachment::{AttachmentIn, Encoding},
    bulk::{Bulk, parse_bulk},
    error::{BulkError, DocumentError},
    parse::{Incoming, parse},
    rev::AnyRev,
    write::{AttachmentOut, ContentOut, Extras, Outgoing, RevStatus, Unsaved},
};
