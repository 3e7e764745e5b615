//! Groups of the documents found, and what is computed of each group. Not CouchDB's.
//!
//! `"group": ["customer"], "aggregate": {"total": {"$sum": "amount"}}` gives a row for each customer:
//! `{"customer":"acme","total":12.5}`. Documents without a field of the group belong to the group of
//! `null`. Groups are kept in memory until all documents have been read, and come in the order of
//! their values, or in that of `sort`.

use std::collections::BTreeMap;

use settle_model::json::{elements, members, string_value, unescape, write_string};

use super::{
    error::MangoError,
    index::{Direction, IndexField},
    limits::{AGGREGATES_MAX, GROUPS_BYTES_MAX, GROUPS_MAX},
};
use crate::{
    collate::{Collation, push_sort_key},
    reduce::exact::Exact,
    selector::{FieldPath, Found, Names, find_in, sort_key},
};

/// What a request computes of its documents.
#[derive(Debug, Clone)]
pub struct Aggregation {
    group: Vec<Column>,
    aggregates: Vec<Aggregate>,
    names: Names,
}

/// A field that documents are grouped by.
#[derive(Debug, Clone)]
struct Column {
    name: String,
    path: FieldPath,
    slot: usize,
}

/// One value of a group's row.
#[derive(Debug, Clone)]
struct Aggregate {
    /// The member that it is shown under.
    name: String,
    function: Function,
    /// `None` for `{"$count": true}`.
    field: Option<(FieldPath, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Sum,
    Count,
    Min,
    Max,
    Average,
}

/// The groups of the documents seen so far, in the order of their values.
#[derive(Debug)]
pub struct Groups {
    aggregation: Aggregation,
    groups: BTreeMap<Vec<u8>, Group>,
    bytes: usize,
}

/// One group.
#[derive(Debug)]
struct Group {
    /// JSON of the values that its documents share.
    values: Vec<Vec<u8>>,
    states: Vec<State>,
}

#[derive(Debug, Clone)]
enum State {
    Sum(Exact),
    Count(u64),
    /// The value and its sort key.
    Extreme(Option<(Vec<u8>, Vec<u8>)>),
    Average(Exact, u64),
}

fn invalid(reason: impl Into<String>) -> MangoError {
    MangoError::InvalidAggregate { reason: reason.into() }
}

impl Aggregation {
    /// Parses `group` and `aggregate` of a request.
    pub(crate) fn parse(
        group: Option<&[u8]>,
        aggregate: Option<&[u8]>,
    ) -> Result<Option<Self>, MangoError> {
        if group.is_none() && aggregate.is_none() {
            return Ok(None);
        }
        let mut names = Names::default();
        let group = group.map_or(Ok(Vec::new()), |json| columns(json, &mut names))?;
        let aggregates = aggregate.map_or(Ok(Vec::new()), |json| aggregates(json, &mut names))?;
        if group.is_empty() && aggregates.is_empty() {
            return Err(invalid("neither `group` nor `aggregate` names anything"));
        }
        if group.len() + aggregates.len() > AGGREGATES_MAX {
            let reason = format!("`group` and `aggregate` have more than {AGGREGATES_MAX} members");
            return Err(invalid(reason));
        }
        let aggregation = Self { group, aggregates, names };
        let mut shown: Vec<&str> = aggregation.columns().collect();
        shown.sort_unstable();
        match shown.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(invalid(format!("two members of a group are called {:?}", pair[0]))),
            None => Ok(Some(aggregation)),
        }
    }

    /// Members of a group's row.
    fn columns(&self) -> impl Iterator<Item = &str> {
        let group = self.group.iter().map(|it| it.name.as_str());
        group.chain(self.aggregates.iter().map(|it| it.name.as_str()))
    }

    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.columns().any(|it| it == name)
    }

    pub(crate) fn paths(&self) -> Vec<FieldPath> {
        let group = self.group.iter().map(|it| it.path.clone());
        let fields = self.aggregates.iter().filter_map(|it| it.field.as_ref());
        group.chain(fields.map(|it| it.0.clone())).collect()
    }
}

