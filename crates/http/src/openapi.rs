//! The description of the interface, made from the routes.
//!
//! Source: OpenAPI 3.1. It has no word for COPY, which stands as the extension `x-copy`.

use serde_json::{Map, Value, json};

use crate::{
    error::Code,
    routes::{self, Access, Kind, Operation, Parameter, Route, Verb},
};

/// As JSON, the same for every call.
pub fn document() -> Vec<u8> {
    let mut paths = Map::new();
    for route in routes::all() {
        let mut item = Map::new();
        for operation in route.operations {
            item.insert(verb(operation.verb).to_owned(), describe(route, operation));
        }
        paths.insert(route.path.replace("...}", "}"), Value::Object(item));
    }
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Settle",
            "summary": "Documents over CouchDB's protocol",
            "version": env!("CARGO_PKG_VERSION"),
        },
        // What `default` stands for below.
        "x-common-statuses": routes::COMMON_STATUSES,
        "paths": paths,
        "components": {
            "securitySchemes": {
                "password": { "type": "http", "scheme": "basic" },
                "session": { "type": "apiKey", "in": "cookie", "name": "AuthSession" },
                "token": { "type": "http", "scheme": "bearer" },
            },
            "responses": {
                "Error": {
                    "description": "What went wrong",
                    "content": { "application/json": { "schema": {
                        "type": "object",
                        "required": ["error", "reason"],
                        "properties": {
                            "error": { "type": "string", "enum": codes },
                            "reason": { "type": "string" },
                        },
                    } } },
                },
            },
        },
    });
    let mut text = serde_json::to_vec_pretty(&document).expect("JSON values can be written");
    text.push(b'\n');
    text
}

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "get",
        Verb::Put => "put",
        Verb::Post => "post",
        Verb::Delete => "delete",
        Verb::Copy => "x-copy",
    }
}

fn describe(route: &Route, operation: &Operation) -> Value {
    let mut described = Map::new();
    described.insert("summary".to_owned(), json!(operation.summary));
    let security = match operation.access {
        Access::Open => json!([]),
        Access::SignedIn
        | Access::ReadMetrics
        | Access::Inspect
        | Access::AdministerServer
        | Access::Read
        | Access::Write
        | Access::Administer => json!([{ "password": [] }, { "session": [] }, { "token": [] }]),
    };
    described.insert("security".to_owned(), security);
    let in_path = route.path.split('/').filter_map(|segment| segment.strip_prefix('{'));
    let in_path = in_path.map(|segment| {
        let name = segment.trim_end_matches('}').trim_end_matches("...");
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
    });
    let in_query = operation.parameters.iter().map(in_query);
    let in_header = operation.remembers.then(idempotency_key);
    let parameters: Vec<_> = in_path.chain(in_query).chain(in_header).collect();
    if !parameters.is_empty() {
        described.insert("parameters".to_owned(), Value::Array(parameters));
    }
    if let Some(media_type) = operation.body {
        described.insert("requestBody".to_owned(), json!({ "content": { media_type: {} } }));
    }
    let responses = operation.statuses.iter().map(|status| {
        let response = if *status < 400 {
            json!({ "description": description(*status) })
        } else {
            json!({ "$ref": "#/components/responses/Error" })
        };
        (status.to_string(), response)
    });
    let mut responses: Map<_, _> = responses.collect();
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Error" }));
    described.insert("responses".to_owned(), Value::Object(responses));
    Value::Object(described)
}

fn in_query(parameter: &Parameter) -> Value {
    let Parameter { name, kind, summary } = parameter;
    let schema = match kind {
        Kind::Text | Kind::Json => json!({ "type": "string" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer => json!({ "type": "integer" }),
    };
    let summary = match kind {
        Kind::Json => format!("{summary}, as JSON"),
        Kind::Text | Kind::Boolean | Kind::Integer => (*summary).to_owned(),
    };
    json!({ "name": name, "in": "query", "description": summary, "schema": schema })
}

fn idempotency_key() -> Value {
    let description =
        "makes the request one that may be sent again: it is answered the same, and made once";
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": description,
        "schema": { "type": "string" },
    })
}

fn description(status: u16) -> &'static str {
    match status {
        200 => "Done",
        201 => "Created",
        202 => "Taken on",
        206 => "Parts of it",
        301 | 302 => "Elsewhere",
        304 => "Unchanged",
        _ => "As HTTP defines it",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    #[test]
    fn the_description_is_the_one_that_was_reviewed() {
        let document = String::from_utf8(document()).unwrap();
        expect_file!["../tests/openapi.json"].assert_eq(&document);
    }
}
