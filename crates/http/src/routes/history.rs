//! Routes of what a database was.

use super::{
    Access::{Administer, Read},
    Kind, Operation, Parameter, Route, delete, get, handler, parameter, post, put,
};
use crate::handlers::history;

const JSON: &str = "application/json";

/// Of everything that can be read as it was.
pub(super) const AT: Parameter =
    parameter("at", Kind::Text, "as it was: a snapshot, a sequence or a time");

const VERSIONS: &[Operation] =
    &[get(Read, "What is kept of a document, newest first", handler!(history::versions))
        .takes(&[
            parameter("before", Kind::Text, "versions that began before this sequence"),
            parameter("limit", Kind::Integer, "versions at most"),
        ])
        .answers(&[200, 400, 404])];

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/{db}/_snapshots",
        operations: &[
            get(Read, "Snapshots by name", handler!(history::snapshots)).answers(&[200, 404])
        ],
    },
    Route {
        path: "/{db}/_snapshots/{name}",
        operations: &[
            delete(Administer, "Delete a snapshot", handler!(history::forget))
                .answers(&[200, 400, 404]),
            get(Read, "A snapshot", handler!(history::snapshot)).answers(&[200, 400, 404]),
            put(Administer, "Take a snapshot", handler!(history::take))
                .takes(&[AT])
                .answers(&[201, 400, 404, 410, 412, 413]),
        ],
    },
    Route {
        path: "/{db}/_history",
        operations: &[
            get(Read, "How much of the past is kept", handler!(history::retention))
                .answers(&[200, 404]),
            put(Administer, "Say how much of the past is kept", handler!(history::set_retention))
                .body(JSON)
                .answers(&[200, 400, 404]),
        ],
    },
    Route {
        path: "/{db}/_difference",
        operations: &[get(
            Read,
            "Documents that were something else at another moment",
            handler!(history::difference),
        )
        .takes(&[
            parameter("from", Kind::Text, "the earlier moment: a snapshot, a sequence or a time"),
            parameter("to", Kind::Text, "the later one; the present where none is said"),
            parameter("since", Kind::Text, "where the page before ended"),
            parameter("limit", Kind::Integer, "documents at most"),
        ])
        .answers(&[200, 400, 404, 410])],
    },
    Route {
        path: "/{db}/_revert",
        operations: &[post(Administer, "Go back to what was", handler!(history::revert))
            .body(JSON)
            .answers(&[200, 400, 404, 410, 412, 413, 415])],
    },
    Route {
        path: "/{db}/_fork",
        operations: &[post(
            Administer,
            "Make another database of what this one is or was",
            handler!(history::fork),
        )
        .body(JSON)
        .answers(&[201, 400, 404, 410, 412, 415])],
    },
    Route { path: "/{db}/{id}/_history", operations: VERSIONS },
    Route { path: "/{db}/_design/{name}/_history", operations: VERSIONS },
];