fn columns(json: &[u8], names: &mut Names) -> Result<Vec<Column>, MangoError> {
    if json.first() != Some(&b'[') {
        return Err(invalid("`group` must be an array of names of fields"));
    }
    let column = |json| {
        let name = string_value(json)
            .ok_or_else(|| invalid("`group` must be an array of names of fields"))?
            .into_owned();
        let path = FieldPath::parse(&name)?;
        let slot = names.slot(&path);
        Ok(Column { name, path, slot })
    };
    elements(json).map(column).collect()
}

fn aggregates(json: &[u8], names: &mut Names) -> Result<Vec<Aggregate>, MangoError> {
    if json.first() != Some(&b'{') {
        return Err(invalid("`aggregate` must be an object"));
    }
    let aggregate = |(name, json)| {
        let name = unescape(name).into_owned();
        let mut all = members(json);
        let (Some((function, argument)), None) = (all.next(), all.next()) else {
            return Err(invalid(format!("{name:?} must be an object with one function")));
        };
        let function = match &*unescape(function) {
            "$sum" => Function::Sum,
            "$count" => Function::Count,
            "$min" => Function::Min,
            "$max" => Function::Max,
            "$avg" => Function::Average,
            other => return Err(invalid(format!("there is no function {other:?}"))),
        };
        let field = match string_value(argument) {
            Some(field) => {
                let path = FieldPath::parse(&field)?;
                let slot = names.slot(&path);
                Some((path, slot))
            }
            None if function == Function::Count && argument == b"true" => None,
            None => return Err(invalid(format!("{name:?} needs the name of a field"))),
        };
        Ok(Aggregate { name, function, field })
    };
    members(json).map(aggregate).collect()
}

impl Groups {
    pub fn new(aggregation: &Aggregation) -> Self {
        let mut groups =
            Self { aggregation: aggregation.clone(), groups: BTreeMap::new(), bytes: 0 };
        if aggregation.group.is_empty() {
            // Of no documents there is a sum too.
            let group = Group { values: Vec::new(), states: aggregation.states() };
            groups.groups.insert(Vec::new(), group);
        }
        groups
    }

    /// Counts one document, minified JSON.
    pub fn add(&mut self, document: &[u8]) -> Result<(), MangoError> {
        let Self { aggregation, groups, bytes } = self;
        aggregation.names.gather(document, |slots| {
            let find = |path: &FieldPath, slot| match find_in(path, slot, document, slots) {
                Found::Value(value) => Some(value),
                Found::Missing | Found::BadPath => None,
            };
            let mut key = Vec::new();
            for column in &aggregation.group {
                let value = find(&column.path, column.slot).unwrap_or(b"null");
                push_sort_key(&mut key, value, Collation::Unicode);
            }
            if !groups.contains_key(&key) {
                let value =
                    |column: &Column| find(&column.path, column.slot).unwrap_or(b"null").to_vec();
                let values: Vec<_> = aggregation.group.iter().map(value).collect();
                *bytes += key.len() + values.iter().map(Vec::len).sum::<usize>();
                if groups.len() == GROUPS_MAX || *bytes > GROUPS_BYTES_MAX {
                    return Err(MangoError::TooManyGroups);
                }
                let states = aggregation.states();
                groups.insert(key.clone(), Group { values, states });
            }
            let group = groups.get_mut(&key).expect("it was inserted where it was not there");
            for (state, aggregate) in group.states.iter_mut().zip(&aggregation.aggregates) {
                let value = match &aggregate.field {
                    Some((path, slot)) => find(path, *slot),
                    None => Some(b"true".as_slice()),
                };
                if let Some(value) = value {
                    *bytes += state.add(aggregate.function, value);
                }
            }
            if *bytes > GROUPS_BYTES_MAX { Err(MangoError::TooManyGroups) } else { Ok(()) }
        })
    }

