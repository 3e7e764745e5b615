//! Takes an exchange apart.

use std::collections::HashSet;

use settle_model::{
    document::{self, AnyRev, Incoming},
    id::{AnyId, DocumentId},
    json::{Elements, elements, members, minify, string_value, unescape},
    revision::RevId,
    sequence::Since,
};
use settle_query::selector::{FieldPath, Selector};

use super::{Exchange, ExchangeError, ExchangeProblem as Problem, Mode};
use crate::{
    decimal::Decimal,
    limits::{
        CALLS_TOGETHER_MAX, CLIENT_BYTES_MAX, ID_BYTES_MAX, OPERATIONS_MAX, PATH_NAMES_MAX,
        REQUIREMENTS_MAX, TRANSACTIONS_MAX, WRITES_MAX, WRITES_TOGETHER_MAX,
    },
    operation::{FieldOperation, Kind},
    patch::{Patch, PatchSyntaxError},
    transaction::{Call, Requirement, Transaction, Write, WriteKind},
};

impl Exchange {
    pub fn parse(text: &[u8]) -> Result<Self, ExchangeError> {
        let whole = |problem| ExchangeError { transaction: None, problem };
        let json = minify(text).map_err(|error| whole(error.into()))?;
        let (mut exchange, transactions) = header(&json).map_err(whole)?;
        let mut ids = HashSet::new();
        for (at, json) in elements(transactions).enumerate() {
            let wrong = |problem| ExchangeError { transaction: Some(at), problem };
            if at == TRANSACTIONS_MAX {
                return Err(whole(Problem::TooManyTransactions));
            }
            let transaction = transaction(json).map_err(wrong)?;
            if !ids.insert(transaction.id.clone()) {
                return Err(wrong(Problem::SameId { id: transaction.id }));
            }
            exchange.transactions.push(transaction);
        }
        let writes: usize = exchange.transactions.iter().map(|it| it.writes.len()).sum();
        let calls = exchange.transactions.iter().filter(|it| it.call.is_some()).count();
        if exchange.mode == Mode::AllInOne {
            if writes > WRITES_TOGETHER_MAX {
                return Err(whole(Problem::TooManyTogether));
            }
            if calls > CALLS_TOGETHER_MAX {
                return Err(whole(Problem::TooManyCallsTogether));
            }
        }
        Ok(exchange)
    }
}

/// All but the transactions, which come as JSON.
fn header(json: &[u8]) -> Result<(Exchange, &[u8]), Problem> {
    if json.first() != Some(&b'{') {
        return Err(Problem::NotAnObject);
    }
    let (mut client, mut transactions) = (None, None);
    let mut exchange = Exchange {
        client: String::new(),
        since: None,
        mode: Mode::default(),
        changes_limit: None,
        include_docs: false,
        transactions: Vec::new(),
    };
    for (name, value) in members(json) {
        match &*unescape(name) {
            "client" => {
                // What begins with U+0000 stands for requests with a key of their own.
                let is_name = |it: &str| fits(it, CLIENT_BYTES_MAX) && !it.starts_with('\0');
                client = string_value(value).filter(|it| is_name(it));
            }
            "since" => exchange.since = since(value)?,
            "mode" => exchange.mode = mode(value)?,
            "changes_limit" => {
                let limit = str::from_utf8(value).ok().and_then(|it| it.parse().ok());
                let (member, expected) = ("changes_limit", "an integer of 0 or more");
                exchange.changes_limit = Some(limit.ok_or(Problem::Member { member, expected })?);
            }
            "include_docs" => exchange.include_docs = flag("include_docs", value)?,
            "transactions" if value.first() == Some(&b'[') => transactions = Some(value),
            "transactions" => {
                return Err(Problem::Member { member: "transactions", expected: "an array" });
            }
            other => return Err(unknown(other, "an exchange")),
        }
    }
    exchange.client = client.ok_or(Problem::Client)?.into_owned();
    let missing = Problem::Member { member: "transactions", expected: "an array" };
    Ok((exchange, transactions.ok_or(missing)?))
}

