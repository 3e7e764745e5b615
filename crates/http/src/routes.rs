//! The one table of what the server answers.
//!
//! From it are made the router, the `Allow` headers, the OpenAPI document and the tests over all routes; a
//! request outside of it is 404. A path is matched segment by segment before it is decoded, so
//! `a%2Fb` is one name; empty segments do not count, so a trailing slash changes nothing.

mod database;
mod design;
mod document;
mod history;
mod mango;
mod pattern;
mod server;

use std::{future::Future, pin::Pin, sync::LazyLock};

use axum::response::Response;
use http::{HeaderValue, Method};

pub(crate) use self::pattern::Captures;
use self::pattern::Tree;
use crate::{call::Call, error::ApiError};

/// What a path answers, by method.
#[derive(Debug)]
pub struct Route {
    /// `{name}` stands for one segment, `{name...}` at the end for all that are left.
    pub path: &'static str,
    /// In the order in which `Allow` lists them. GET answers HEAD too.
    pub operations: &'static [Operation],
}

/// One method of a path.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    pub verb: Verb,
    pub access: Access,
    pub summary: &'static str,
    pub parameters: &'static [Parameter],
    /// The media type of the request's body.
    pub body: Option<&'static str>,
    /// What it answers when all is well, and what it answers beyond the errors that all have.
    pub statuses: &'static [u16],
    /// Whether what it answers is remembered under an `Idempotency-Key`.
    pub remembers: bool,
    pub(crate) handler: Handler,
}

pub(crate) type Handler = fn(Call) -> Answer;
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response, ApiError>> + Send>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Get,
    Put,
    Post,
    Delete,
    Copy,
}

/// Who may ask. The dispatcher turns away whoever is not signed in where that is needed; what else is
/// needed, the handler asks for, and is given a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    SignedIn,
    ReadMetrics,
    Inspect,
    AdministerServer,
    Read,
    Write,
    Administer,
}

/// A parameter of the query.
#[derive(Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    pub summary: &'static str,
}

/// How a value is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Boolean,
    Integer,
    /// JSON as text, such as `"a"` or `["a","b"]`.
    Json,
}

/// Every route, in the order in which the documentation lists them.
pub fn all() -> impl Iterator<Item = &'static Route> {
    let tables = [
        server::ROUTES,
        database::ROUTES,
        history::ROUTES,
        design::ROUTES,
        mango::ROUTES,
        document::ROUTES,
    ];
    tables.into_iter().flatten()
}

/// What any operation may answer beside its own: a request that cannot be understood, nobody or the wrong
/// one who asks, limits, a server that is busy or full.
pub const COMMON_STATUSES: &[u16] = &[400, 401, 403, 408, 413, 414, 415, 429, 431, 503, 507];

/// What answers such a request.
pub fn operation(path: &str, method: &Method) -> Option<&'static Operation> {
    let (found, _) = router().find(path)?;
    found.route.operation(Verb::of(method)?)
}

/// Whether some route has this path.
pub fn has(path: &str) -> bool {
    router().find(path).is_some()
}

/// The router, made of the table when it is first asked.
pub(crate) fn router() -> &'static Router {
    static ROUTER: LazyLock<Router> = LazyLock::new(Router::new);
    &ROUTER
}

/// Finds the route of a path.
#[derive(Debug)]
pub(crate) struct Router {
    tree: Tree,
    routes: Vec<Found>,
}

/// A route, ready to be asked.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) route: &'static Route,
    pub(crate) allow: HeaderValue,
}

impl Router {
    fn new() -> Self {
        let routes = all().map(|route| Found { route, allow: allow(route) });
        let routes: Vec<_> = routes.collect();
        let mut tree = Tree::default();
        for (index, found) in routes.iter().enumerate() {
            tree.add(found.route.path, index);
        }
        Self { tree, routes }
    }

    pub(crate) fn find(&self, path: &str) -> Option<(&Found, Captures)> {
        let (index, captures) = self.tree.find(path)?;
        let found = &self.routes[index];
        let is_there = captures.account.is_none() || found.route.is_below_accounts();
        is_there.then_some((found, captures))
    }
}

