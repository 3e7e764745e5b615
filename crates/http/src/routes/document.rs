//! Routes of documents and their attachments.

use super::{
    Access::{Read, Write},
    Kind, Operation, Parameter, Route, copy, delete, get, handler,
    history::AT,
    parameter, post, put,
};
use crate::handlers::{attachment, document};

const READ: &[Parameter] = &[
    parameter("rev", Kind::Text, "this revision"),
    parameter("open_revs", Kind::Json, "these revisions, or `all`"),
    parameter("latest", Kind::Boolean, "the newest revisions that descend from those asked for"),
    parameter("revs", Kind::Boolean, "the document tells its ancestry"),
    parameter("revs_info", Kind::Boolean, "it tells which of its ancestors can be read"),
    parameter("conflicts", Kind::Boolean, "it tells the other branches"),
    parameter("deleted_conflicts", Kind::Boolean, "it tells the branches that were deleted"),
    parameter("meta", Kind::Boolean, "the three before this one"),
    parameter("local_seq", Kind::Boolean, "it tells its sequence"),
    parameter("deleted", Kind::Boolean, "a deleted document is sent as what is left of it"),
    parameter("attachments", Kind::Boolean, "attachments are sent with it"),
    parameter("att_encoding_info", Kind::Boolean, "attachments tell how they are stored"),
    parameter("atts_since", Kind::Json, "attachments are sent that are newer than these revisions"),
    AT,
];

const REV: Parameter = parameter("rev", Kind::Text, "the revision that this one is made from");
const BATCH: Parameter =
    parameter("batch", Kind::Text, "`ok`: answer before the document is written");

const DOCUMENT: &[Operation] = &[
    delete(Write, "Delete a document", handler!(document::delete))
        .takes(&[REV, BATCH])
        .remembers()
        .answers(&[200, 202, 400, 404, 409, 422]),
    get(Read, "A document", handler!(document::get))
        .takes(READ)
        .answers(&[200, 301, 304, 400, 404, 410]),
    post(Write, "Attach the files of a form", handler!(document::post))
        .body("multipart/form-data")
        .remembers()
        .answers(&[201, 400, 404, 409, 413, 415, 422]),
    put(Write, "Write a document", handler!(document::put))
        .takes(&[
            REV,
            BATCH,
            parameter(
                "new_edits",
                Kind::Boolean,
                "`false`: the document says which revision it is",
            ),
        ])
        .body("application/json")
        .remembers()
        .answers(&[200, 201, 202, 400, 404, 409, 412, 413, 422]),
    copy(Write, "Copy a document to the one that `Destination` names", handler!(document::copy))
        .takes(&[parameter("rev", Kind::Text, "the revision that is copied")])
        .remembers()
        .answers(&[201, 400, 404, 409, 422]),
];

const RESOLVE: &[Operation] = &[post(
    Write,
    "Keep one of the branches in conflict, or merge them",
    handler!(document::resolve),
)
.body("application/json")
.remembers()
.answers(&[201, 400, 404, 409, 412, 413, 415, 422])];

const ATTACHMENT: &[Operation] = &[
    delete(Write, "Take an attachment away", handler!(attachment::delete))
        .takes(&[REV])
        .remembers()
        .answers(&[200, 400, 404, 409, 422]),
    get(Read, "An attachment", handler!(attachment::get))
        .takes(&[parameter("rev", Kind::Text, "that of this revision of the document"), AT])
        .answers(&[200, 206, 304, 400, 404, 410, 416]),
    put(Write, "Attach a file", handler!(attachment::put))
        .takes(&[REV])
        .body("application/octet-stream")
        .remembers()
        .answers(&[201, 400, 404, 409, 413, 415, 422]),
];

const ON_LOCAL: &[Operation] = &[
    delete(Write, "Local documents have no attachments", handler!(attachment::refuse_local))
        .answers(&[400, 404]),
    get(Read, "Local documents have no attachments", handler!(attachment::refuse_local))
        .answers(&[400, 404]),
    put(Write, "Local documents have no attachments", handler!(attachment::refuse_local))
        .answers(&[400, 404]),
];

pub(super) const ROUTES: &[Route] = &[
    Route { path: "/{db}/{id}", operations: DOCUMENT },
    Route { path: "/{db}/{id}/_resolve", operations: RESOLVE },
    Route { path: "/{db}/{id}/{attachment...}", operations: ATTACHMENT },
    Route { path: "/{db}/_design/{name}", operations: DOCUMENT },
    Route { path: "/{db}/_design/{name}/_resolve", operations: RESOLVE },
    Route { path: "/{db}/_design/{name}/{attachment...}", operations: ATTACHMENT },
    Route { path: "/{db}/_local/{name}", operations: DOCUMENT },
    Route { path: "/{db}/_local/{name}/{attachment...}", operations: ON_LOCAL },
];
