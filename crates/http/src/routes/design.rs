//! Routes of what design documents do, and of partitions.

use super::{
    Access::{Administer, Read, Write},
    Kind, Operation, Parameter, Route, copy, delete, get, handler, parameter, post, put,
};
use crate::handlers::{functions, lists, views};

const JSON: &str = "application/json";

const VIEW: &[Parameter] = &[
    parameter("key", Kind::Json, "this key alone"),
    parameter("keys", Kind::Json, "these keys, in this order"),
    parameter("startkey", Kind::Json, "first key"),
    parameter("startkey_docid", Kind::Text, "first document of the first key"),
    parameter("endkey", Kind::Json, "last key"),
    parameter("endkey_docid", Kind::Text, "last document of the last key"),
    parameter("inclusive_end", Kind::Boolean, "whether the last key belongs to the range"),
    parameter("limit", Kind::Integer, "rows at most"),
    parameter("skip", Kind::Integer, "rows to pass over"),
    parameter("descending", Kind::Boolean, "from the last key to the first"),
    parameter("reduce", Kind::Boolean, "`false`: rows, also where the view can reduce them"),
    parameter("group", Kind::Boolean, "rows with equal keys are reduced together"),
    parameter("group_level", Kind::Integer, "so many elements of the keys make a group"),
    parameter("include_docs", Kind::Boolean, "documents stand in their rows"),
    parameter("conflicts", Kind::Boolean, "documents tell their conflicts"),
    parameter("attachments", Kind::Boolean, "documents hold their attachments"),
    parameter("att_encoding_info", Kind::Boolean, "attachments tell how they are stored"),
    parameter("update", Kind::Text, "`true` waits for the newest, `false` and `lazy` do not"),
    parameter("stable", Kind::Boolean, "every answer from the same copy, as there is but one"),
    parameter("stale", Kind::Text, "`ok` and `update_after`, older names of `update`"),
    parameter("update_seq", Kind::Boolean, "the answer tells what the index had seen"),
    parameter("sorted", Kind::Boolean, "`false`: without the numbers of rows"),
    parameter("partition", Kind::Text, "the partition, where the view has such"),
];

const UPDATED: &[u16] = &[200, 201, 400, 404, 409, 413, 422, 500];
const SHOWN: &[u16] = &[200, 304, 404, 406, 413, 500, 501];
const LISTED: &[u16] = &[200, 400, 404, 406, 415, 500, 501];

/// Whatever the request becomes has its own rules.
const REWRITES: &[Operation] = &[
    get(Read, "What a request becomes by the rewrites", handler!(functions::rewrite))
        .answers(REWRITTEN),
    put(Read, "As `GET`", handler!(functions::rewrite)).answers(REWRITTEN),
    post(Read, "As `GET`", handler!(functions::rewrite)).answers(REWRITTEN),
    delete(Read, "As `GET`", handler!(functions::rewrite)).answers(REWRITTEN),
    copy(Read, "As `GET`", handler!(functions::rewrite)).answers(REWRITTEN),
];

