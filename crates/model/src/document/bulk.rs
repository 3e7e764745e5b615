//! Many documents, from the body of one `_bulk_docs`.

use super::{
    BulkError, DocumentError, Incoming, limits::BULK_DOCUMENTS_MAX, parse::parse_document,
};
use crate::json::{self, scan::Scanner};

/// Bytes set aside for the first body, and at least for each later one.
const BODY_BYTES_GUESSED_MIN: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bulk {
    pub docs: Vec<Incoming>,
    pub new_edits: Option<bool>,
    pub all_or_nothing: Option<bool>,
}

/// Checks and takes apart the body of a `_bulk_docs` request, in one pass. Members that are not
/// known are left out.
pub fn parse_bulk(text: &[u8]) -> Result<Bulk, BulkError> {
    parse(text).map_err(|error| {
        if matches!(error, BulkError::Document(DocumentError::Json(_))) {
            return error;
        }
        json::validate(text).err().map_or(error, BulkError::from)
    })
}

fn parse(text: &[u8]) -> Result<Bulk, BulkError> {
    let mut scanner = Scanner::new(text)?;
    scanner.space();
    if scanner.peek() != b'{' {
        return Err(BulkError::NotAnObject);
    }
    let mut bulk = Bulk::default();
    let mut docs = Err(BulkError::NoDocs);
    scanner.members(|scanner, key| {
        scanner.colon()?;
        match (&*json::unescape(key.raw(scanner.text())), scanner.peek()) {
            ("docs", b'[') => docs = Ok(parse_docs(scanner)?),
            ("docs", _) => return Err(BulkError::DocsNotAnArray),
            ("new_edits", _) => bulk.new_edits = Some(parse_flag(scanner, "new_edits")?),
            ("all_or_nothing", _) => {
                bulk.all_or_nothing = Some(parse_flag(scanner, "all_or_nothing")?);
            }
            _ => scanner.value()?,
        }
        Ok(())
    })?;
    scanner.finish()?;
    bulk.docs = docs?;
    Ok(bulk)
}

fn parse_docs(scanner: &mut Scanner<'_>) -> Result<Vec<Incoming>, BulkError> {
    let mut docs = Vec::new();
    let mut guess = BODY_BYTES_GUESSED_MIN;
    scanner.elements(|scanner| {
        if docs.len() == BULK_DOCUMENTS_MAX {
            return Err(BulkError::TooMany { max: BULK_DOCUMENTS_MAX });
        }
        let document = scanner.outermost(|scanner| parse_document(scanner, guess))?;
        guess = document.body.len().max(BODY_BYTES_GUESSED_MIN);
        docs.push(document);
        Ok(())
    })?;
    Ok(docs)
}

fn parse_flag(scanner: &mut Scanner<'_>, member: &'static str) -> Result<bool, BulkError> {
    let first = scanner.peek();
    scanner.value()?;
    match first {
        b't' => Ok(true),
        b'f' => Ok(false),
        _ => Err(BulkError::NotABoolean { member }),
    }
}