/// A sequence as the server gave it, or a number.
fn since(value: &[u8]) -> Result<Option<Since>, Problem> {
    if value == b"null" {
        return Ok(None);
    }
    let text = match string_value(value) {
        Some(text) => text.into_owned(),
        None => String::from_utf8_lossy(value).into_owned(),
    };
    Ok(Some(text.parse()?))
}

fn mode(value: &[u8]) -> Result<Mode, Problem> {
    match string_value(value).as_deref() {
        Some("stop") => Ok(Mode::Stop),
        Some("go_on") => Ok(Mode::GoOn),
        Some("all_in_one") => Ok(Mode::AllInOne),
        Some(_) | None => {
            let expected = "`stop`, `go_on` or `all_in_one`";
            Err(Problem::Member { member: "mode", expected })
        }
    }
}

fn transaction(json: &[u8]) -> Result<Transaction, Problem> {
    if json.first() != Some(&b'{') {
        return Err(Problem::Member { member: "transactions", expected: "an array of objects" });
    }
    let (mut id, mut require, mut writes, mut call) = (None, Vec::new(), None, None);
    for (name, value) in members(json) {
        match &*unescape(name) {
            "id" => id = string_value(value).filter(|it| fits(it, ID_BYTES_MAX)),
            "require" => {
                for json in array("require", value)? {
                    requirement(json, &mut require)?;
                    if require.len() > REQUIREMENTS_MAX {
                        return Err(Problem::TooMuchInOne);
                    }
                }
            }
            "writes" => writes = Some(self::writes(value)?),
            "call" => call = Some(self::call(value)?),
            other => return Err(unknown(other, "a transaction")),
        }
    }
    if call.is_some() && writes.is_some() {
        return Err(Problem::CallOrWrites);
    }
    let id = id.ok_or(Problem::Id)?.into_owned();
    let digest = *blake3::hash(json).as_bytes();
    let writes = writes.unwrap_or_default();
    Ok(Transaction { id, require, writes, call, digest, bytes: json.len() })
}

/// `[{"id": …, "put": …}, …]`, each of another document.
pub(crate) fn writes(json: &[u8]) -> Result<Vec<Write>, Problem> {
    let mut writes: Vec<Write> = Vec::new();
    for json in array("writes", json)? {
        if writes.len() == WRITES_MAX {
            return Err(Problem::TooMuchInOne);
        }
        writes.push(write(json)?);
    }
    let mut written = HashSet::new();
    match writes.iter().find(|write| !written.insert(&write.id)) {
        Some(twice) => Err(Problem::WrittenTwice { id: twice.id.to_string() }),
        None => Ok(writes),
    }
}

/// `{"function": "inventory/order", "args": …}`
fn call(json: &[u8]) -> Result<Call, Problem> {
    if json.first() != Some(&b'{') {
        return Err(Problem::Call);
    }
    let (mut name, mut arguments) = (None, b"null".to_vec());
    for (member, value) in members(json) {
        match &*unescape(member) {
            "function" => name = string_value(value),
            "args" => arguments = value.to_vec(),
            other => return Err(unknown(other, "a call")),
        }
    }
    let name = name.ok_or(Problem::Call)?;
    match name.split_once('/') {
        Some((design, function))
            if !design.is_empty() && !function.is_empty() && !function.contains('/') =>
        {
            Ok(Call { design: design.to_owned(), function: function.to_owned(), arguments })
        }
        Some(_) | None => Err(Problem::Call),
    }
}

/// Appends what one object asks for, which may be several things of one document.
fn requirement(json: &[u8], all: &mut Vec<(DocumentId, Requirement)>) -> Result<(), Problem> {
    let (id, rest) = document("require", json)?;
    let before = all.len();
    for (name, value) in rest {
        let requirement = match &*unescape(name) {
            "exists" => only_true("exists", value).map(|()| Requirement::Exists),
            "absent" => only_true("absent", value).map(|()| Requirement::Absent),
            "rev" => rev(value).map(Requirement::Rev),
            "match" => Ok(Requirement::Match(Box::new(Selector::parse(value)?))),
            other => Err(unknown(other, "a requirement")),
        };
        all.push((id.clone(), requirement?));
    }
    if all.len() == before {
        return Err(Problem::NoRequirement { id: id.to_string() });
    }
    Ok(())
}