    /// The rows as JSON.
    pub fn finish(self, sort: &[IndexField], skip: u64, limit: u64) -> Vec<Vec<u8>> {
        let Self { aggregation, groups, .. } = self;
        let mut rows: Vec<Vec<Vec<u8>>> = groups.into_values().map(Group::into_values).collect();
        let columns: Vec<&str> = aggregation.columns().collect();
        if !sort.is_empty() {
            let places: Vec<_> = sort
                .iter()
                .filter_map(|it| columns.iter().position(|name| *name == it.name))
                .collect();
            rows.sort_by_cached_key(|row| {
                places.iter().flat_map(|&place| sort_key(&row[place])).collect::<Vec<_>>()
            });
            if sort[0].direction == Direction::Descending {
                rows.reverse();
            }
        }
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        rows.into_iter().skip(skip).take(limit).map(|row| object(&columns, &row)).collect()
    }
}

fn object(columns: &[&str], values: &[Vec<u8>]) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (place, (name, value)) in columns.iter().zip(values).enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_string(&mut out, name);
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.push(b'}');
    out
}

impl Group {
    fn into_values(self) -> Vec<Vec<u8>> {
        let results = self.states.into_iter().map(State::finish);
        self.values.into_iter().chain(results).collect()
    }
}

impl Aggregation {
    fn states(&self) -> Vec<State> {
        let state = |aggregate: &Aggregate| match aggregate.function {
            Function::Sum => State::Sum(Exact::ZERO),
            Function::Count => State::Count(0),
            Function::Min | Function::Max => State::Extreme(None),
            Function::Average => State::Average(Exact::ZERO, 0),
        };
        self.aggregates.iter().map(state).collect()
    }
}

impl State {
    /// Takes one value; how many bytes more it holds. What is no number adds nothing to a sum.
    fn add(&mut self, function: Function, value: &[u8]) -> usize {
        match self {
            Self::Sum(sum) => {
                if let Some(number) = Exact::parse(value) {
                    sum.add(&number);
                }
            }
            Self::Count(count) => *count += 1,
            Self::Average(sum, count) => {
                if let Some(number) = Exact::parse(value) {
                    sum.add(&number);
                    *count += 1;
                }
            }
            Self::Extreme(extreme) => {
                let key = sort_key(value);
                let better = extreme.as_ref().is_none_or(|(_, known)| match function {
                    Function::Max => key > *known,
                    Function::Min | Function::Sum | Function::Count | Function::Average => {
                        key < *known
                    }
                });
                if better {
                    let held = extreme.as_ref().map_or(0, |(json, key)| json.len() + key.len());
                    let holds = value.len() + key.len();
                    *extreme = Some((value.to_vec(), key));
                    return holds.saturating_sub(held);
                }
            }
        }
        0
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Sum(sum) => sum.to_json().map_or_else(|| b"null".to_vec(), String::into_bytes),
            Self::Count(count) => count.to_string().into_bytes(),
            Self::Extreme(extreme) => extreme.map_or_else(|| b"null".to_vec(), |(json, _)| json),
            Self::Average(_, 0) => b"null".to_vec(),
            #[expect(clippy::cast_precision_loss, reason = "an average is a double")]
            Self::Average(sum, count) => double(sum.to_double() / count as f64),
        }
    }
}

