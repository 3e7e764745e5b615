//! Reads a job from JSON.

use std::{borrow::Cow, time::Duration};

use settle_model::json::{elements, members, minify, string_value, unescape};

use super::{
    Endpoint, Job, JobError, ReplicateRequest, Selection, UserContext,
    endpoint::{self, Credentials},
    url::{Url, decoded},
};
use crate::{
    json::{member, natural, text_member},
    limits::{
        CHECKPOINT_INTERVAL_DEFAULT, CHECKPOINT_INTERVAL_MAX, CHECKPOINT_INTERVAL_MIN,
        CONNECTION_TIMEOUT_DEFAULT, CONNECTION_TIMEOUT_MAX, CONNECTION_TIMEOUT_MIN, DOC_IDS_MAX,
        HTTP_CONNECTIONS_DEFAULT, HTTP_CONNECTIONS_MAX, JOB_BYTES_MAX, RETRIES_DEFAULT,
        RETRIES_MAX, WORKER_BATCH_SIZE_DEFAULT, WORKER_BATCH_SIZE_MAX, WORKER_PROCESSES_DEFAULT,
        WORKER_PROCESSES_MAX,
    },
    seq::Seq,
};

pub(super) fn minified(text: &[u8]) -> Result<Cow<'_, [u8]>, JobError> {
    if text.len() > JOB_BYTES_MAX {
        return Err(JobError::TooLong { bytes: text.len() });
    }
    let text = minify(text)?;
    if text.first() == Some(&b'{') { Ok(text) } else { Err(JobError::NotAnObject) }
}

pub(super) fn request(body: &[u8]) -> Result<ReplicateRequest, JobError> {
    let body = Members(body);
    if !body.flag("cancel", false)? {
        return Ok(ReplicateRequest::Start(Box::new(job(body.0)?)));
    }
    // A plus that was not encoded in a URL arrives as a space.
    let id = ["_local_id", "replication_id", "id"].into_iter().find_map(|it| body.get(it));
    match id {
        None => Ok(ReplicateRequest::CancelJob(Box::new(job(body.0)?))),
        Some(id) => match string_value(id) {
            Some(id) => Ok(ReplicateRequest::CancelId(id.replace(' ', "+"))),
            None => Err(JobError::Parameter { member: "id", expected: "a string" }),
        },
    }
}

pub(super) fn job(object: &[u8]) -> Result<Job, JobError> {
    let object = Members(object);
    let (source_proxy, target_proxy) = proxies(&object)?;
    let endpoint = |member, proxy| match object.get(member) {
        None => Err(JobError::NoEndpoint { member }),
        Some(value) => Endpoint::parse(value, member, proxy),
    };
    let source = endpoint("source", source_proxy)?;
    let target = endpoint("target", target_proxy)?;
    let at_least_one = |member, default, max| match object.number(member, default)? {
        0 => Err(JobError::Parameter { member, expected: "a number greater than 0" }),
        number => Ok(usize::try_from(number).unwrap_or(max).min(max)),
    };
    let millis = |member, default: Duration, min: Duration, max: Duration| {
        let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        Ok::<_, JobError>(Duration::from_millis(object.number(member, default)?).clamp(min, max))
    };
    Ok(Job {
        source,
        target,
        selection: selection(&object)?,
        winning_revs_only: object.flag("winning_revs_only", false)?,
        continuous: object.flag("continuous", false)?,
        create_target: object.flag("create_target", false)?,
        create_target_params: object.params("create_target_params")?,
        since_seq: object.since()?,
        use_checkpoints: object.flag("use_checkpoints", true)?,
        checkpoint_interval: millis(
            "checkpoint_interval",
            CHECKPOINT_INTERVAL_DEFAULT,
            CHECKPOINT_INTERVAL_MIN,
            CHECKPOINT_INTERVAL_MAX,
        )?,
        use_bulk_get: object.flag("use_bulk_get", true)?,
        worker_batch_size: at_least_one(
            "worker_batch_size",
            WORKER_BATCH_SIZE_DEFAULT as u64,
            WORKER_BATCH_SIZE_MAX,
        )?,
        worker_processes: at_least_one(
            "worker_processes",
            WORKER_PROCESSES_DEFAULT as u64,
            WORKER_PROCESSES_MAX,
        )?,
        http_connections: at_least_one(
            "http_connections",
            HTTP_CONNECTIONS_DEFAULT as u64,
            HTTP_CONNECTIONS_MAX,
        )?,
        retries_per_request: u32::try_from(
            object.number("retries_per_request", RETRIES_DEFAULT.into())?,
        )
        .unwrap_or(RETRIES_MAX)
        .min(RETRIES_MAX),
        connection_timeout: millis(
            "connection_timeout",
            CONNECTION_TIMEOUT_DEFAULT,
            CONNECTION_TIMEOUT_MIN,
            CONNECTION_TIMEOUT_MAX,
        )?,
        socket_options: object.text("socket_options")?,
        user_ctx: object.get("user_ctx").map(user_context).transpose()?,
    })
}

type Proxy = Option<(Url, Option<Credentials>)>;

