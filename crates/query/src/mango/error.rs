//! Why a request of Mango is refused, in CouchDB's words.

use thiserror::Error;

use crate::selector::SelectorError;

/// The text is what clients are told. Source: `mango_error:info/2`. Values are quoted as Erlang
/// prints them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MangoError {
    #[error(transparent)]
    Selector(#[from] SelectorError),
    #[error("Request body must be a JSON object")]
    NotAnObject,
    #[error("Invalid key {key} for this request.")]
    InvalidKey { key: String },
    #[error("Missing required key: {key}")]
    MissingKey { key: &'static str },
    #[error("Invalid string: {value}")]
    InvalidString { value: String },
    #[error("Invalid boolean value: {value}")]
    InvalidBoolean { value: String },
    #[error("{value} is not an integer greater than zero")]
    InvalidPositive { value: String },
    #[error("{value} is not an integer greater than or equal to zero")]
    InvalidNonNegative { value: String },
    #[error("Invalid value for stale: {value}")]
    InvalidStale { value: String },
    #[error("Invalid value for partitioned: {value}")]
    InvalidPartitioned { value: String },
    #[error("Index name or ddoc cannot be empty string")]
    EmptyString,
    #[error("Invalid index name: {value}")]
    InvalidIndexName { value: String },
    #[error("Bulk Delete requires an array of non-null docids. Docids: {value}")]
    InvalidBulkDocs { value: String },
    #[error("Invalid bookmark value: {bookmark}")]
    InvalidBookmark { bookmark: String },
    #[error("Fields must be an array of strings, not: {value}")]
    InvalidFields { value: String },
    #[error("Invalid JSON for field spec: {value}")]
    InvalidField { value: String },
    #[error("Sort must be an array of sort specs, not: {value}")]
    InvalidSort { value: String },
    #[error("Invalid sort field: {value}")]
    InvalidSortField { value: String },
    #[error("Sorts currently only support a single direction for all fields.")]
    MixedSort,
    #[error("Index is missing its definition.")]
    NoDefinition,
    #[error("JSON indexes must be an object, not: {value}")]
    InvalidIndexJson { value: String },
    #[error("Invalid type for index: {kind}")]
    InvalidIndexType { kind: String },
    /// An index for full text search.
    #[error("{kind}")]
    SearchMissing { kind: String },
    #[error("Existing design doc has an invalid language: {language}")]
    DesignLanguage { language: String },
    #[error(
        "Requested partitioned option does not match existing value on design document {design}"
    )]
    PartitionedMismatch { design: String },
    #[error("{}", no_index_for_sort(*.partitioned_database, *.in_partition))]
    NoIndexForSort { partitioned_database: bool, in_partition: bool },
    #[error("You must specify an index with the `use_index` parameter.")]
    NoIndexNamed,
    /// `index` is `name` or `name, view`.
    #[error("_design/{index} specified by `use_index` could not be found or it is not suitable.")]
    IndexUnsuitable { index: String },
    #[error("{reason}")]
    InvalidAggregate { reason: String },
    #[error("{reason}")]
    InvalidJoin { reason: String },
    #[error("the groups are too many or too large: name fewer or smaller fields in `group`")]
    TooManyGroups,
}

fn no_index_for_sort(partitioned_database: bool, in_partition: bool) -> &'static str {
    match (partitioned_database, in_partition) {
        (false, _) => "No index exists for this sort, try indexing by the sort fields.",
        (true, true) => {
            "No partitioned index exists for this sort, try indexing by the sort fields."
        }
        (true, false) => "No global index exists for this sort, try indexing by the sort fields.",
    }
}