const REWRITTEN: &[u16] = &[200, 400, 404, 500];

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/{db}/_design/{name}/_view/{view}",
        operations: &[
            get(Read, "Rows of a view", handler!(views::view))
                .takes(VIEW)
                .answers(&[200, 400, 404, 500]),
            post(Read, "Rows of a view with these keys", handler!(views::view_of_body))
                .takes(VIEW)
                .body(JSON)
                .answers(&[200, 400, 404, 415, 500]),
        ],
    },
    Route {
        path: "/{db}/_design/{name}/_view/{view}/queries",
        operations: &[post(Read, "Several questions to a view", handler!(views::queries))
            .takes(VIEW)
            .body(JSON)
            .answers(&[200, 400, 404, 415, 500])],
    },
    Route {
        path: "/{db}/_design/{name}/_info",
        operations: &[
            get(Read, "Information on an index", handler!(views::info)).answers(&[200, 404])
        ],
    },
    Route {
        path: "/{db}/_compact/{ddoc}",
        operations: &[post(
            Administer,
            "Compact the indexes of a design document",
            handler!(views::compact),
        )
        .answers(&[202, 404, 415])],
    },
    Route {
        path: "/{db}/_view_cleanup",
        operations: &[post(Administer, "Remove unused indexes", handler!(views::clean_up))
            .answers(&[202, 404])],
    },
    Route {
        path: "/{db}/_partition/{partition}",
        operations: &[get(Read, "Information on a partition", handler!(views::partition))
            .answers(&[200, 400, 404])],
    },
    Route {
        path: "/{db}/_partition/{partition}/_all_docs",
        operations: &[
            get(Read, "Documents of a partition by id", handler!(lists::partition_docs))
                .takes(super::database::LIST)
                .answers(&[200, 400, 404]),
            post(
                Read,
                "Documents of a partition with these ids",
                handler!(lists::partition_docs_of_body),
            )
            .takes(super::database::LIST)
            .body(JSON)
            .answers(&[200, 400, 404, 415]),
        ],
    },
    Route {
        path: "/{db}/_partition/{partition}/_design/{name}/_view/{view}",
        operations: &[
            get(Read, "Rows of a view, of one partition", handler!(views::partition_view))
                .takes(VIEW)
                .answers(&[200, 400, 404, 500]),
            post(
                Read,
                "Rows of a view with these keys, of one partition",
                handler!(views::partition_view_of_body),
            )
            .takes(VIEW)
            .body(JSON)
            .answers(&[200, 400, 404, 415, 500]),
        ],
    },
    Route {
        path: "/{db}/_design/{name}/_update/{function}",
        operations: &[
            post(Write, "Store what a function makes of a request", handler!(functions::update))
                .remembers()
                .answers(UPDATED),
            put(Write, "As `POST`", handler!(functions::update)).remembers().answers(UPDATED),
            delete(Write, "As `POST`", handler!(functions::update)).remembers().answers(UPDATED),
        ],
    },
    Route {
        path: "/{db}/_design/{name}/_update/{function}/{docid...}",
        operations: &[
            put(
                Write,
                "Store what a function makes of a request and a document",
                handler!(functions::update_document),
            )
            .remembers()
            .answers(UPDATED),
            post(Write, "As `PUT`", handler!(functions::update_document))
                .remembers()
                .answers(UPDATED),
            delete(Write, "As `PUT`", handler!(functions::update_document))
                .remembers()
                .answers(UPDATED),
        ],
    },
    Route {
        path: "/{db}/_design/{name}/_show/{function}",
        operations: &[
            get(Read, "What a function shows", handler!(functions::show)).answers(SHOWN),
            post(Read, "What a function shows", handler!(functions::show)).answers(SHOWN),
        ],
    },
    Route {
        path: "/{db}/_design/{name}/_show/{function}/{docid...}",
        operations: &[
            get(Read, "What a function shows of a document", handler!(functions::show_document))
                .answers(SHOWN),
            post(Read, "What a function shows of a document", handler!(functions::show_document))
                .answers(SHOWN),
        ],
    },
    Route {
        path: "/{db}/_design/{name}/_list/{function}/{view}",
        operations: &[
            get(Read, "What a function makes of a view's rows", handler!(functions::list))
                .takes(VIEW)
                .answers(LISTED),
            post(
                Read,
                "What a function makes of a view's rows with these keys",
                handler!(functions::list_of_body),
            )
            .takes(VIEW)
            .body(JSON)
            .answers(LISTED),
        ],
    },
    Route {
        path: "/{db}/_design/{name}/_list/{function}/{ddoc}/{view}",
        operations: &[
            get(
                Read,
                "What a function makes of the rows of another design document's view",
                handler!(functions::list_of_other),
            )
            .takes(VIEW)
            .answers(LISTED),
            post(
                Read,
                "What a function makes of those rows with these keys",
                handler!(functions::list_of_other_of_body),
            )
            .takes(VIEW)
            .body(JSON)
            .answers(LISTED),
        ],
    },
    Route { path: "/{db}/_design/{name}/_rewrite", operations: REWRITES },
    Route { path: "/{db}/_design/{name}/_rewrite/{path...}", operations: REWRITES },
];
