//! What one field must satisfy.
//!
//! Source: `mango_selector:match/3`.

use std::cmp::Ordering;

use fancy_regex::{Regex, RegexBuilder};
use settle_model::json::{elements, members, string_value};

use super::{
    limits::{REGEX_BYTES_MAX, REGEX_STEPS_MAX},
    node::Scope,
    operand::{Operand, Operands},
    same::{Numbers, is_integer, same},
};

#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Compare(Comparison, Operand),
    In(Operands),
    NotIn(Operands),
    Exists(bool),
    Type(Box<str>),
    Mod {
        divisor: i64,
        remainder: i64,
    },
    Regex(Pattern),
    BeginsWith(Box<str>),
    /// An array.
    All(Box<[u8]>),
    Size(usize),
    Elements(Quantifier, Box<Scope>),
    /// Only of what has no opposite of its own.
    Not(Box<Self>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

/// Which parts of a value must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantifier {
    /// `$elemMatch`: some element of an array.
    Some,
    /// `$allMatch`: every element of an array that has some.
    All,
    /// `$keyMapMatch`: some key of an object.
    Key,
}

/// A regular expression. Those that need no looking around run in linear time; the others are
/// stopped after a number of steps.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: Box<str>,
    regex: Regex,
}

impl Condition {
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Compare(Comparison::Equal, operand) => operand.equals(value),
            Self::Compare(Comparison::NotEqual, operand) => !operand.equals(value),
            Self::Compare(comparison, operand) => comparison.accepts(operand.compare(value)),
            Self::In(operands) => is_in(operands, value),
            Self::NotIn(operands) => !is_in(operands, value),
            Self::Exists(wanted) => *wanted,
            Self::Type(name) => type_name(value) == &**name,
            Self::Mod { divisor, remainder } => {
                is_integer(value) && remainder_of(value, *divisor) == i128::from(*remainder)
            }
            Self::Regex(pattern) => pattern.matches(value),
            Self::BeginsWith(prefix) => {
                string_value(value).is_some_and(|text| text.starts_with(&**prefix))
            }
            Self::All(wanted) => has_all(value, wanted),
            Self::Size(size) => value.first() == Some(&b'[') && elements(value).count() == *size,
            Self::Elements(quantifier, scope) => quantifier.matches(scope, value),
            Self::Not(condition) => !condition.matches(value),
        }
    }

    /// The opposite, for a field that is there.
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Compare(comparison, operand) => Self::Compare(comparison.opposite(), operand),
            Self::In(operands) => Self::NotIn(operands),
            Self::NotIn(operands) => Self::In(operands),
            Self::Exists(wanted) => Self::Exists(!wanted),
            Self::Not(condition) => *condition,
            Self::Type(_)
            | Self::Mod { .. }
            | Self::Regex(_)
            | Self::BeginsWith(_)
            | Self::All(_)
            | Self::Size(_)
            | Self::Elements(..) => Self::Not(Box::new(self)),
        }
    }
}

impl Comparison {
    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }

    fn opposite(self) -> Self {
        match self {
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::GreaterOrEqual => Self::Less,
            Self::Greater => Self::LessOrEqual,
        }
    }

    pub(crate) fn operator(self) -> &'static str {
        match self {
            Self::Less => "$lt",
            Self::LessOrEqual => "$lte",
            Self::Equal => "$eq",
            Self::NotEqual => "$ne",
            Self::GreaterOrEqual => "$gte",
            Self::Greater => "$gt",
        }
    }
}

impl Quantifier {
    fn matches(self, scope: &Scope, value: &[u8]) -> bool {
        match self {
            Self::Some => elements(value).any(|element| scope.matches(element)),
            Self::All => {
                let mut elements = elements(value).peekable();
                elements.peek().is_some() && elements.all(|element| scope.matches(element))
            }
            Self::Key => members(value).any(|(key, _)| {
                let key = [b"\"", key.as_bytes(), b"\""].concat();
                scope.matches(&key)
            }),
        }
    }

    pub(crate) fn operator(self) -> &'static str {
        match self {
            Self::Some => "$elemMatch",
            Self::All => "$allMatch",
            Self::Key => "$keyMapMatch",
        }
    }
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Option<Self> {
        let regex = RegexBuilder::new(text)
            .backtrack_limit(REGEX_STEPS_MAX)
            .delegate_size_limit(REGEX_BYTES_MAX)
            .build();
        Some(Self { text: text.into(), regex: regex.ok()? })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    fn matches(&self, value: &[u8]) -> bool {
        string_value(value).is_some_and(|text| self.regex.is_match(&*text).unwrap_or(false))
    }
}

/// One of the operands is the value or, where that is an array, one of its elements.
fn is_in(operands: &Operands, value: &[u8]) -> bool {
    match value.first() {
        _ if operands.is_empty() => false,
        Some(b'[') => elements(value).any(|element| operands.contain(element)),
        Some(_) | None => operands.contain(value),
    }
}

fn has_all(value: &[u8], wanted: &[u8]) -> bool {
    if value.first() != Some(&b'[') {
        return false;
    }
    let mut each = elements(wanted);
    let Some(first) = each.next() else { return false };
    let has = |it: &[u8]| elements(value).any(|element| same(element, it, Numbers::AsSpelt));
    let is_whole = || {
        elements(wanted).nth(1).is_none()
            && first.first() == Some(&b'[')
            && same(first, value, Numbers::AsValues)
    };
    elements(wanted).all(has) || is_whole()
}

pub(crate) fn type_name(value: &[u8]) -> &'static str {
    match value.first() {
        Some(b'n') | None => "null",
        Some(b't' | b'f') => "boolean",
        Some(b'"') => "string",
        Some(b'[') => "array",
        Some(b'{') => "object",
        Some(_) => "number",
    }
}

/// Of an integer of any length, with the sign of that integer.
fn remainder_of(integer: &[u8], divisor: i64) -> i128 {
    let (negative, digits) = match integer.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, integer),
    };
    let divisor = i128::from(divisor.unsigned_abs());
    let rest =
        digits.iter().fold(0, |rest, &digit| (rest * 10 + i128::from(digit - b'0')) % divisor);
    if negative { -rest } else { rest }
}
