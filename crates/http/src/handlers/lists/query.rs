//! What one list consists of, and how it begins.

use std::ops::Bound;

use serde_json::Value;
use settle_access::{Grant, Read};
use settle_database::{
    At, Database, Direction, DocumentRow, DocumentScan, Moment, More, Next, Sink, StorageError,
    blobs::BlobStore,
};
use settle_model::limits::DOCUMENT_ID_BYTES_MAX;

use super::{keys::Keys, local::Locals, range::Range};
use crate::{
    documents::rows::RowForm,
    error::ApiError,
    parameters::{Key, ViewParameters},
};

const DESIGN: &str = "_design/";
/// The first text behind all ids of design documents.
const DESIGN_END: &str = "_design0";
const LOCAL: &str = "_local/";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace {
    All,
    Design,
    Local,
    /// Documents in conflict.
    Conflicts,
}

/// A list that has not begun.
#[derive(Debug)]
pub(super) struct Plan {
    namespace: Namespace,
    selection: Selection,
    form: RowForm,
    content: bool,
    skip: u64,
    limit: u64,
    with_counts: bool,
    update_seq: bool,
    at: Option<At>,
    /// What `at` stands for, once the list begins.
    moment: Option<Moment>,
}

#[derive(Debug)]
enum Selection {
    Range {
        start: Bound<String>,
        end: Bound<String>,
        direction: Direction,
    },
    /// In the order in which their rows come, `skip` and `limit` applied.
    Keys(Vec<Value>),
}

/// A list under way.
pub(super) enum Query {
    Range(Range),
    Keys(Keys),
    Locals(Locals),
}

impl Plan {
    pub(super) fn new(
        namespace: Namespace,
        mut parameters: ViewParameters,
    ) -> Result<Self, ApiError> {
        if namespace == Namespace::Local && parameters.at.is_some() {
            return Err(ApiError::query("local documents have no past"));
        }
        let value = |key: Option<Key>| key.map(|key| key.value());
        let (start_key, end_key) =
            (value(parameters.start_key.take()), value(parameters.end_key.take()));
        let skip = parameters.skip;
        let limit = parameters.limit.unwrap_or(u64::MAX);
        let selection = match parameters.keys.take() {
            None => range(namespace, start_key, end_key, &parameters),
            Some(keys) => {
                let mut keys: Vec<Value> = keys.iter().map(Key::value).collect();
                check_beside(&keys, start_key.as_ref(), end_key.as_ref())?;
                if parameters.descending {
                    keys.reverse();
                }
                let count = |n| usize::try_from(n).unwrap_or(usize::MAX);
                let chosen = keys.into_iter().skip(count(skip)).take(count(limit));
                Selection::Keys(chosen.filter(|key| namespace.has(key)).collect())
            }
        };
        Ok(Self {
            namespace,
            selection,
            form: RowForm::new(
                parameters.attachments,
                parameters.att_encoding_info,
                parameters.conflicts,
            ),
            content: parameters.include_docs,
            skip,
            limit,
            with_counts: parameters.sorted,
            update_seq: parameters.update_seq,
            at: parameters.at,
            moment: None,
        })
    }

    /// As one of `queries`, where a single one of `keys` is taken for `key`.
    pub(super) fn of_queries(
        namespace: Namespace,
        mut parameters: ViewParameters,
    ) -> Result<Self, ApiError> {
        if parameters.keys.as_ref().is_some_and(|keys| keys.len() == 1) {
            let key = parameters.keys.take().and_then(|mut keys| keys.pop());
            parameters.start_key.clone_from(&key);
            parameters.end_key = key;
        }
        Self::new(namespace, parameters)
    }

