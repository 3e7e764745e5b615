//! What a transaction function says in the end.

use settle_model::json::{JsonError, members, minify, string_value, unescape};
use thiserror::Error;

use crate::{
    exchange::{ExchangeProblem, parse::writes},
    limits::RESULT_BYTES_MAX,
    plan::{Reason, Refusal, quoted},
    transaction::{Call, Write},
};

/// What a function made of what it was asked.
#[derive(Debug, Clone)]
pub enum Done {
    Writes {
        writes: Vec<Write>,
        /// What it gave back; JSON.
        result: Vec<u8>,
    },
    Refused(Refusal),
}

/// Why it cannot be used; as words that follow the function's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadDone {
    #[error("wrote what cannot be written: {0}")]
    Writes(#[from] ExchangeProblem),
    #[error("wrote what cannot be stored: {}", .0.reason())]
    Json(#[from] JsonError),
    #[error("gave back more than {RESULT_BYTES_MAX} bytes")]
    Result,
    #[error("said neither what to write nor why not")]
    Nothing,
}

impl Done {
    /// `{"writes": […], "result": …}` or `{"refused": {"reason": …, "detail": …}}`.
    pub fn parse(call: &Call, json: &[u8]) -> Result<Self, BadDone> {
        let json = minify(json)?;
        let (mut found, mut result) = (None, b"null".to_vec());
        for (name, value) in members(&json) {
            match name {
                "writes" => found = Some(writes(value)?),
                "result" => result = value.to_vec(),
                "refused" => return Ok(Self::Refused(refusal(call, value)?)),
                _ => {}
            }
        }
        if result.len() > RESULT_BYTES_MAX {
            return Err(BadDone::Result);
        }
        Ok(Self::Writes { writes: found.ok_or(BadDone::Nothing)?, result })
    }
}

/// Of `{"reason": …, "detail": …}`.
fn refusal(call: &Call, json: &[u8]) -> Result<Refusal, BadDone> {
    let (mut problem, mut detail) = (None, None);
    for (name, value) in members(json) {
        match &*unescape(name) {
            "reason" => problem = string_value(value),
            "detail" => detail = Some(value),
            _ => {}
        }
    }
    let mut json = b"{\"function\":".to_vec();
    json.append(&mut quoted(&format!("{}/{}", call.design, call.function)));
    json.extend_from_slice(b",\"problem\":");
    json.append(&mut quoted(&problem.unwrap_or_default()));
    if let Some(detail) = detail.filter(|detail| *detail != b"null") {
        json.extend_from_slice(b",\"detail\":");
        json.extend_from_slice(detail);
    }
    json.push(b'}');
    if json.len() > RESULT_BYTES_MAX {
        return Err(BadDone::Result);
    }
    Ok(Refusal { reason: Reason::Function, detail: json, failed_on: None })
}
