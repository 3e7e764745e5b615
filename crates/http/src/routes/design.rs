//! Routes of what design documents do, and of partitions.

use super::{
    Access::{Administer, Read},
    Kind, Parameter, Route, get, handler, parameter, post,
};
use crate::handlers::{lists, views};

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
];
