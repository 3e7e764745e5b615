//! Routes of a database as a whole.

use super::{
    Access::{Administer, AdministerServer, Read, Write},
    Kind, Parameter, Route, delete, get, handler,
    history::AT,
    parameter, post, put,
};
use crate::handlers::{
    archive, bulk, bulk_get, changes, database, lists, revisions, security, transact,
};

const JSON: &str = "application/json";

const POSTED: &[Parameter] =
    &[parameter("batch", Kind::Text, "`ok`: answer before the document is written")];

pub(super) const LIST: &[Parameter] = &[
    parameter("key", Kind::Json, "this id alone"),
    parameter("keys", Kind::Json, "these ids, in this order"),
    parameter("startkey", Kind::Json, "first id"),
    parameter("endkey", Kind::Json, "last id"),
    parameter("inclusive_end", Kind::Boolean, "whether the last id belongs to the range"),
    parameter("limit", Kind::Integer, "rows at most"),
    parameter("skip", Kind::Integer, "rows to pass over"),
    parameter("descending", Kind::Boolean, "from the last id to the first"),
    parameter("include_docs", Kind::Boolean, "documents stand in their rows"),
    parameter("conflicts", Kind::Boolean, "documents tell their conflicts"),
    parameter("attachments", Kind::Boolean, "documents hold their attachments"),
    parameter("att_encoding_info", Kind::Boolean, "attachments tell how they are stored"),
    parameter("update_seq", Kind::Boolean, "the list tells the database's sequence"),
    parameter("sorted", Kind::Boolean, "`false`: without the numbers of rows"),
    AT,
];

const BULK_GET: &[Parameter] = &[
    parameter("revs", Kind::Boolean, "documents tell their ancestry"),
    parameter("latest", Kind::Boolean, "the newest revisions that those asked for led to"),
    parameter("attachments", Kind::Boolean, "documents hold their attachments"),
    parameter("att_encoding_info", Kind::Boolean, "attachments tell how they are stored"),
];

const CHANGES: &[Parameter] = &[
    parameter("feed", Kind::Text, "normal, longpoll, continuous, eventsource"),
    parameter("since", Kind::Text, "sequence to go on from, or `now`"),
    parameter("limit", Kind::Integer, "rows at most"),
    parameter("style", Kind::Text, "main_only, or all_docs for every leaf"),
    parameter("descending", Kind::Boolean, "newest first"),
    parameter("filter", Kind::Text, "_doc_ids, _design"),
    parameter("doc_ids", Kind::Json, "the documents of `filter=_doc_ids`"),
    parameter("heartbeat", Kind::Integer, "milliseconds between signs of life"),
    parameter("timeout", Kind::Integer, "milliseconds to wait for a row"),
    parameter("include_docs", Kind::Boolean, "documents stand in their rows"),
    parameter("conflicts", Kind::Boolean, "documents tell their conflicts"),
    parameter("attachments", Kind::Boolean, "documents hold their attachments"),
    parameter("att_encoding_info", Kind::Boolean, "attachments tell how they are stored"),
    AT,
];

pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/{db}",
        operations: &[
            delete(AdministerServer, "Drop the database", handler!(database::remove))
                .answers(&[200, 400, 404]),
            get(Read, "Information on the database", handler!(database::info)).answers(&[200, 404]),
            post(Write, "Create a document", handler!(bulk::post))
                .takes(POSTED)
                .body(JSON)
                .remembers()
                .answers(&[201, 202, 404, 409, 412, 415, 422]),
            put(AdministerServer, "Create the database", handler!(database::create))
                .answers(&[201, 400, 404, 412]),
        ],
    },
    Route {
        path: "/{db}/_bulk_docs",
        operations: &[post(Write, "Write documents", handler!(bulk::bulk_docs))
            .body(JSON)
            .remembers()
            .answers(&[201, 404, 412, 413, 415, 417, 422])],
    },
    Route {
        path: "/{db}/_transact",
        operations: &[post(
            Write,
            "Decide transactions, and tell what others changed",
            handler!(transact::transact),
        )
        .body(JSON)
        .answers(&[200, 404, 413, 415, 422])],
    },
    Route {
        path: "/{db}/_outcome_retention",
        operations: &[
            get(
                Read,
                "How many seconds outcomes of transactions are remembered",
                handler!(transact::outcome_retention),
            )
            .answers(&[200, 404]),
            put(
                Administer,
                "Set how many seconds outcomes are remembered",
                handler!(transact::put_outcome_retention),
            )
            .body(JSON)
            .answers(&[200, 404]),
        ],
    },
    Route {
        path: "/{db}/_all_docs",
        operations: &[
            get(Read, "Documents by id", handler!(lists::all_docs))
                .takes(LIST)
                .answers(&[200, 404, 410]),
            post(Read, "Documents by id with these ids", handler!(lists::all_docs_of_body))
                .takes(LIST)
                .body(JSON)
                .answers(&[200, 404, 410, 415]),
        ],
    },
    Route {
        path: "/{db}/_all_docs/queries",
        operations: &[post(Read, "Several lists at once", handler!(lists::all_docs_queries))
            .takes(LIST)
            .body(JSON)
            .answers(&[200, 404, 410])],
    },
    Route {
        path: "/{db}/_design_docs",
        operations: &[
            get(Read, "Design documents by id", handler!(lists::design_docs))
                .takes(LIST)
                .answers(&[200, 404, 410]),
            post(
                Read,
                "Design documents by id with these ids",
                handler!(lists::design_docs_of_body),
            )
            .takes(LIST)
            .body(JSON)
            .answers(&[200, 404, 410, 415]),
        ],
    },
    Route {
        path: "/{db}/_design_docs/queries",
        operations: &[post(Read, "Several lists at once", handler!(lists::design_docs_queries))
            .takes(LIST)
            .body(JSON)
            .answers(&[200, 404, 410])],
    },
    Route {
        path: "/{db}/_local_docs",
        operations: &[
            get(Read, "Local documents by id", handler!(lists::local_docs))
                .takes(LIST)
                .answers(&[200, 404, 410]),
            post(Read, "Local documents by id with these ids", handler!(lists::local_docs_of_body))
                .takes(LIST)
                .body(JSON)
                .answers(&[200, 404, 410, 415]),
        ],
    },
    Route {
        path: "/{db}/_local_docs/queries",
        operations: &[post(Read, "Several lists at once", handler!(lists::local_docs_queries))
            .takes(LIST)
            .body(JSON)
            .answers(&[200, 404, 410])],
    },
    Route {
        path: "/{db}/_conflicts",
        operations: &[
            get(Read, "Documents in conflict by id", handler!(lists::conflicts))
                .takes(LIST)
                .answers(&[200, 404, 410]),
            post(
                Read,
                "Those of these documents that are in conflict",
                handler!(lists::conflicts_of_body),
            )
            .takes(LIST)
            .body(JSON)
            .answers(&[200, 404, 410, 415]),
        ],
    },
    Route {
        path: "/{db}/_bulk_get",
        operations: &[post(Read, "Read revisions of many documents", handler!(bulk_get::bulk_get))
            .takes(BULK_GET)
            .body(JSON)
            .answers(&[200, 404, 415])],
    },
    Route {
        path: "/{db}/_changes",
        operations: &[
            get(Read, "Changes in their order", handler!(changes::changes))
                .takes(CHANGES)
                .answers(&[200, 304, 404, 410, 501]),
            post(Read, "Changes of some documents", handler!(changes::changes_of_body))
                .takes(CHANGES)
                .body(JSON)
                .answers(&[200, 304, 404, 410, 415, 501]),
        ],
    },
    Route {
        path: "/{db}/_revs_diff",
        operations: &[post(Read, "Which revisions are missing", handler!(revisions::diff))
            .body(JSON)
            .answers(&[200, 404, 415])],
    },
    Route {
        path: "/{db}/_missing_revs",
        operations: &[post(
            Read,
            "Which revisions are missing, without what they may descend from",
            handler!(revisions::missing_revs),
        )
        .body(JSON)
        .answers(&[200, 404, 415])],
    },
    Route {
        path: "/{db}/_purge",
        operations: &[post(Administer, "Erase revisions", handler!(revisions::purge))
            .body(JSON)
            .answers(&[201, 404, 415])],
    },
    Route {
        path: "/{db}/_purged_infos",
        operations: &[get(Administer, "Purges so far", handler!(revisions::purged_infos))
            .answers(&[200, 404])],
    },
    Route {
        path: "/{db}/_purged_infos_limit",
        operations: &[
            get(Read, "Purges that are remembered", handler!(security::purged_infos_limit))
                .answers(&[200, 404]),
            put(
                Administer,
                "Set how many purges are remembered",
                handler!(security::put_purged_infos_limit),
            )
            .body(JSON)
            .answers(&[200, 404]),
        ],
    },
    Route {
        path: "/{db}/_revs_limit",
        operations: &[
            put(
                Administer,
                "Set how many revisions are remembered",
                handler!(security::put_revs_limit),
            )
            .body(JSON)
            .answers(&[200, 404]),
            get(Read, "Revisions that are remembered", handler!(security::revs_limit))
                .answers(&[200, 404]),
        ],
    },
    Route {
        path: "/{db}/_security",
        operations: &[
            put(Administer, "Set who may do what", handler!(security::put))
                .body(JSON)
                .answers(&[200, 403, 404, 413]),
            get(Read, "Who may do what", handler!(security::show)).answers(&[200, 404]),
        ],
    },
    Route {
        path: "/{db}/_ensure_full_commit",
        operations: &[post(
            Write,
            "Every write is synced when it is answered",
            handler!(database::ensure_full_commit),
        )
        .answers(&[201, 404, 415])],
    },
    Route {
        path: "/{db}/_compact",
        operations: &[post(Administer, "Let replaced revisions go", handler!(database::compact))
            .answers(&[202, 404, 415])],
    },
    Route {
        path: "/{db}/_archive",
        operations: &[get(Administer, "The database as an archive", handler!(archive::archive))
            .takes(&[AT])
            .answers(&[200, 400, 404, 410])],
    },
    Route {
        path: "/{db}/_restore",
        operations: &[put(
            Administer,
            "Make the database what an archive holds",
            handler!(archive::restore),
        )
        .takes(&[parameter(
            "replace",
            Kind::Boolean,
            "`true`: also where the database is there already",
        )])
        .body("application/zstd")
        .answers(&[201, 400, 403, 404, 412, 413])],
    },
    Route {
        path: "/{db}/_verify",
        operations: &[post(
            Administer,
            "Compare the database with an archive",
            handler!(archive::verify),
        )
        .body("application/zstd")
        .answers(&[200, 400, 404])],
    },
    Route {
        path: "/{db}/_search_cleanup",
        operations: &[post(Administer, "Remove unused indexes", handler!(database::clean_up))
            .answers(&[202, 404])],
    },
    Route {
        path: "/{db}/_nouveau_cleanup",
        operations: &[post(Administer, "Remove unused indexes", handler!(database::clean_up))
            .answers(&[202, 404])],
    },
    Route {
        path: "/{db}/_shards",
        operations: &[get(Read, "The one shard", handler!(database::shards)).answers(&[200, 404])],
    },
    Route {
        path: "/{db}/_shards/{docid...}",
        operations: &[
            get(Read, "The shard of a document", handler!(database::shard_of)).answers(&[200, 404])
        ],
    },
    Route {
        path: "/{db}/_sync_shards",
        operations: &[
            post(Administer, "Sync shards", handler!(database::sync_shards)).answers(&[202, 404])
        ],
    },
];
