//! Every limit of this crate: the number, the reason, and what a client sees when it is reached.
//! The limits of JSON text stand beside its parser, in [`crate::json`].

/// Bytes. CouchDB's, whose files are named after databases: 255 for a file name, less the suffix of
/// a shard. A client sees 400 `database_name_too_long`.
pub const DATABASE_NAME_BYTES_MAX: usize = 238;

/// Bytes. Of a name in the catalog it takes at most three times as many, beside the owner's part, and
/// keys end at 1,900. A client sees 404: nobody has such an account.
pub const ACCOUNT_NAME_BYTES_MAX: usize = 200;

/// Bytes, of document ids and of `_local/` ids with their prefix.
///
/// An id is part of several storage keys, and the embedded engine's keys end at 1,900 bytes. U+0000
/// counts as two bytes, because it is escaped there. A client sees 400 `illegal_docid`, in a bulk
/// request in that document's row.
pub const DOCUMENT_ID_BYTES_MAX: usize = 1_500;

/// Bytes. Names stand in the stored list of a document's attachments, which is read with every
/// revision. A client sees 400 `bad_request`.
pub const ATTACHMENT_NAME_BYTES_MAX: usize = 1_000;

/// Bytes of a digest that is not 32 hex digits. Leaves room for SHA-256 in hex; it is stored in every
/// node of a tree. A client sees 400 `Invalid rev format`.
pub const DIGEST_TEXT_BYTES_MAX: usize = 64;

/// Decimal digits that are read of a sequence: all that 64 bits can need. A client sees 400
/// `Malformed sequence`.
pub const SEQUENCE_DIGITS_MAX: usize = 20;

/// Bytes of a `since` value. CouchDB's own tokens, which are read as the start, take some hundred
/// bytes per shard. A client sees 400 `Malformed sequence`.
pub const SINCE_BYTES_MAX: usize = 65_536;