    /// Appends what stands before the rows.
    pub(super) async fn begin(
        &mut self,
        database: &Database,
        grant: &Grant<Read>,
        text: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        if let Some(at) = &self.at {
            self.moment = Some(database.moment(grant, at).await?);
        }
        text.push(b'{');
        if self.with_counts && self.moment.is_some() {
            // Nobody has counted what there was.
            text.extend_from_slice(b"\"total_rows\":null,\"offset\":null,");
        } else if self.with_counts {
            let total = self.total(database, grant).await?;
            let offset = match &total {
                Some(total) => self.offset(database, grant, *total).await?,
                None => None,
            };
            let number =
                |it: Option<u64>| it.map_or_else(|| "null".to_owned(), |it| it.to_string());
            let counts = format!("\"total_rows\":{},\"offset\":{},", number(total), number(offset));
            text.extend_from_slice(counts.as_bytes());
        }
        if self.update_seq {
            let sequence = match self.selection {
                Selection::Range { .. } => {
                    let present = database.sequence();
                    let sequence = self.moment.map_or(present, Moment::sequence);
                    format!("\"{}\"", database.token(sequence))
                }
                Selection::Keys(_) => "null".to_owned(),
            };
            text.extend_from_slice(format!("\"update_seq\":{sequence},").as_bytes());
        }
        text.extend_from_slice(b"\"rows\":[\r\n");
        Ok(())
    }

    async fn total(
        &self,
        database: &Database,
        grant: &Grant<Read>,
    ) -> Result<Option<u64>, StorageError> {
        match self.namespace {
            Namespace::All => Ok(Some(database.info(grant).await?.doc_count)),
            Namespace::Local => Ok(None),
            Namespace::Conflicts => Ok(Some(database.conflict_count(grant).await?)),
            Namespace::Design => {
                let mut next = Next::Go(DocumentScan {
                    start: Bound::Included(DESIGN.to_owned()),
                    end: Bound::Excluded(DESIGN_END.to_owned()),
                    direction: Direction::Ascending,
                    skip: 0,
                    limit: u64::MAX,
                    content: false,
                    in_conflict: false,
                });
                let mut count = Count(0);
                while let Next::Go(scan) = next {
                    (count, next) = database.scan_documents(grant, scan, count).await?;
                }
                Ok(Some(count.0))
            }
        }
    }

    /// How many rows are passed over, as far as that can be told.
    async fn offset(
        &self,
        database: &Database,
        grant: &Grant<Read>,
        total: u64,
    ) -> Result<Option<u64>, StorageError> {
        let Some(scan) = self.scan() else { return Ok(None) };
        let before = database.offset(grant, &scan).await?;
        Ok(before.map(|before| before.saturating_add(self.skip).min(total)))
    }

    fn scan(&self) -> Option<DocumentScan> {
        let Selection::Range { start, end, direction } = &self.selection else { return None };
        Some(DocumentScan {
            start: start.clone(),
            end: end.clone(),
            direction: *direction,
            skip: self.skip,
            limit: self.limit,
            content: self.content,
            in_conflict: self.namespace == Namespace::Conflicts,
        })
    }

    pub(super) fn into_query(self) -> Query {
        let moment = self.moment;
        match (self.scan(), self.selection) {
            (_, Selection::Keys(keys)) => {
                Query::Keys(Keys::new(keys, self.form, self.content, self.namespace).at(moment))
            }
            (None, Selection::Range { .. }) => unreachable!("a range has a scan"),
            (Some(scan), Selection::Range { .. }) => match self.namespace {
                Namespace::Local => Query::Locals(Locals::new(scan)),
                Namespace::All | Namespace::Design | Namespace::Conflicts => {
                    Query::Range(Range::new(scan, self.form).at(moment))
                }
            },
        }
    }
}

impl Query {
    /// Appends rows until about a piece is full; whether there are more.
    pub(super) async fn read(
        &mut self,
        database: &Database,
        grant: &Grant<Read>,
        blobs: &BlobStore,
        text: Vec<u8>,
    ) -> Result<(Vec<u8>, bool), ApiError> {
        match self {
            Self::Range(range) => range.read(database, grant, blobs, text).await,
            Self::Keys(keys) => keys.read(database, grant, blobs, text).await,
            Self::Locals(locals) => locals.read(database, grant, text).await,
        }
    }
}

impl Namespace {
    /// Whether a key that was asked for belongs here. Among all documents every key has a row, and among those in
    /// conflict.
    fn has(self, key: &Value) -> bool {
        let begins = |prefix| key.as_str().is_some_and(|key| key.starts_with(prefix));
        match self {
            Self::All | Self::Conflicts => true,
            Self::Design => begins(DESIGN),
            Self::Local => begins(LOCAL),
        }
    }
}

