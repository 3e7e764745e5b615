//! The codes that a reply's `error` member can have, each with its one status.
//!
//! Source: `chttpd:error_info/1`. Spellings are CouchDB's, the space in `service unavailable` included.

use http::StatusCode;

macro_rules! codes {
    ($($name:ident $status:literal $text:literal: $meaning:literal, $advice:literal;)*) => {
        /// What kind of failure a reply reports. Ordered by status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The `error` member.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            pub fn status(self) -> StatusCode {
                let status: u16 = match self {
                    $(Self::$name => $status,)*
                };
                StatusCode::from_u16(status).expect("the table holds valid statuses")
            }

            /// For the documentation: what happened, and what the sender can do.
            pub const fn explanation(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$name => ($meaning, $advice),)*
                }
            }
        }
    };
}

codes! {
    BadRequest 400 "bad_request":
        "A parameter, header or body cannot be understood.",
        "Correct the request; `reason` names the part.";
    QueryParseError 400 "query_parse_error":
        "A query parameter has a value that it cannot have, or contradicts another.",
        "Correct the parameter that `reason` names.";
    IllegalDatabaseName 400 "illegal_database_name":
        "The database's name has characters that names cannot have.",
        "Choose a name as `reason` describes; encode a slash as `%2F`.";
    DatabaseNameTooLong 400 "database_name_too_long":
        "The database's name is too long.",
        "Choose a shorter name.";
    IllegalDocid 400 "illegal_docid":
        "The document's id cannot be an id.",
        "Use text of at most 1,500 bytes that does not begin with an underscore.";
    DocValidation 400 "doc_validation":
        "The document has a member with a leading underscore that has no meaning.",
        "Rename the member; names with a leading underscore belong to the server.";
    CompilationError 400 "compilation_error":
        "A function of a design document cannot be compiled.",
        "Correct the source; `reason` says where it goes wrong.";
    InvalidDesignDoc 400 "invalid_design_doc":
        "A design document has a member of the wrong form.",
        "Correct the member that `reason` names.";
    IllegalPartition 400 "illegal_partition":
        "The text cannot name a partition.",
        "Use text without a colon that does not begin with an underscore.";
    ContentMd5Mismatch 400 "content_md5_mismatch":
        "An attachment's bytes are not those that its digest announced.",
        "Send it again; it was damaged on the way.";
    BadArchive 400 "bad_archive":
        "What was sent is no archive, or one that is damaged or cut short.",
        "Send another copy; `reason` says where it is damaged.";
    InvalidSelectorJson 400 "invalid_selector_json":
        "The selector is not an object.",
        "Send an object of fields and conditions.";
    InvalidSelector 400 "invalid_selector":
        "A condition at the top of the selector has no field.",
        "Put the condition under the name of a field.";
    BadArg 400 "bad_arg":
        "An operator of a selector has an argument that it cannot have.",
        "Correct the argument; `reason` shows it as Erlang writes it, as CouchDB does.";
    InvalidOperator 400 "invalid_operator":
        "A selector has an operator that does not exist.",
        "Check the spelling; write a field that begins with `$` as `\\$`.";
    NotSupported 400 "not_supported":
        "A selector has an operator that exists elsewhere, and not here.",
        "Do without it; `$regex` and `$beginsWith` search in texts.";
    BadField 400 "bad_field":
        "A selector has `$default` where it means nothing.",
        "Leave it out.";
    InvalidFieldName 400 "invalid_field_name":
        "The name of a field has an empty part.",
        "Write a dot that belongs to a name as `\\.`.";
    MissingRequiredKey 400 "missing_required_key":
        "A request of Mango lacks a member that it must have.",
        "Add the member that `reason` names.";
    InvalidKey 400 "invalid_key":
        "A request of Mango has a member that means nothing.",
        "Leave out the member that `reason` names, or correct its spelling.";
    InvalidString 400 "invalid_string":
        "A member of a request of Mango must be text.",
        "Send text.";
    InvalidBoolean 400 "invalid_boolean":
        "A member of a request of Mango must be `true` or `false`.",
        "Send one of these.";
    InvalidPosInteger 400 "invalid_pos_integer":
        "A number of a request of Mango must be greater than zero.",
        "Send an integer of 1 or more.";
    InvalidNonNegInteger 400 "invalid_non_neg_integer":
        "A number of a request of Mango must not be negative.",
        "Send an integer of 0 or more.";
    InvalidEmptyString 400 "invalid_empty_string":
        "The name of an index or of its design document is empty.",
        "Choose a name, or send none and be given one.";
    InvalidIndexName 400 "invalid_index_name":
        "`use_index` names no index.",
        "Send the name of a design document, or an array of that and the name of an index.";
    InvalidBulkDocs 400 "invalid_bulk_docs":
        "`docids` is no array of names of design documents.",
        "Send an array of texts.";
    InvalidBookmark 400 "invalid_bookmark":
        "The bookmark is not one that this server gave.",
        "Send the `bookmark` of the page before, or none for the first page.";
    InvalidFields 400 "invalid_fields":
        "`fields` is not an array.",
        "Send an array of names of fields.";
    InvalidField 400 "invalid_field":
        "An element of `fields` is not text.",
        "Send an array of names of fields.";
    InvalidSortJson 400 "invalid_sort_json":
        "A sort, or the fields of an index, are not an array.",
        "Send an array of names, or of objects such as `{\"name\": \"desc\"}`.";
    InvalidSortField 400 "invalid_sort_field":
        "An element of a sort is neither a name nor a name with `asc` or `desc`.",
        "Correct the element that `reason` shows.";
    UnsupportedMixedSort 400 "unsupported_mixed_sort":
        "A sort goes up by one field and down by another.",
        "Choose one direction for all fields.";
    InvalidIndex 400 "invalid_index":
        "The definition of an index cannot be understood, or the index that was named cannot be used.",
        "Correct it as `reason` says.";
    NoUsableIndex 400 "no_usable_index":
        "No index has the documents in the order that was asked for, or finds those of a join.",
        "Create an index on the fields of the sort, or on the field of the join.";
    InvalidDdocLang 400 "invalid_ddoc_lang":
        "An index cannot be put into a design document of another language.",
        "Choose another design document.";
    InvalidPartitionedOption 400 "invalid_partitioned_option":
        "A design document has indexes of partitions or of the whole database, not both.",
        "Choose another design document.";
    InvalidAggregate 400 "invalid_aggregate":
        "`group` or `aggregate` cannot be understood, or contradicts another member.",
        "Correct the request; `reason` names the part.";
    TooManyGroups 400 "too_many_groups":
        "The documents fall into more groups than fit in memory.",
        "Group by fewer fields, or select fewer documents.";
    InvalidJoin 400 "invalid_join":
        "`join` cannot be understood, or what it finds is too large.",
        "Correct the request; `fields` and `limit` of a join make it smaller.";
    InvalidReplication 400 "invalid_replication":
        "An endpoint or a proxy of a replication has an address that cannot be used.",
        "Correct the address that `reason` names.";
    InvalidMoment 400 "invalid_moment":
        "The moment of a database's past is none, lies beyond the present, or was counted elsewhere.",
        "Name a snapshot, a sequence of this database, or a time such as `2027-11-21T03:05:46Z`.";
    Unauthorized 401 "unauthorized":
        "Nobody is signed in, or name and password are wrong.",
        "Sign in, then repeat the request.";
    Forbidden 403 "forbidden":
        "Who is signed in may not do this.",
        "Ask somebody with more rights; repeating does not help.";
    NotFound 404 "not_found":
        "The database, document, revision, attachment or endpoint does not exist; `deleted` says that it did.",
        "Check the spelling; create it first.";
    DbNotFound 404 "db_not_found":
        "The source or the target of a replication does not exist, or cannot be opened.",
        "Check the spelling; send `create_target` if the target is to be created.";
    NoSnapshot 404 "no_snapshot":
        "The database has no snapshot of this name.",
        "Check the spelling; `_snapshots` lists them.";
    NotYet 404 "not_yet":
        "The database was not there yet at that moment.",
        "Choose a later moment.";
    MethodNotAllowed 405 "method_not_allowed":
        "This path does not have this method.",
        "Use one that the `Allow` header lists.";
    NotAcceptable 406 "not_acceptable":
        "None of the types in `Accept` can be produced.",
        "Accept `application/json`.";
    RequestTimeout 408 "request_timeout":
        "The request's body did not arrive in time.",
        "Send it again; a connection that stands still for a minute is closed.";
    Conflict 409 "conflict":
        "Somebody else changed the document since the revision that was named.",
        "Read the document again, apply the change to it, and send that.";
    ReplicationCancelled 409 "replication_cancelled":
        "Somebody has cancelled the replication that this request waits for.",
        "Start it again; it goes on where it was.";
    Gone 410 "gone":
        "This was removed from the protocol.",
        "Use what `reason` names instead.";
    NotKept 410 "not_kept":
        "What the database was at that moment is no longer kept.",
        "Choose a later moment or a snapshot; a larger window keeps more from now on.";
    FileExists 412 "file_exists":
        "A database of this name exists already.",
        "Use it, or choose another name.";
    MissingStub 412 "missing_stub":
        "A stub names an attachment that the revision before does not have.",
        "Send the attachment itself.";
    SnapshotExists 412 "snapshot_exists":
        "The database has a snapshot of this name already.",
        "Choose another name, or delete the snapshot first.";
    TooLarge 413 "too_large":
        "The request's body is larger than this endpoint takes.",
        "Split it into several requests.";
    DocumentTooLarge 413 "document_too_large":
        "A document is larger than documents can be.",
        "Split it, or move large parts into attachments.";
    AttachmentTooLarge 413 "attachment_too_large":
        "An attachment is larger than attachments can be.",
        "Split it.";
    TooManyAttachments 413 "too_many_attachments":
        "The document has more attachments than documents can have.",
        "Spread them over several documents.";
    TooManySnapshots 413 "too_many_snapshots":
        "The database has as many snapshots as it may have.",
        "Delete those that nobody needs.";
    RevertTooLarge 413 "revert_too_large":
        "Going back would change more at once than one commit can.",
        "Go back in parts, with `ids` or a `selector`.";
    TooLong 414 "too_long":
        "The request's address is too long.",
        "Send long parameters, such as `keys`, in the body of a POST.";
    BadContentType 415 "bad_content_type":
        "The body's type or encoding is not one that this endpoint takes.",
        "Send it as `reason` says, usually as `application/json`.";
    RequestedRangeNotSatisfiable 416 "requested_range_not_satisfiable":
        "The range lies outside the attachment.",
        "Ask for its length with HEAD first.";
    ExpectationFailed 417 "expectation_failed":
        "A bulk request that was to be all or nothing was refused.",
        "Correct the documents that the reply lists.";
    IdReused 422 "id_reused":
        "The id of a transaction, or the `Idempotency-Key` of a request, was used before, and for something else.",
        "Give each transaction and each request an id of its own.";
    TooManyRequests 429 "too_many_requests":
        "This account or address sends more requests than the server's settings allow.",
        "Repeat the request after the time in `Retry-After`, and send fewer.";
    TooManyHeaders 431 "too_many_headers":
        "The request has more headers than requests can have.",
        "Leave out what the server does not need, such as cookies of other sites.";
    InternalServerError 500 "internal_server_error":
        "The server failed; it is not the request's fault.",
        "Look in the server's log for the request's id; repeat the request later.";
    BuiltinReduceError 500 "builtin_reduce_error":
        "A built-in reducer met a value that it cannot reduce.",
        "Emit what the reducer takes, or skip such documents; `reason` names the value.";
    OsProcessTimeout 500 "os_process_timeout":
        "A function of a design document did not end in time and was stopped.",
        "Make the function do less, or raise the time that functions have.";
    OsProcessError 500 "os_process_error":
        "A function of a design document needed too much memory, gave back what cannot be used, or ended its process.",
        "Correct the function; `reason` says what it did.";
    BrokenRule 500 "broken_rule":
        "A validator or schema in a design document cannot be used, so no document can be written.",
        "Correct the design document that `reason` names, or delete it.";
    UnknownQueryLanguage 500 "unknown_query_language":
        "The design document is in a language that the server does not run.",
        "Use JavaScript, or `query` for Mango indexes.";
    UnknownError 500 "unknown_error":
        "A function of a design document threw; the name is the one that it gave, if it gave one.",
        "Correct the function, or what it was asked.";
    ReplicationFailed 500 "replication_failed":
        "A replication did not come to its end; the name says where it stopped, as CouchDB's does.",
        "Look at `reason`, which has the words of the database that refused; start it again.";
    NotImplemented 501 "not_implemented":
        "The server does not have this part of the protocol.",
        "Do without it; `reason` may name a way.";
    ServiceUnavailable 503 "service unavailable":
        "The server is too busy, is stopping, or waits for its storage.",
        "Repeat the request after the time in `Retry-After`.";
    IndexServiceUnavailable 503 "required index service unavailable":
        "There is no full text search yet.",
        "Create an index of type `json`.";
    InsufficientStorage 507 "insufficient_storage":
        "The disk or a quota is full; reading goes on.",
        "Free space, then repeat the request.";
}