fn write(json: &[u8]) -> Result<Write, Problem> {
    let (id, rest) = document("writes", json)?;
    if id.is_design() {
        return Err(Problem::NotHere { id: id.to_string() });
    }
    let (mut named, mut in_document, mut kind) = (None, None, None);
    for (name, value) in rest {
        let next = match &*unescape(name) {
            "rev" => {
                named = Some(rev(value)?);
                continue;
            }
            "put" => {
                let (put, rev) = put(&id, value)?;
                in_document = rev;
                put
            }
            "patch" => patch(&id, value)?,
            "json_patch" => {
                let patch = Patch::parse(value).map_err(|error| {
                    let id = id.to_string();
                    if error == PatchSyntaxError::TooMany {
                        Problem::TooManyOperations { id }
                    } else {
                        Problem::Patch { id, error }
                    }
                });
                WriteKind::JsonPatch(patch?)
            }
            "delete" => only_true("delete", value).map(|()| WriteKind::Delete)?,
            "ops" => operations(&id, value)?,
            other => return Err(unknown(other, "a write")),
        };
        if kind.replace(next).is_some() {
            return Err(Problem::OneWrite { id: id.to_string() });
        }
    }
    let kind = kind.ok_or_else(|| Problem::OneWrite { id: id.to_string() })?;
    match (&named, &in_document) {
        (Some(named), Some(in_document)) if named != in_document => {
            Err(Problem::Put { id: id.to_string(), member: "_rev" })
        }
        _ => Ok(Write { id, rev: named.or(in_document), kind }),
    }
}

/// A document as it is put, and its `_rev`.
fn put(id: &DocumentId, json: &[u8]) -> Result<(WriteKind, Option<RevId>), Problem> {
    let wrong = |error| Problem::Document { id: id.to_string(), error };
    let said = |member| Problem::Put { id: id.to_string(), member };
    let Incoming { id: named, rev, deleted, revisions, attachments, body } =
        document::parse(json).map_err(wrong)?;
    if named.is_some_and(|named| named != id.as_str()) {
        return Err(said("_id"));
    }
    if deleted {
        return Err(said("_deleted"));
    }
    if revisions.is_some() {
        return Err(said("_revisions"));
    }
    let rev = match rev {
        None => None,
        Some(AnyRev::Document(rev)) => Some(rev),
        Some(AnyRev::Local(_)) => return Err(said("_rev")),
    };
    Ok((WriteKind::Put { body, attachments }, rev))
}

fn patch(id: &DocumentId, json: &[u8]) -> Result<WriteKind, Problem> {
    if json.first() != Some(&b'{') {
        return Err(Problem::Member { member: "patch", expected: "an object" });
    }
    for (name, _) in members(json) {
        let name = unescape(name);
        if name.starts_with('_') {
            let name = name.into_owned();
            return Err(Problem::Special { id: id.to_string(), name });
        }
    }
    Ok(WriteKind::Patch(json.to_vec()))
}

fn operations(id: &DocumentId, json: &[u8]) -> Result<WriteKind, Problem> {
    let mut all = Vec::new();
    for json in array("ops", json)? {
        if all.len() == OPERATIONS_MAX {
            return Err(Problem::TooManyOperations { id: id.to_string() });
        }
        all.push(operation(id, json)?);
    }
    Ok(WriteKind::Operations(all))
}

