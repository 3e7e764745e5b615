//! Routes of Mango: finding documents by selectors, and the indexes for it.

use super::{
    Access::{Administer, Read},
    Kind, Parameter, Route, delete, get, handler,
    history::AT,
    parameter, post,
};
use crate::handlers::mango;

const JSON: &str = "application/json";

const PAGE: &[Parameter] = &[
    parameter("limit", Kind::Integer, "indexes at most"),
    parameter("skip", Kind::Integer, "indexes to pass over"),
];

const FIND: &[Parameter] =
    &[parameter("partition", Kind::Text, "the partition that is looked at"), AT];

const PARTITION: &[Parameter] =
    &[parameter("partition", Kind::Text, "the partition that is looked at")];

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/{db}/_find",
        operations: &[post(Read, "Find documents by a selector", handler!(mango::find))
            .takes(FIND)
            .body(JSON)
            .answers(&[200, 404, 410, 415])],
    },
    Route {
        path: "/{db}/_explain",
        operations: &[post(
            Read,
            "Say how a selector would be looked for",
            handler!(mango::explain),
        )
        .takes(PARTITION)
        .body(JSON)
        .answers(&[200, 404, 415])],
    },
    Route {
        path: "/{db}/_index",
        operations: &[
            get(Read, "The indexes for selectors", handler!(mango::indexes))
                .takes(PAGE)
                .answers(&[200, 404]),
            post(Administer, "Create an index for selectors", handler!(mango::create))
                .body(JSON)
                .answers(&[200, 404, 409, 415]),
        ],
    },
    Route {
        path: "/{db}/_index/_bulk_delete",
        operations: &[post(
            Administer,
            "Delete the indexes of several design documents",
            handler!(mango::delete_several),
        )
        .body(JSON)
        .answers(&[200, 404, 415])],
    },
    Route {
        path: "/{db}/_index/{ddoc}/{type}/{name}",
        operations: &[delete(Administer, "Delete an index", handler!(mango::delete))
            .answers(&[200, 404, 409])],
    },
    Route {
        path: "/{db}/_index/_design/{ddoc}/{type}/{name}",
        operations: &[delete(Administer, "Delete an index", handler!(mango::delete))
            .answers(&[200, 404, 409])],
    },
    Route {
        path: "/{db}/_partition/{partition}/_find",
        operations: &[post(
            Read,
            "Find documents of a partition by a selector",
            handler!(mango::find_in_partition),
        )
        .body(JSON)
        .answers(&[200, 404, 415])],
    },
    Route {
        path: "/{db}/_partition/{partition}/_explain",
        operations: &[post(
            Read,
            "Say how a selector would be looked for in a partition",
            handler!(mango::explain_in_partition),
        )
        .body(JSON)
        .answers(&[200, 404, 415])],
    },
];
