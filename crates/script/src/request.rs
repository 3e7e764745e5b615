//! The request as functions see it.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

/// What CouchDB's `json_req_obj` says of a request.
#[derive(Debug, Clone)]
pub struct RequestObject<'a> {
    /// JSON: `GET /{db}`. Left out for `rewrites`, with `uuid` and `id`.
    pub info: Option<&'a str>,
    pub uuid: Option<&'a str>,
    /// The document id of the path; none is `null`.
    pub id: Option<&'a str>,
    pub method: &'a str,
    /// Decoded segments of what the client asked for, before rewriting.
    pub requested_path: &'a [String],
    pub path: &'a [String],
    pub raw_path: &'a str,
    /// Decoded pairs in order.
    pub query: &'a [(String, String)],
    /// All headers; credentials are scrubbed here.
    pub headers: &'a [(String, String)],
    pub body: &'a str,
    pub peer: &'a str,
    pub form: &'a [(String, String)],
    /// JSON: `{"db", "name", "roles"}`.
    pub user_ctx: &'a str,
    /// JSON: the database's security object.
    pub security: &'a str,
}

/// Members in CouchDB's order.
#[derive(Serialize)]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Option<&'a str>>,
    method: &'a str,
    requested_path: &'a [String],
    path: &'a [String],
    raw_path: &'a str,
    query: Map<String, Value>,
    headers: Map<String, Value>,
    body: &'a str,
    peer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<Map<String, Value>>,
    cookie: Map<String, Value>,
    #[serde(rename = "userCtx")]
    user_ctx: &'a RawValue,
    #[serde(rename = "secObj")]
    security: &'a RawValue,
}

impl RequestObject<'_> {
    /// As JSON, without credentials. Fails where one of the members that are JSON is not.
    pub fn to_json(&self) -> Result<Bytes, serde_json::Error> {
        let whole = self.info.is_some();
        let texts = |pairs: &[(String, String)]| {
            let text = |(name, value): &(String, String)| (name.clone(), value.clone().into());
            pairs.iter().map(text).collect::<Map<_, _>>()
        };
        let wire = Wire {
            info: self.info.map(serde_json::from_str).transpose()?,
            uuid: self.uuid,
            id: whole.then_some(self.id),
            method: self.method,
            requested_path: self.requested_path,
            path: self.path,
            raw_path: self.raw_path,
            query: self.query.iter().map(query_value).collect(),
            headers: self
                .headers
                .iter()
                .filter(|(name, _)| !scrub(name))
                .map(|(name, value)| (usual(name), value.clone().into()))
                .collect(),
            body: self.body,
            peer: self.peer,
            form: whole.then(|| texts(self.form)),
            cookie: Map::new(),
            user_ctx: serde_json::from_str(self.user_ctx)?,
            security: serde_json::from_str(self.security)?,
        };
        serde_json::to_vec(&wire).map(Bytes::from)
    }
}

/// Whether a header is kept from functions because it carries credentials (CVE-2023-45725).
pub fn scrub(header: &str) -> bool {
    ["authorization", "cookie", "proxy-authorization", "x-auth-couchdb-token"]
        .iter()
        .any(|secret| header.eq_ignore_ascii_case(secret))
}

/// `content-type` as `Content-Type`: HTTP libraries forget how a name was written, and functions look
/// for it as clients usually write it.
fn usual(header: &str) -> String {
    let mut first = true;
    let letter = |letter: char| {
        let upper = first;
        first = letter == '-';
        if upper { letter.to_ascii_uppercase() } else { letter }
    };
    header.chars().map(letter).collect()
}

/// CouchDB decodes these parameters, where they are JSON.
fn query_value((name, value): &(String, String)) -> (String, Value) {
    let json = ["startkey", "endkey", "key", "descending"].contains(&name.as_str());
    let decoded = json.then(|| serde_json::from_str(value).ok()).flatten();
    (name.clone(), decoded.unwrap_or_else(|| value.clone().into()))
}
