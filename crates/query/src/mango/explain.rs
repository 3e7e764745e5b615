//! `_explain`: a plan as JSON.
//!
//! Source: `mango_cursor:explain/1` and `mango_cursor_view:explain/1`.

use settle_model::json::write_string;

use super::{
    bookmark::NO_BOOKMARK,
    index::Index,
    plan::{Plan, selector_fields},
    range::indexable_paths,
    request::FindRequest,
};

/// What an explanation tells of the database.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseFacts<'a> {
    pub name: &'a str,
    pub partitioned: bool,
}

/// The reply of `POST /{db}/_explain`.
pub fn explain(request: &FindRequest, plan: &Plan, database: DatabaseFacts<'_>) -> Vec<u8> {
    let mut out = Writer::default();
    out.open(b'{');
    out.key("dbname");
    out.text(database.name);
    out.key("index");
    match &plan.index {
        Some(index) => out.value(|out| index.write(out)),
        None => out.raw(b"null"),
    }
    out.key("partitioned");
    out.flag(database.partitioned);
    out.key("selector");
    out.raw(&request.selector.to_json());
    out.key("opts");
    options(&mut out, request);
    out.key("limit");
    out.number(request.limit);
    out.key("skip");
    out.number(request.skip);
    out.key("fields");
    out.list(request.fields.iter().flat_map(|it| it.names()));
    out.key("index_candidates");
    candidates(&mut out, request, plan);
    out.key("selector_hints");
    hints(&mut out, request);
    if let Some(index) = &plan.index {
        out.key("mrargs");
        arguments(&mut out, request, plan, index);
        out.key("covering");
        out.flag(plan.covering);
    }
    out.close(b'}');
    out.bytes
}

fn options(out: &mut Writer, request: &FindRequest) {
    out.open(b'{');
    out.key("use_index");
    out.list(request.use_index.iter().map(String::as_str));
    out.key("bookmark");
    out.text(request.bookmark.as_deref().unwrap_or(NO_BOOKMARK));
    out.key("limit");
    out.number(request.limit);
    out.key("skip");
    out.number(request.skip);
    out.key("sort");
    out.open(b'{');
    for field in &request.sort {
        out.key(&field.name);
        out.text(field.direction.name());
    }
    out.close(b'}');
    out.key("fields");
    out.list(request.fields.iter().flat_map(|it| it.names()));
    out.key("partition");
    out.text(request.partition.as_deref().unwrap_or_default());
    out.key("r");
    out.number(request.r);
    out.key("conflicts");
    out.flag(request.conflicts);
    out.key("stale");
    if request.stale {
        out.text("ok");
    } else {
        out.flag(false);
    }
    out.key("update");
    out.flag(request.update);
    out.key("stable");
    out.flag(request.stable);
    out.key("execution_stats");
    out.flag(request.execution_stats);
    out.key("allow_fallback");
    out.flag(request.allow_fallback);
    out.close(b'}');
}

fn candidates(out: &mut Writer, request: &FindRequest, plan: &Plan) {
    let fields: Option<Vec<_>> = request.fields.as_ref().map(|it| it.paths().cloned().collect());
    out.open(b'[');
    for candidate in plan.trace.candidates(plan.index.as_ref()) {
        out.element();
        out.open(b'{');
        out.key("index");
        out.value(|out| candidate.index.write(out));
        out.key("analysis");
        out.open(b'{');
        out.key("usable");
        out.flag(candidate.usable);
        out.key("reasons");
        out.open(b'[');
        if let Some(reason) = candidate.reason {
            out.element();
            out.open(b'{');
            out.key("name");
            out.text(reason.name());
            out.close(b'}');
        }
        out.close(b']');
        out.key("ranking");
        out.number(u64::try_from(candidate.ranking).unwrap_or(u64::MAX));
        out.key("covering");
        match &*candidate.index {
            Index::AllDocs | Index::Conflicts => out.raw(b"null"),
            Index::Json(_) => out.flag(candidate.index.covers(fields.as_deref())),
        }
        out.close(b'}');
        out.close(b'}');
    }
    out.close(b']');
}

/// Which fields of the selector an index would help with.
fn hints(out: &mut Writer, request: &FindRequest) {
    let names = |paths: Vec<_>| {
        let mut names: Vec<String> = paths.iter().map(ToString::to_string).collect();
        names.sort();
        names.dedup();
        names
    };
    let indexable = names(indexable_paths(request.selector.node()));
    let mut others = names(selector_fields(&request.selector));
    others.retain(|name| !indexable.contains(name));
    out.open(b'[');
    out.element();
    out.open(b'{');
    out.key("type");
    out.text("json");
    out.key("indexable_fields");
    out.list(indexable.iter().map(String::as_str));
    out.key("unindexable_fields");
    out.list(others.iter().map(String::as_str));
    out.close(b'}');
    out.close(b']');
}

fn arguments(out: &mut Writer, request: &FindRequest, plan: &Plan, index: &Index) {
    let (low, high) = plan.ranges.explained(index);
    let (start, end) = if plan.descending { (high, low) } else { (low, high) };
    out.open(b'{');
    out.key("include_docs");
    out.flag(request.r == 1 && !plan.covering);
    out.key("view_type");
    out.text("map");
    out.key("reduce");
    out.flag(false);
    out.key("partition");
    match &request.partition {
        Some(partition) => out.text(partition),
        None => out.raw(b"null"),
    }
    out.key("start_key");
    out.raw(&start);
    out.key("end_key");
    out.raw(&end);
    out.key("direction");
    out.text(if plan.descending { "rev" } else { "fwd" });
    out.key("stable");
    out.flag(request.stable || request.stale);
    out.key("update");
    out.flag(request.update && !request.stale);
    out.key("conflicts");
    if request.conflicts {
        out.flag(true);
    } else {
        out.text("undefined");
    }
    out.close(b'}');
}

/// JSON, with commas where they belong.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn open(&mut self, bracket: u8) {
        self.bytes.push(bracket);
    }

    fn close(&mut self, bracket: u8) {
        self.bytes.push(bracket);
    }

    fn element(&mut self) {
        if !matches!(self.bytes.last(), Some(b'{' | b'[')) {
            self.bytes.push(b',');
        }
    }

    fn key(&mut self, name: &str) {
        self.element();
        write_string(&mut self.bytes, name);
        self.bytes.push(b':');
    }

    fn value(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
    }

    fn raw(&mut self, json: &[u8]) {
        self.bytes.extend_from_slice(json);
    }

    fn text(&mut self, text: &str) {
        write_string(&mut self.bytes, text);
    }

    fn flag(&mut self, flag: bool) {
        self.raw(if flag { b"true" } else { b"false" });
    }

    fn number(&mut self, number: u64) {
        self.raw(number.to_string().as_bytes());
    }

    fn list<'a>(&mut self, texts: impl Iterator<Item = &'a str>) {
        self.open(b'[');
        for text in texts {
            self.element();
            self.text(text);
        }
        self.close(b']');
    }
}