fn check_beside(
    keys: &[Value],
    start_key: Option<&Value>,
    end_key: Option<&Value>,
) -> Result<(), ApiError> {
    let fits = match (start_key, end_key) {
        (None, None) => true,
        (Some(start), Some(end)) => start == end && keys == std::slice::from_ref(start),
        (Some(_), None) | (None, Some(_)) => false,
    };
    if fits || keys.is_empty() {
        return Ok(());
    }
    Err(ApiError::query("`keys` is incompatible with `key`, `start_key` and `end_key`"))
}

fn range(
    namespace: Namespace,
    start_key: Option<Value>,
    end_key: Option<Value>,
    parameters: &ViewParameters,
) -> Selection {
    // The end is given last, wherever it lies.
    let (start, end, direction) = if parameters.descending {
        let start = lower(end_key, parameters.inclusive_end);
        (start, upper(start_key, true), Direction::Descending)
    } else {
        let end = upper(end_key, parameters.inclusive_end);
        (lower(start_key, true), end, Direction::Ascending)
    };
    let (start, end) = match (namespace, &parameters.partition) {
        (Namespace::All | Namespace::Conflicts, Some(partition)) => {
            // Ids of a partition begin with its name and a colon; a semicolon is the next character.
            (not_below(start, &format!("{partition}:")), not_above(end, &format!("{partition};")))
        }
        (Namespace::All | Namespace::Conflicts, None) | (Namespace::Local, _) => (start, end),
        (Namespace::Design, _) => (not_below(start, DESIGN), not_above(end, DESIGN_END)),
    };
    Selection::Range { start, end, direction }
}

fn lower(key: Option<Value>, inclusive: bool) -> Bound<String> {
    match key {
        Some(Value::String(id)) => match cut(id) {
            // All ids that are this long are below the rest of the text.
            (id, true) => Bound::Excluded(id),
            (id, false) if inclusive => Bound::Included(id),
            (id, false) => Bound::Excluded(id),
        },
        None => Bound::Unbounded,
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_),
        ) => Bound::Unbounded,
    }
}

fn upper(key: Option<Value>, inclusive: bool) -> Bound<String> {
    match key {
        Some(Value::String(id)) => match cut(id) {
            (id, true) => Bound::Included(id),
            (id, false) if inclusive => Bound::Included(id),
            (id, false) => Bound::Excluded(id),
        },
        None => Bound::Unbounded,
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_),
        ) => Bound::Excluded(String::new()),
    }
}

/// No id is longer than the limit, so of a longer bound only so much counts. Whether it was cut.
fn cut(mut id: String) -> (String, bool) {
    let mut bytes = 0;
    let fits = |(_, character): &(usize, char)| {
        // U+0000 counts as two, as in ids.
        bytes += if *character == '\0' { 2 } else { character.len_utf8() };
        bytes <= DOCUMENT_ID_BYTES_MAX
    };
    let end = id.char_indices().take_while(fits).last();
    let end = end.map_or(0, |(at, character)| at + character.len_utf8());
    let is_cut = end < id.len();
    id.truncate(end);
    (id, is_cut)
}

fn not_below(start: Bound<String>, least: &str) -> Bound<String> {
    match start {
        Bound::Included(id) if id.as_str() >= least => Bound::Included(id),
        Bound::Excluded(id) if id.as_str() >= least => Bound::Excluded(id),
        Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => {
            Bound::Included(least.to_owned())
        }
    }
}

fn not_above(end: Bound<String>, limit: &str) -> Bound<String> {
    match end {
        Bound::Included(id) if id.as_str() < limit => Bound::Included(id),
        Bound::Excluded(id) if id.as_str() < limit => Bound::Excluded(id),
        Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => {
            Bound::Excluded(limit.to_owned())
        }
    }
}

struct Count(u64);

impl Sink<DocumentRow<'_>> for Count {
    fn row(&mut self, _: &DocumentRow<'_>) -> More {
        self.0 += 1;
        More::Yes
    }
}