fn proxies(object: &Members<'_>) -> Result<(Proxy, Proxy), JobError> {
    let named = |member| match object.text(member)? {
        Some(text) if !text.is_empty() => endpoint::proxy(&text, member).map(Some),
        Some(_) | None => Ok(None),
    };
    let (both, source, target) = (named("proxy")?, named("source_proxy")?, named("target_proxy")?);
    match (both, source, target) {
        (None, source, target) => Ok((source, target)),
        (Some(_), Some(_), _) => Err(JobError::TwoProxies { member: "source_proxy" }),
        (Some(_), None, Some(_)) => Err(JobError::TwoProxies { member: "target_proxy" }),
        (Some(both), None, None) => Ok((Some(both.clone()), Some(both))),
    }
}

fn selection(object: &Members<'_>) -> Result<Selection, JobError> {
    let ids = object.get("doc_ids").filter(|it| *it != b"null");
    match (ids, object.get("selector"), object.get("filter")) {
        (None, None, None) => Ok(Selection::Everything),
        (Some(ids), None, None) => doc_ids(ids),
        (None, Some(selector), None) if selector.first() == Some(&b'{') => {
            Ok(Selection::Selector(selector.to_vec()))
        }
        (None, Some(_), None) => {
            Err(JobError::Parameter { member: "selector", expected: "a JSON object" })
        }
        (None, None, Some(filter)) => {
            let name = string_value(filter).ok_or(JobError::Filter)?.into_owned();
            let params = object.params("query_params")?;
            match name.split_once('/') {
                _ if name == "_view" => {
                    let view = params.iter().find(|(key, _)| key == "view");
                    let named = |text: &str| text.split('/').count() == 2;
                    if !view.is_some_and(|(_, view)| named(view)) {
                        return Err(JobError::View);
                    }
                }
                _ if name.starts_with('_') => {}
                Some((design, function)) if !design.is_empty() && !function.is_empty() => {}
                Some(_) | None => return Err(JobError::Filter),
            }
            Ok(Selection::Filter { name, params })
        }
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (None, Some(_), Some(_)) => {
            Err(JobError::TwoSelections)
        }
    }
}

/// As CouchDB takes them: percent-decoded, sorted, each once.
fn doc_ids(value: &[u8]) -> Result<Selection, JobError> {
    let expected = "an array of strings";
    let bad = || JobError::Parameter { member: "doc_ids", expected };
    if value.first() != Some(&b'[') {
        return Err(bad());
    }
    let ids = elements(value).map(|it| string_value(it).map(|text| decoded(&text)));
    let mut ids: Vec<String> = ids.take(DOC_IDS_MAX + 1).collect::<Option<_>>().ok_or_else(bad)?;
    if ids.len() > DOC_IDS_MAX {
        return Err(JobError::TooManyDocIds);
    }
    ids.sort();
    ids.dedup();
    Ok(Selection::DocIds(ids))
}

fn user_context(value: &[u8]) -> Result<UserContext, JobError> {
    let bad = || JobError::Parameter {
        member: "user_ctx",
        expected: "an object with a `name` and a list of `roles`",
    };
    if value.first() != Some(&b'{') {
        return Err(bad());
    }
    let roles = member(value, "roles").unwrap_or(b"[]");
    if roles.first() != Some(&b'[') {
        return Err(bad());
    }
    let roles = elements(roles).map(|it| Some(string_value(it)?.into_owned()));
    let roles = roles.collect::<Option<_>>().ok_or_else(bad)?;
    Ok(UserContext { name: text_member(value, "name"), roles })
}

/// Members of a checked object by name. One that is `null` is there.
struct Members<'a>(&'a [u8]);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a [u8]> {
        member(self.0, name)
    }

    fn flag(&self, name: &'static str, default: bool) -> Result<bool, JobError> {
        match self.get(name) {
            None => Ok(default),
            Some(b"true") => Ok(true),
            Some(b"false") => Ok(false),
            Some(_) => Err(JobError::Parameter { member: name, expected: "a boolean" }),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, JobError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match string_value(value) {
                Some(text) => Ok(Some(text.into_owned())),
                None => Err(JobError::Parameter { member: name, expected: "a string" }),
            },
        }
    }

    /// Also where it is written as a string.
    fn number(&self, name: &'static str, default: u64) -> Result<u64, JobError> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let text = string_value(value);
        let digits = text.as_ref().map_or(value, |text| text.as_bytes());
        let whole = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        match natural(digits) {
            Some(number) => Ok(number),
            None if whole => Ok(u64::MAX), // every number has a lesser limit
            None => Err(JobError::Parameter { member: name, expected: "a number, 0 or greater" }),
        }
    }

    fn since(&self) -> Result<Option<Seq>, JobError> {
        let Some(value) = self.get("since_seq") else { return Ok(None) };
        let expected = "a sequence: a string, a number or an array";
        let seq = Seq::from_json(value)
            .map_err(|_| JobError::Parameter { member: "since_seq", expected })?;
        Ok(Some(seq))
    }

    /// An object as parameters of a URL: texts as they are, anything else as JSON.
    fn params(&self, name: &'static str) -> Result<Vec<(String, String)>, JobError> {
        let Some(object) = self.get(name) else { return Ok(Vec::new()) };
        if object.first() != Some(&b'{') {
            return Err(JobError::Parameter { member: name, expected: "a JSON object" });
        }
        let params = members(object).map(|(key, value)| {
            let text = string_value(value)
                .map_or_else(|| String::from_utf8_lossy(value).into_owned(), Cow::into_owned);
            (unescape(key).into_owned(), text)
        });
        Ok(params.collect())
    }
}
