//! Routes of the server itself.

use super::{
    Access::{AdministerServer, Inspect, Open, ReadMetrics, SignedIn},
    Kind, Parameter, Route, delete, get, handler, parameter, post, put,
};
use crate::handlers::{accounts, config, databases, node, replication, server, session, tokens};

const JSON: &str = "application/json";

const USER: &[Parameter] =
    &[parameter("user", Kind::Text, "whose tokens, for server admins; else one's own")];

const PAGE: &[Parameter] = &[
    parameter("limit", Kind::Integer, "rows at most, 100 if nothing is said"),
    parameter("skip", Kind::Integer, "rows to pass over"),
];

const STATES: &[Parameter] = &[
    parameter("states", Kind::Text, "states, separated by commas; all if nothing is said"),
    parameter("limit", Kind::Integer, "rows at most"),
    parameter("skip", Kind::Integer, "rows to pass over"),
];

const RANGE: &[Parameter] = &[
    parameter("startkey", Kind::Json, "first name"),
    parameter("endkey", Kind::Json, "last name"),
    parameter("inclusive_end", Kind::Boolean, "whether the last name belongs to the range"),
    parameter("limit", Kind::Integer, "names at most"),
    parameter("skip", Kind::Integer, "names to pass over"),
    parameter("descending", Kind::Boolean, "from the last name to the first"),
];

