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
    ContentMd5Mismatch 400 "content_md5_mismatch":
        "An attachment's bytes are not those that its digest announced.",
        "Send it again; it was damaged on the way.";
    Unauthorized 401 "unauthorized":
        "Nobody is signed in, or name and password are wrong.",
        "Sign in, then repeat the request.";
    Forbidden 403 "forbidden":
        "Who is signed in may not do this.",
        "Ask somebody with more rights; repeating does not help.";
    NotFound 404 "not_found":
        "The database, document, revision, attachment or endpoint does not exist; `deleted` says that it did.",
        "Check the spelling; create it first.";
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
    Gone 410 "gone":
        "This was removed from the protocol.",
        "Use what `reason` names instead.";
    FileExists 412 "file_exists":
        "A database of this name exists already.",
        "Use it, or choose another name.";
    MissingStub 412 "missing_stub":
        "A stub names an attachment that the revision before does not have.",
        "Send the attachment itself.";
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
    TooManyRequests 429 "too_many_requests":
        "This account or address sends more requests than the server's settings allow.",
        "Repeat the request after the time in `Retry-After`, and send fewer.";
    TooManyHeaders 431 "too_many_headers":
        "The request has more headers than requests can have.",
        "Leave out what the server does not need, such as cookies of other sites.";
    InternalServerError 500 "internal_server_error":
        "The server failed; it is not the request's fault.",
        "Look in the server's log for the request's id; repeat the request later.";
    NotImplemented 501 "not_implemented":
        "The server does not have this part of the protocol.",
        "Do without it; `reason` may name a way.";
    ServiceUnavailable 503 "service unavailable":
        "The server is too busy, is stopping, or waits for its storage.",
        "Repeat the request after the time in `Retry-After`.";
    InsufficientStorage 507 "insufficient_storage":
        "The disk or a quota is full; reading goes on.",
        "Free space, then repeat the request.";
}