/// What the server of an account answers besides what all databases do.
const OF_ACCOUNTS: [&str; 14] = [
    "/",
    "/_all_dbs",
    "/_db_updates",
    "/_dbs_info",
    "/_replicate",
    "/_scheduler/docs",
    "/_scheduler/docs/{path...}",
    "/_scheduler/jobs",
    "/_scheduler/jobs/{job}",
    "/_session",
    "/_tokens",
    "/_tokens/{token}",
    "/_up",
    "/_uuids",
];

impl Route {
    /// Whether it is there below `/~{account}/` too: so is everything that a database answers.
    pub fn is_below_accounts(&self) -> bool {
        self.is_of_database() || OF_ACCOUNTS.contains(&self.path)
    }

    pub fn is_of_database(&self) -> bool {
        self.path.starts_with("/{db}")
    }

    pub(crate) fn operation(&self, verb: Verb) -> Option<&'static Operation> {
        self.operations.iter().find(|operation| operation.verb == verb)
    }
}

fn allow(route: &Route) -> HeaderValue {
    let names = route.operations.iter().map(|operation| match operation.verb {
        Verb::Get => "GET,HEAD",
        Verb::Put => "PUT",
        Verb::Post => "POST",
        Verb::Delete => "DELETE",
        Verb::Copy => "COPY",
    });
    let names: Vec<_> = names.collect();
    HeaderValue::from_str(&names.join(",")).expect("names of methods are ASCII")
}

impl Verb {
    /// HEAD is GET without the body.
    pub(crate) fn of(method: &Method) -> Option<Self> {
        match method.as_str() {
            "GET" | "HEAD" => Some(Self::Get),
            "PUT" => Some(Self::Put),
            "POST" => Some(Self::Post),
            "DELETE" => Some(Self::Delete),
            "COPY" => Some(Self::Copy),
            _ => None,
        }
    }
}

impl Access {
    /// What is said to somebody who is not signed in.
    pub(crate) fn refusal(self) -> &'static str {
        use settle_access::Action as _;
        match self {
            Self::Open | Self::SignedIn => "You are not an authenticated user",
            Self::ReadMetrics => settle_access::ReadMetrics::REFUSAL,
            Self::Inspect => settle_access::Inspect::REFUSAL,
            Self::AdministerServer => settle_access::AdministerServer::REFUSAL,
            Self::Read => settle_access::Read::REFUSAL,
            Self::Write => settle_access::Write::REFUSAL,
            Self::Administer => settle_access::Administer::REFUSAL,
        }
    }
}

impl Operation {
    const fn new(verb: Verb, access: Access, summary: &'static str, handler: Handler) -> Self {
        let (parameters, statuses) = (&[], &[200]);
        Self { verb, access, summary, parameters, body: None, statuses, remembers: false, handler }
    }

    pub(crate) const fn takes(self, parameters: &'static [Parameter]) -> Self {
        Self { parameters, ..self }
    }

    pub(crate) const fn body(self, media_type: &'static str) -> Self {
        Self { body: Some(media_type), ..self }
    }

    pub(crate) const fn remembers(self) -> Self {
        Self { remembers: true, ..self }
    }

    pub(crate) const fn answers(self, statuses: &'static [u16]) -> Self {
        Self { statuses, ..self }
    }
}

pub(crate) const fn get(access: Access, summary: &'static str, handler: Handler) -> Operation {
    Operation::new(Verb::Get, access, summary, handler)
}

pub(crate) const fn put(access: Access, summary: &'static str, handler: Handler) -> Operation {
    Operation::new(Verb::Put, access, summary, handler)
}

pub(crate) const fn post(access: Access, summary: &'static str, handler: Handler) -> Operation {
    Operation::new(Verb::Post, access, summary, handler)
}

pub(crate) const fn delete(access: Access, summary: &'static str, handler: Handler) -> Operation {
    Operation::new(Verb::Delete, access, summary, handler)
}

pub(crate) const fn copy(access: Access, summary: &'static str, handler: Handler) -> Operation {
    Operation::new(Verb::Copy, access, summary, handler)
}

pub(crate) const fn parameter(name: &'static str, kind: Kind, summary: &'static str) -> Parameter {
    Parameter { name, kind, summary }
}

/// An async handler as the table holds it.
macro_rules! handler {
    ($handler:path) => {
        |call| Box::pin($handler(call))
    };
}
pub(crate) use handler;