pub(super) const ROUTES: &[Route] = &[
    // What accounts have too is answered with 404 below one that is not there.
    Route {
        path: "/",
        operations: &[
            get(Open, "Who the server is", handler!(server::welcome)).answers(&[200, 404])
        ],
    },
    Route {
        path: "/_up",
        operations: &[get(Open, "Whether requests can be sent here", handler!(server::up))
            .answers(&[200, 404])],
    },
    Route {
        path: "/_uuids",
        operations: &[get(SignedIn, "Ids that nothing else has", handler!(server::uuids))
            .takes(&[parameter("count", Kind::Integer, "how many, up to 1000")])
            .answers(&[200, 404])],
    },
    Route {
        path: "/_session",
        operations: &[
            get(Open, "Who is signed in", handler!(session::show)).takes(&[parameter(
                "basic",
                Kind::Boolean,
                "401 for nobody",
            )]),
            post(Open, "Sign in for a session", handler!(session::open))
                .takes(&[
                    parameter("next", Kind::Text, "path to go to afterwards"),
                    parameter("fail", Kind::Text, "path to go to when refused"),
                ])
                .body(JSON)
                .answers(&[200, 302, 401]),
            delete(Open, "Sign out of a session", handler!(session::close))
                .takes(&[parameter("next", Kind::Text, "path to go to afterwards")])
                .answers(&[200, 302]),
        ],
    },
    Route {
        path: "/_accounts/{name}",
        operations: &[
            get(SignedIn, "How much an account keeps", handler!(accounts::show))
                .answers(&[200, 404]),
            put(AdministerServer, "Set how much an account may keep", handler!(accounts::put))
                .body(JSON)
                .answers(&[200, 404]),
            delete(SignedIn, "Let an account go after a while", handler!(accounts::remove))
                .answers(&[202, 403, 404]),
        ],
    },
    Route {
        path: "/_accounts/{name}/_restore",
        operations: &[post(
            AdministerServer,
            "Let an account stay that was to go",
            handler!(accounts::restore),
        )
        .answers(&[200, 404])],
    },
    Route {
        path: "/_tokens",
        operations: &[
            get(SignedIn, "Tokens of a user, without their secrets", handler!(tokens::list))
                .takes(USER)
                .answers(&[200, 404]),
            post(SignedIn, "Make a token, whose secret is told once", handler!(tokens::make))
                .takes(USER)
                .body(JSON)
                .answers(&[201, 400, 403, 404, 415]),
        ],
    },
    Route {
        path: "/_tokens/{token}",
        operations: &[delete(SignedIn, "Revoke a token", handler!(tokens::revoke))
            .takes(USER)
            .answers(&[200, 403, 404])],
    },
    Route {
        path: "/_all_dbs",
        operations: &[get(Inspect, "Names of all databases", handler!(databases::all))
            .takes(RANGE)
            .answers(&[200, 304, 404])],
    },
    Route {
        path: "/_dbs_info",
        operations: &[
            get(Inspect, "Information on all databases", handler!(databases::info_of_range))
                .takes(RANGE)
                .answers(&[200, 404]),
            post(Inspect, "Information on some databases", handler!(databases::info_of_keys))
                .body(JSON)
                .answers(&[200, 404, 415]),
        ],
    },
    Route {
        path: "/_db_updates",
        operations: &[get(Inspect, "What happened to databases", handler!(databases::updates))
            .takes(&[
                parameter("feed", Kind::Text, "normal, longpoll, continuous, eventsource"),
                parameter("since", Kind::Text, "position to go on from, or `now`"),
                parameter("limit", Kind::Integer, "rows at most"),
                parameter("descending", Kind::Boolean, "newest first"),
                parameter("heartbeat", Kind::Integer, "milliseconds between signs of life"),
                parameter("timeout", Kind::Integer, "milliseconds to wait for a row"),
            ])
            .answers(&[200, 404])],
    },
    Route {
        path: "/_replicate",
        operations: &[post(
            SignedIn,
            "Copy a database to another one, or stop doing so",
            handler!(replication::replicate),
        )
        .body(JSON)
        .answers(&[200, 202, 401, 403, 404, 409, 413, 415, 500, 503])],
    },
    Route {
        path: "/_scheduler/jobs",
        operations: &[get(Inspect, "Replications that run or wait", handler!(replication::jobs))
            .takes(PAGE)
            .answers(&[200, 404])],
    },
    Route {
        path: "/_scheduler/jobs/{job}",
        operations: &[
            get(Inspect, "One replication", handler!(replication::job)).answers(&[200, 404])
        ],
    },
    Route {
        path: "/_scheduler/docs",
        operations: &[get(
            Inspect,
            "What became of the documents of `_replicator`",
            handler!(replication::documents_of_own),
        )
        .takes(STATES)
        .answers(&[200, 404])],
    },
    Route {
        path: "/_scheduler/docs/{path...}",
        operations: &[get(
            Inspect,
            "What became of the documents of a database of replications, or of one of them",
            handler!(replication::documents),
        )
        .takes(STATES)
        .answers(&[200, 404])],
    },
    Route {
        path: "/_active_tasks",
        operations: &[get(Inspect, "What runs in the background", handler!(server::active_tasks))],
    },
    Route {
        path: "/_membership",
        operations: &[get(Inspect, "Nodes of the cluster", handler!(server::membership))],
    },
    Route {
        path: "/_cluster_setup",
        operations: &[get(Inspect, "State of the cluster", handler!(server::cluster_setup))],
    },
    Route {
        path: "/_node/{node}",
        operations: &[get(Inspect, "Name of a node", handler!(node::name)).answers(&[200, 404])],
    },
    Route {
        path: "/_node/{node}/_versions",
        operations: &[get(Inspect, "Versions of a node's parts", handler!(node::versions))
            .answers(&[200, 404])],
    },
    Route {
        path: "/_node/{node}/_stats",
        operations: &[
            get(ReadMetrics, "Counters of a node", handler!(node::stats)).answers(&[200, 404])
        ],
    },
    Route {
        path: "/_node/{node}/_stats/{path...}",
        operations: &[get(ReadMetrics, "Some counters of a node", handler!(node::stats_below))
            .answers(&[200, 404])],
    },
    Route {
        path: "/_node/{node}/_system",
        operations: &[get(ReadMetrics, "Memory and storage of a node", handler!(node::system))
            .answers(&[200, 404])],
    },
    Route {
        path: "/_node/{node}/_prometheus",
        operations: &[get(ReadMetrics, "All figures, for Prometheus", handler!(node::prometheus))
            .answers(&[200, 404])],
    },
    Route {
        path: "/_node/{node}/_config",
        operations: &[
            get(AdministerServer, "All settings", handler!(config::all)).answers(&[200, 404])
        ],
    },
    Route {
        path: "/_node/{node}/_config/_reload",
        operations: &[post(
            AdministerServer,
            "Forget changes of settings that were not kept",
            handler!(config::reload),
        )
        .answers(&[200, 404])],
    },
    Route {
        path: "/_node/{node}/_config/{section}",
        operations: &[get(AdministerServer, "Settings of a section", handler!(config::section))
            .answers(&[200, 404])],
    },
    Route {
        path: "/_node/{node}/_config/{section}/{key}",
        operations: &[
            get(AdministerServer, "A setting", handler!(config::get)).answers(&[200, 404]),
            put(AdministerServer, "Change a setting", handler!(config::put))
                .body(JSON)
                .answers(&[200, 400, 403, 404]),
            delete(AdministerServer, "Put a setting back", handler!(config::delete))
                .answers(&[200, 400, 403, 404]),
        ],
    },
    Route {
        path: "/_openapi.json",
        operations: &[get(SignedIn, "This description", handler!(server::openapi))],
    },
    Route {
        path: "/favicon.ico",
        operations: &[get(SignedIn, "No icon", handler!(server::favicon)).answers(&[404])],
    },
];
