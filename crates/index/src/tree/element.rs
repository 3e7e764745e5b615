//! What segments are made of: rows on level 0, entries above.

use std::borrow::Cow;

use super::{
    error::TreeError,
    keys,
    record::{self, EntryView, RowParts},
};

#[derive(Debug, Clone)]
pub(super) struct Element {
    /// Row key.
    pub(super) key: Vec<u8>,
    pub(super) rank: u8,
    /// Rows.
    pub(super) count: u64,
    pub(super) content: Content,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Row {
        payload: Vec<u8>,
        parts: RowParts,
    },
    Entry {
        partials: Vec<u8>,
    },
    /// A row where nothing needs what is in it.
    Unread,
}

impl Element {
    /// A row; `reads`: whether its content is needed.
    pub(super) fn row(key: &[u8], payload: &[u8], reads: bool) -> Result<Self, TreeError> {
        let parts = RowParts::parse(payload)?;
        let rank = parts.rank;
        let content =
            if reads { Content::Row { payload: payload.to_vec(), parts } } else { Content::Unread };
        Ok(Self { key: key.to_vec(), rank, count: 1, content })
    }

    pub(super) fn entry(key: &[u8], payload: &[u8]) -> Result<Self, TreeError> {
        let EntryView { rank, count, partials } = EntryView::parse(payload)?;
        let content = Content::Entry { partials: partials.to_vec() };
        Ok(Self { key: key.to_vec(), rank, count, content })
    }

    pub(super) fn is_row(&self) -> bool {
        match self.content {
            Content::Row { .. } | Content::Unread => true,
            Content::Entry { .. } => false,
        }
    }

    /// Key and value of a row.
    pub(super) fn json(&self) -> Option<(&[u8], &[u8])> {
        match &self.content {
            Content::Row { payload, parts } => {
                Some((&payload[parts.key.clone()], &payload[parts.value.clone()]))
            }
            Content::Entry { .. } | Content::Unread => None,
        }
    }

    pub(super) fn partial(&self, reducer: usize) -> Result<&[u8], TreeError> {
        match &self.content {
            Content::Entry { partials } => record::partial(partials, reducer),
            Content::Row { .. } | Content::Unread => {
                Err(TreeError::Malformed { reason: "a row has no partial" })
            }
        }
    }

    /// The id of a row's document.
    pub(super) fn id<'e>(
        &'e self,
        payload: &'e [u8],
        parts: &RowParts,
    ) -> Result<Cow<'e, str>, TreeError> {
        id(&self.key, payload, parts)
    }
}

/// The id of a row's document.
pub(super) fn id<'r>(
    row_key: &'r [u8],
    payload: &'r [u8],
    parts: &RowParts,
) -> Result<Cow<'r, str>, TreeError> {
    if let Some(range) = &parts.id {
        let id = std::str::from_utf8(&payload[range.clone()]);
        return id.map(Cow::Borrowed).map_err(|_| NO_ID);
    }
    keys::id_of(row_key, parts.sort_length)?.ok_or(NO_ID)
}

const NO_ID: TreeError = TreeError::Malformed { reason: "a row without an id" };
