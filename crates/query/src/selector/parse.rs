//! From JSON to the normal form.
//!
//! Source: `mango_selector:norm_ops/1` and `norm_fields/2`, in one pass: each object of several
//! members is an `$and`, a bare value an `$eq`, and names of fields move down to the operators.

use settle_model::json::{elements, members, string_value, unescape};

use super::{
    condition::{Comparison, Condition, Pattern, Quantifier},
    error::SelectorError,
    node::{Node, Scope},
    operand::{Operand, Operands},
    path::FieldPath,
    same::is_integer,
};
use crate::terms;

/// Operators that CouchDB names and does not have.
const UNSUPPORTED: [&str; 5] = ["$where", "$geoWithin", "$geoIntersects", "$near", "$nearSphere"];

/// A whole selector.
pub(super) fn selector(json: &[u8]) -> Result<Node, SelectorError> {
    if json.first() != Some(&b'{') {
        return Err(SelectorError::NotAnObject { value: terms::plain(json) });
    }
    if members(json).next().is_none() {
        return Ok(Node::Everything);
    }
    let node = node(json, &FieldPath::default())?.with_negations_at_fields();
    match &node {
        Node::Field(field) if field.path.is_root() => Err(SelectorError::MissingFieldName),
        Node::Everything
        | Node::And(_)
        | Node::Or(_)
        | Node::Not(_)
        | Node::Nor(_)
        | Node::Field(_) => Ok(node),
    }
}

/// What `json` asks of the field at `path`.
fn node(json: &[u8], path: &FieldPath) -> Result<Node, SelectorError> {
    let mut all = members(json);
    match (all.next(), all.next()) {
        (Some((key, argument)), None) => member(key, argument, path),
        (Some(_), Some(_)) => {
            let nodes = members(json).map(|(key, argument)| member(key, argument, path));
            Ok(Node::And(nodes.collect::<Result<_, _>>()?))
        }
        (None, _) => {
            let equal = Condition::Compare(Comparison::Equal, Operand::new(json));
            Ok(Node::field(path.clone(), equal))
        }
    }
}

/// One member of an object: an operator, or a field with what is asked of it.
fn member(key: &str, argument: &[u8], path: &FieldPath) -> Result<Node, SelectorError> {
    let name = &*unescape(key);
    let bad = || {
        Err(SelectorError::BadArgument {
            operator: name.to_owned(),
            argument: terms::plain(argument),
        })
    };
    let is_object = argument.first() == Some(&b'{');
    let is_array = argument.first() == Some(&b'[');
    let nodes = || elements(argument).map(|it| node(it, path)).collect::<Result<Vec<_>, _>>();
    let compare = |comparison| Condition::Compare(comparison, Operand::new(argument));
    let quantified = |quantifier| {
        if !is_object {
            return bad();
        }
        let scope = Scope::new(node(argument, &FieldPath::default())?);
        Ok(Node::field(path.clone(), Condition::Elements(quantifier, Box::new(scope))))
    };
    let condition = match name {
        "$and" if is_array => return Ok(Node::And(nodes()?)),
        "$or" if is_array => return Ok(Node::Or(nodes()?)),
        "$nor" if is_array => return Ok(Node::Nor(nodes()?)),
        "$not" if is_object => return Ok(Node::Not(Box::new(node(argument, path)?))),
        "$elemMatch" => return quantified(Quantifier::Some),
        "$allMatch" => return quantified(Quantifier::All),
        "$keyMapMatch" => return quantified(Quantifier::Key),
        "$lt" => compare(Comparison::Less),
        "$lte" => compare(Comparison::LessOrEqual),
        "$eq" => compare(Comparison::Equal),
        "$ne" => compare(Comparison::NotEqual),
        "$gte" => compare(Comparison::GreaterOrEqual),
        "$gt" => compare(Comparison::Greater),
        "$in" if is_array => Condition::In(Operands::new(argument)),
        "$nin" if is_array => Condition::NotIn(Operands::new(argument)),
        "$all" if is_array => Condition::All(argument.into()),
        "$exists" => match argument {
            b"true" => Condition::Exists(true),
            b"false" => Condition::Exists(false),
            _ => return bad(),
        },
        "$type" => match string_value(argument) {
            Some(name) => Condition::Type(name.into()),
            None => return bad(),
        },
        "$size" => match integer(argument).and_then(|size| usize::try_from(size).ok()) {
            Some(size) => Condition::Size(size),
            None => return bad(),
        },
        "$mod" => match mod_argument(argument) {
            Some((divisor, remainder)) => Condition::Mod { divisor, remainder },
            None => return bad(),
        },
        "$regex" => match string_value(argument).and_then(|text| Pattern::new(&text)) {
            Some(pattern) => Condition::Regex(pattern),
            None => return bad(),
        },
        "$beginsWith" => match string_value(argument) {
            Some(prefix) => Condition::BeginsWith(prefix.into()),
            None => return bad(),
        },
        "$text" if is_object || is_array || argument == b"null" => return bad(),
        "$text" => {
            let operator = "$text, because there is no full text search yet".to_owned();
            return Err(SelectorError::NotSupported { operator });
        }
        "$default" => {
            let mut selector = b"{\"$default\":".to_vec();
            selector.extend_from_slice(argument);
            selector.push(b'}');
            return Err(SelectorError::BadField { selector: terms::plain(&selector) });
        }
        "$and" | "$or" | "$nor" | "$not" | "$in" | "$nin" | "$all" => return bad(),
        _ if UNSUPPORTED.contains(&name) => {
            return Err(SelectorError::NotSupported { operator: name.to_owned() });
        }
        _ if name.starts_with('$') => {
            return Err(SelectorError::InvalidOperator { operator: name.to_owned() });
        }
        _ => return node(argument, &path.join(&FieldPath::parse(name)?)),
    };
    Ok(Node::field(path.clone(), condition))
}

/// `[divisor, remainder]`. A divisor of zero, on which CouchDB fails later, is refused.
fn mod_argument(argument: &[u8]) -> Option<(i64, i64)> {
    if argument.first() != Some(&b'[') {
        return None;
    }
    let mut numbers = elements(argument);
    let pair = (integer(numbers.next()?)?, integer(numbers.next()?)?);
    (numbers.next().is_none() && pair.0 != 0).then_some(pair)
}

fn integer(json: &[u8]) -> Option<i64> {
    if !is_integer(json) {
        return None;
    }
    str::from_utf8(json).ok()?.parse().ok()
}