/// As JavaScript writes it; what no JSON number can be is `null`.
fn double(value: f64) -> Vec<u8> {
    if value.is_finite() {
        ryu_js::Buffer::new().format_finite(value).as_bytes().to_vec()
    } else {
        b"null".to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mango::FindRequest;

    fn check(request: &str, documents: &[&str], expected: &[&str]) {
        let request = FindRequest::parse(request.as_bytes()).unwrap();
        let mut groups = Groups::new(request.aggregation.as_ref().unwrap());
        for document in documents {
            groups.add(document.as_bytes()).unwrap();
        }
        let rows = groups.finish(&request.sort, request.skip, request.limit);
        let rows: Vec<_> = rows.into_iter().map(|it| String::from_utf8(it).unwrap()).collect();
        assert_eq!(rows, expected);
    }

    const SALES: &[&str] = &[
        r#"{"who":"b","paid":1,"by":{"way":"card"}}"#,
        r#"{"who":"a","paid":2.5}"#,
        r#"{"who":"b","paid":4,"by":{"way":"cash"}}"#,
        r#"{"paid":"much"}"#,
    ];

    #[test]
    fn groups_come_in_the_order_of_their_values_and_what_is_missing_is_null() {
        check(
            r#"{"selector":{},"group":["who"],"aggregate":{"n":{"$count":true},"sum":{"$sum":"paid"}}}"#,
            SALES,
            &[
                r#"{"who":null,"n":1,"sum":0}"#,
                r#"{"who":"a","n":1,"sum":2.5}"#,
                r#"{"who":"b","n":2,"sum":5}"#,
            ],
        );
    }

    #[test]
    fn without_a_group_there_is_one_row_even_of_nothing() {
        let request = r#"{"selector":{},"aggregate":{"n":{"$count":"by.way"},"least":{"$min":"paid"},
            "most":{"$max":"paid"},"mean":{"$avg":"paid"}}}"#;
        let request = &request.replace(['\n', ' '], "");
        check(request, SALES, &[r#"{"n":2,"least":1,"most":"much","mean":2.5}"#]);
        check(request, &[], &[r#"{"n":0,"least":null,"most":null,"mean":null}"#]);
    }

    #[test]
    fn groups_are_sorted_skipped_and_limited() {
        check(
            r#"{"selector":{},"group":["who"],"aggregate":{"sum":{"$sum":"paid"}},"sort":[{"sum":"desc"}],"limit":2}"#,
            SALES,
            &[r#"{"who":"b","sum":5}"#, r#"{"who":"a","sum":2.5}"#],
        );
        check(
            r#"{"selector":{},"group":["by.way"],"skip":1}"#,
            SALES,
            &[r#"{"by.way":"card"}"#, r#"{"by.way":"cash"}"#],
        );
    }

    #[test]
    fn numbers_are_added_exactly() {
        let request = r#"{"selector":{},"aggregate":{"sum":{"$sum":"v"}}}"#;
        for (values, sum) in [
            (&["9007199254740993", "9007199254740993"][..], "18014398509481986"),
            (&["1e100", "1.0", "-1e100"], "1"),
            (&["true", "\"1\""], "0"),
            (&["1e308", "1e308"], "null"),
        ] {
            let documents: Vec<_> = values.iter().map(|it| format!("{{\"v\":{it}}}")).collect();
            let documents: Vec<_> = documents.iter().map(String::as_str).collect();
            check(request, &documents, &[&format!("{{\"sum\":{sum}}}")]);
        }
    }

    #[test]
    fn what_cannot_be_computed_is_refused() {
        for (request, reason) in [
            (r#""group":[1]"#, "`group` must be an array of names of fields"),
            (r#""aggregate":{"a":{"$median":"x"}}"#, "there is no function \"$median\""),
            (r#""aggregate":{"a":{"$sum":1}}"#, "\"a\" needs the name of a field"),
            (r#""aggregate":{}"#, "neither `group` nor `aggregate` names anything"),
            (
                r#""group":["a"],"aggregate":{"a":{"$sum":"a"}}"#,
                "two members of a group are called \"a\"",
            ),
            (
                r#""group":["a"],"fields":["a"]"#,
                "`fields` cannot be asked for together with `aggregate`",
            ),
            (r#""group":["a"],"sort":["b"]"#, "the groups have no member \"b\" to be sorted by"),
        ] {
            let request = format!("{{\"selector\":{{}},{request}}}");
            let error = FindRequest::parse(request.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), reason);
        }
    }

    #[test]
    fn too_many_groups_are_refused() {
        let request = FindRequest::parse(br#"{"selector":{},"group":["a"]}"#).unwrap();
        let mut groups = Groups::new(request.aggregation.as_ref().unwrap());
        let mut add = |number| groups.add(format!("{{\"a\":{number}}}").as_bytes());
        for number in 0..GROUPS_MAX {
            add(number).unwrap();
        }
        assert_eq!(add(3), Ok(()));
        assert_eq!(add(GROUPS_MAX), Err(MangoError::TooManyGroups));
    }
}
