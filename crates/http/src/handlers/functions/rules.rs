//! Rules of `rewrites`: `{"from", "to", "method", "query", "formats"}`, of which the first that fits is
//! taken.
//!
//! A path is compared segment by segment: `:name` stands for any one, and is bound to it; `*` at the end
//! stands for all that are left. In `to`, and in the values of `query`, `:name` is replaced by what it is
//! bound to, be it by the path or by the request's query.
//!
//! Source: `chttpd_rewrite.erl`. Different here: a value that is not text is written as JSON, where
//! CouchDB fails.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::{
    error::{ApiError, Code},
    parameters::Query,
};

/// Values of these are JSON.
const JSON_PARAMETERS: [&str; 6] = ["key", "startkey", "start_key", "endkey", "end_key", "keys"];

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.').remove(b'~');

/// What a request is rewritten to, relative to the design document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Encoded, with `..` where the rule has them.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Text(String),
    /// Of `*`, the name is that.
    Bound(String),
}

type Bindings = Vec<(String, Value)>;

/// The target of the first rule that fits; none where none does.
pub(super) fn apply(
    rules: &[u8],
    method: &str,
    path: &[String],
    query: Query<'_>,
) -> Result<Option<Target>, ApiError> {
    let rules: Vec<Map<String, Value>> = serde_json::from_slice(rules)
        .map_err(|_| invalid("rewrite_error", "rewrites must be an array of objects"))?;
    // A rule that is wrong spoils all, as in CouchDB.
    let rules = rules.iter().map(Rule::read).collect::<Result<Vec<_>, _>>()?;
    let query = query.pairs().map(|(name, value)| {
        let decoded = JSON_PARAMETERS.contains(&&*name).then(|| serde_json::from_str(&value));
        let value = match decoded {
            None => Value::from(value.into_owned()),
            Some(Ok(value)) => value,
            Some(Err(_)) => return Err(ApiError::bad_request("invalid UTF-8 JSON")),
        };
        Ok((name.into_owned(), value))
    });
    let query = query.collect::<Result<Bindings, _>>()?;
    Ok(rules.iter().find_map(|rule| rule.target(method, path, &query)))
}

struct Rule<'a> {
    /// None fits every method.
    method: Option<&'a str>,
    from: Vec<Segment>,
    to: Vec<Segment>,
    query: Option<&'a Map<String, Value>>,
    formats: Option<&'a Map<String, Value>>,
}

impl<'a> Rule<'a> {
    fn read(rule: &'a Map<String, Value>) -> Result<Self, ApiError> {
        let text = |name: &str| rule.get(name).and_then(Value::as_str);
        let all = || vec![Segment::Bound("*".to_owned())];
        let from = text("from").map(segments).transpose()?.unwrap_or_else(all);
        let to = text("to").ok_or_else(|| invalid("error", "invalid_rewrite_target"))?;
        Ok(Self {
            method: text("method").filter(|method| *method != "*"),
            from,
            to: segments(to)?,
            query: rule.get("query").and_then(Value::as_object),
            formats: rule.get("formats").and_then(Value::as_object),
        })
    }

    fn target(&self, method: &str, path: &[String], query: &Bindings) -> Option<Target> {
        if self.method.is_some_and(|wanted| wanted != method) {
            return None;
        }
        let (mut bindings, left) = bind(&self.from, path)?;
        bindings.extend(query.iter().cloned());
        let given = self.query.into_iter().flatten();
        let mut given: Bindings =
            given.map(|(name, value)| (name.clone(), self.replaced(value, &bindings))).collect();
        given.reverse();
        bindings.retain(|(name, _)| given.iter().all(|(other, _)| other != name));
        bindings.append(&mut given);
        Some(Target { path: new_path(&self.to, &bindings, left), query: parameters(&bindings) })
    }

