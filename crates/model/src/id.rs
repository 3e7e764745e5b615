//! Names that people and clients choose: of accounts, databases, documents, local documents, attachments.
//!
//! Each is parsed once, at the edge, and is right from then on. Cloning is one counter; order is the
//! order of the bytes, which is CouchDB's order of document ids.
//!
//! Source: `couch_db:validate_dbname/1`, `couch_doc:validate_docid/1`,
//! `chttpd_db:validate_attachment_name/1`; the reasons are CouchDB's, word for word, because clients
//! show them and some compare them. Different here: ids and attachment names have a longest length
//! ([`crate::limits`]), and only those system databases exist that have a use.

mod account;
mod attachment;
mod database;
mod document;

pub use self::{
    account::{AccountName, AccountNameError},
    attachment::{AttachmentName, AttachmentNameError},
    database::{DatabaseName, DatabaseNameError},
    document::{AnyId, DocumentId, DocumentIdError, LocalId, PartitionError},
};

/// What all names share: a text behind a counter, compared by its bytes.
macro_rules! text_id {
    ($name:ident) => {
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

use text_id;