/// `{"take": {"field": "boxes", "want": 60, "least": 40}}`
fn operation(id: &DocumentId, json: &[u8]) -> Result<FieldOperation, Problem> {
    let wrong = || Problem::Operation { id: id.to_string() };
    let mut only = members(json);
    let (Some((name, arguments)), None) = (only.next(), only.next()) else { return Err(wrong()) };
    let mut found = Arguments::default();
    for (name, value) in members(arguments) {
        let place = match &*unescape(name) {
            "field" => &mut found.field,
            "by" => &mut found.by,
            "value" => &mut found.value,
            "want" => &mut found.want,
            "least" => &mut found.least,
            other => return Err(unknown(other, "an operation")),
        };
        *place = Some(value);
    }
    let field = found.field.and_then(string_value).ok_or_else(wrong)?;
    let field = FieldPath::parse(&field)?;
    if let Some(name) = field.parts().first().filter(|it| it.starts_with('_')) {
        return Err(Problem::Special { id: id.to_string(), name: name.to_string() });
    }
    if field.parts().len() >= PATH_NAMES_MAX {
        return Err(wrong());
    }
    let kind = found.kind(&unescape(name)).ok_or_else(wrong)?;
    Ok(FieldOperation { field, kind })
}

/// What stands in an operation; JSON.
#[derive(Default)]
struct Arguments<'a> {
    field: Option<&'a [u8]>,
    by: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    want: Option<&'a [u8]>,
    least: Option<&'a [u8]>,
}

impl Arguments<'_> {
    /// `None` where an argument is missing, or there is one that the operation does not have.
    fn kind(&self, name: &str) -> Option<Kind> {
        match (name, self.by, self.value, self.want, self.least) {
            ("inc", None, None, None, None) => Some(Kind::Inc { by: Decimal::parse(b"1")? }),
            ("inc", Some(by), None, None, None) => Some(Kind::Inc { by: Decimal::parse(by)? }),
            ("append", None, Some(value), None, None) => {
                Some(Kind::Append { value: value.to_vec() })
            }
            ("remove", None, None, None, None) => Some(Kind::RemoveField),
            ("remove", None, Some(value), None, None) => {
                Some(Kind::RemoveValue { value: value.to_vec() })
            }
            ("take", None, None, Some(want), least) => {
                let want = Decimal::parse(want)?;
                // All of it, or nothing.
                let least = least.map_or_else(|| Some(want.clone()), Decimal::parse)?;
                let fits = !least.is_negative() && least.compare(&want).is_le();
                fits.then_some(Kind::Take { want, least })
            }
            _ => None,
        }
    }
}

type Rest<'a> = Vec<(&'a str, &'a [u8])>;

/// The document that an object of such an array names, and its other members.
fn document<'a>(member: &'static str, json: &'a [u8]) -> Result<(DocumentId, Rest<'a>), Problem> {
    if json.first() != Some(&b'{') {
        return Err(Problem::Member { member, expected: "an array of objects" });
    }
    let (mut id, mut rest) = (None, Vec::new());
    for (name, value) in members(json) {
        if unescape(name) == "id" {
            id = string_value(value);
        } else {
            rest.push((name, value));
        }
    }
    let missing = Problem::Member { member: "id", expected: "the id of a document" };
    match id.ok_or(missing)?.parse::<AnyId>()? {
        AnyId::Document(id) => Ok((id, rest)),
        AnyId::Local(id) => Err(Problem::NotHere { id: id.to_string() }),
    }
}

fn rev(value: &[u8]) -> Result<RevId, Problem> {
    let rev = string_value(value).and_then(|rev| rev.parse().ok());
    rev.ok_or(Problem::Member { member: "rev", expected: "a revision" })
}

fn array<'a>(member: &'static str, value: &'a [u8]) -> Result<Elements<'a>, Problem> {
    if value.first() == Some(&b'[') {
        Ok(elements(value))
    } else {
        Err(Problem::Member { member, expected: "an array" })
    }
}

fn flag(member: &'static str, value: &[u8]) -> Result<bool, Problem> {
    match value {
        b"true" => Ok(true),
        b"false" => Ok(false),
        _ => Err(Problem::Member { member, expected: "`true` or `false`" }),
    }
}

/// Members that say something by being there.
fn only_true(member: &'static str, value: &[u8]) -> Result<(), Problem> {
    if value == b"true" { Ok(()) } else { Err(Problem::Member { member, expected: "`true`" }) }
}

fn fits(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len())
}

fn unknown(member: &str, place: &'static str) -> Problem {
    let mut member = member.to_owned();
    member.truncate(member.floor_char_boundary(80));
    Problem::Unknown { member, place }
}