    /// A value of `query`, with what its variables are bound to.
    fn replaced(&self, value: &Value, bindings: &Bindings) -> Value {
        match value {
            Value::String(text) if text == "*" => self.variable(text, value, bindings),
            Value::String(text) => match text.strip_prefix(':') {
                Some(name) => self.variable(name, value, bindings),
                None => value.clone(),
            },
            Value::Array(values) => {
                let one = |value: &Value| match value.as_str().and_then(|it| it.strip_prefix(':')) {
                    Some(name) => self.variable(name, value, bindings),
                    None => value.clone(),
                };
                values.iter().map(one).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.clone(),
        }
    }

    fn variable(&self, name: &str, default: &Value, bindings: &Bindings) -> Value {
        let value = find(bindings, name).unwrap_or(default);
        let format = self.formats.and_then(|formats| formats.get(name)).and_then(Value::as_str);
        let text = value.as_str();
        match (format, text) {
            (Some("int"), Some(text)) => {
                text.parse::<i64>().map_or_else(|_| value.clone(), Value::from)
            }
            (Some("bool"), Some(text)) if text.eq_ignore_ascii_case("true") => true.into(),
            (Some("bool"), Some(text)) if text.eq_ignore_ascii_case("false") => false.into(),
            (Some(_) | None, _) => value.clone(),
        }
    }
}

fn find<'a>(bindings: &'a Bindings, name: &str) -> Option<&'a Value> {
    bindings.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// A path of a rule. Not further up than the database's parent, so that no rule of one database leads
/// to another.
fn segments(path: &str) -> Result<Vec<Segment>, ApiError> {
    let mut up = 0;
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            if part == ".." {
                up += 1;
                if up > 2 {
                    return Err(invalid("insecure_rewrite_rule", "too many ../.. segments"));
                }
            }
            Ok(match part.strip_prefix(':') {
                Some(name) => Segment::Bound(name.to_owned()),
                None if part == "*" => Segment::Bound("*".to_owned()),
                None => Segment::Text(part.to_owned()),
            })
        })
        .collect()
}

/// What the variables of a path stand for, and what `*` at its end does.
fn bind<'p>(pattern: &[Segment], path: &'p [String]) -> Option<(Bindings, &'p [String])> {
    let mut bindings = Bindings::new();
    let (mut pattern, mut path) = (pattern, path);
    loop {
        match (pattern, path) {
            ([], []) => return Some((bindings, &[])),
            ([Segment::Bound(name)], rest) if name == "*" => return Some((bindings, rest)),
            ([Segment::Bound(name), ..], [part, ..]) => {
                bindings.insert(0, (name.clone(), Value::from(part.clone())));
            }
            ([Segment::Text(text), ..], [part, ..]) if text == part => {}
            (_, _) => return None,
        }
        (pattern, path) = (&pattern[1..], &path[1..]);
    }
}

fn new_path(to: &[Segment], bindings: &Bindings, left: &[String]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let mut parts = Vec::with_capacity(to.len() + left.len());
    for segment in to {
        match segment {
            Segment::Bound(name) if name == "*" => {
                parts.extend(left.iter().map(|part| encode(part)));
                break;
            }
            Segment::Bound(name) => parts.push(match find(bindings, name) {
                None => "undefined".to_owned(),
                Some(Value::String(text)) => encode(text),
                Some(value) => encode(&value.to_string()),
            }),
            Segment::Text(text) => parts.push(encode(text)),
        }
    }
    parts.join("/")
}

fn parameters(bindings: &Bindings) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = bindings
        .iter()
        .filter(|(name, _)| name != "*")
        .map(|(name, value)| {
            let is_json = JSON_PARAMETERS.contains(&name.as_str());
            let text = value.as_str().filter(|_| !is_json);
            let text = text.map_or_else(|| value.to_string(), str::to_owned);
            (name.clone(), text)
        })
        .collect();
    pairs.reverse();
    pairs
}

fn invalid(name: &str, reason: &'static str) -> ApiError {
    ApiError::new(Code::UnknownError, reason).named(name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};

    use super::*;

    /// Rules as lines `from -> to {other members}`; the target's path and query.
    fn check(rules: &str, requests: &str, expected: &Expect) {
        let rules: Vec<String> = rules
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (paths, more) = line.split_once(" {").unwrap_or((line, "}"));
                let (from, to) = paths.split_once(" -> ").unwrap();
                let comma = if more == "}" { "" } else { "," };
                format!("{{\"from\":\"{from}\",\"to\":\"{to}\"{comma}{more}")
            })
            .collect();
        let rules = format!("[{}]", rules.join(","));
        let mut seen = String::new();
        for request in requests.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (method, path) = request.split_once(' ').unwrap();
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let parts: Vec<String> =
                path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
            let line = match apply(rules.as_bytes(), method, &parts, Query::new(query)) {
                Ok(None) => "no rule".to_owned(),
                Err(error) => format!("error: {}", error.reason()),
                Ok(Some(Target { path, query })) => {
                    let query = query.iter().map(|(name, value)| format!(" {name}={value}"));
                    format!("{path}{}", query.collect::<String>())
                }
            };
            writeln!(seen, "{request}: {line}").unwrap();
        }
        expected.assert_eq(&seen);
    }

    #[test]
    fn the_first_rule_that_fits_is_taken() {
        check(
            r#"
            foo -> foo.txt
            only -> put {"method":"PUT"}
            only -> get {"method":"GET"}
            hello/:id -> _update/hello/:id {"method":"PUT"}
            /welcome/:name -> _show/welcome {"query":{"name":":name"}}
            /welcome2 -> _show/welcome {"query":{"name":"user"}}
            /welcome5/* -> _show/* {"query":{"name":"*"}}
            / -> _view/basicView
            /db/* -> ../../*
            "#,
            "
            GET /foo
            GET /only
            PUT /only
            PUT /hello/a
            GET /hello/a
            GET /welcome/ada
            GET /welcome2?x=1
            GET /welcome5/a/b
            GET /
            GET /db/a/b?rev=1
            GET /none
            ",
            &expect![[r#"
                GET /foo: foo.txt
                GET /only: get
                PUT /only: put
                PUT /hello/a: _update/hello/a id=a
                GET /hello/a: no rule
                GET /welcome/ada: _show/welcome name=ada
                GET /welcome2?x=1: _show/welcome name=user x=1
                GET /welcome5/a/b: _show/a/b name=*
                GET /: _view/basicView
                GET /db/a/b?rev=1: ../../a/b rev=1
                GET /none: no rule
            "#]],
        );
    }

    #[test]
    fn variables_are_bound_by_the_path_and_by_the_query() {
        check(
            r#"
            fixed -> _view/v {"query":{"startkey":3,"endkey":8}}
            path/:start/:end -> _view/v {"query":{"startkey":":start","endkey":":end"},"formats":{"start":"int","end":"int"}}
            key/:a/:b -> _view/v {"query":{"key":[":a",":b",1]}}
            key -> _view/v {"query":{"key":[":a",":b"],"include_docs":":doc"},"formats":{"doc":"bool"}}
            object -> _view/v {"query":{"key":{"c":1},"reduce":false}}
            x/:k -> _view/v {"query":{"key":":k","reduce":"false"}}
            missing/:a -> _show/:b
            "#,
            r#"
            GET /fixed?startkey=4
            GET /path/3/8
            GET /path/x/8
            GET /key/test/essai
            GET /key?a=test&b=essai&doc=true
            GET /object
            GET /x/2
            GET /missing/1
            GET /fixed?key=%22a%22
            GET /fixed?key=a
            "#,
            &expect![[r#"
                GET /fixed?startkey=4: _view/v endkey=8 startkey=3
                GET /path/3/8: _view/v endkey=8 startkey=3 start=3 end=8
                GET /path/x/8: _view/v endkey=8 startkey="x" start=x end=8
                GET /key/test/essai: _view/v key=["test","essai",1] a=test b=essai
                GET /key?a=test&b=essai&doc=true: _view/v include_docs=true key=["test","essai"] doc=true b=essai a=test
                GET /object: _view/v key={"c":1} reduce=false
                GET /x/2: _view/v key="2" reduce=false k=2
                GET /missing/1: _show/undefined a=1
                GET /fixed?key=%22a%22: _view/v endkey=8 startkey=3 key="a"
                GET /fixed?key=a: error: invalid UTF-8 JSON
            "#]],
        );
    }

    #[test]
    fn no_rule_leads_out_of_its_database() {
        check(
            "a -> ../../../other/doc",
            "GET /a",
            &expect![[r#"
            GET /a: error: too many ../.. segments
        "#]],
        );
    }
}
