//! The normal form of a selector, and walking it.

use settle_model::json::write_string;

use super::{
    condition::Condition,
    names::{Names, Slots, find_in},
    path::{FieldPath, Found},
};

/// Fields with their conditions. At the top of a selector negations stand at the fields; inside
/// `$elemMatch` and its like they stay where they were, as in CouchDB.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// `{}`
    Everything,
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Nor(Vec<Self>),
    Field(Field),
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) path: FieldPath,
    pub(crate) condition: Condition,
    slot: usize,
}

/// A selector over one kind of values: documents, or elements of an array. The members that its
/// fields begin with are found in one pass over an object.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    node: Node,
    names: Names,
}

impl Node {
    pub(crate) fn field(path: FieldPath, condition: Condition) -> Self {
        Self::Field(Field { path, condition, slot: 0 })
    }

    fn matches(&self, value: &[u8], slots: Option<Slots<'_, '_>>) -> bool {
        match self {
            Self::Everything => true,
            Self::And(nodes) => nodes.iter().all(|node| node.matches(value, slots)),
            // No condition at all refuses nothing.
            Self::Or(nodes) if nodes.is_empty() => true,
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(value, slots)),
            Self::Not(node) => !node.matches(value, slots),
            Self::Nor(nodes) => !nodes.iter().any(|node| node.matches(value, slots)),
            Self::Field(field) => field.matches(value, slots),
        }
    }

    /// Moves negations to the fields, where indexes can see through them.
    pub(crate) fn with_negations_at_fields(self) -> Self {
        let all =
            |nodes: Vec<Self>| nodes.into_iter().map(Self::with_negations_at_fields).collect();
        match self {
            Self::And(nodes) => Self::And(all(nodes)),
            Self::Or(nodes) => Self::Or(all(nodes)),
            Self::Not(node) => node.negated(),
            Self::Nor(nodes) => Self::And(nodes.into_iter().map(Self::negated).collect()),
            Self::Everything | Self::Field(_) => self,
        }
    }

    fn negated(self) -> Self {
        let none = |nodes: Vec<Self>| nodes.into_iter().map(Self::negated).collect();
        match self {
            Self::Not(node) => node.with_negations_at_fields(),
            Self::Nor(nodes) => {
                Self::Or(nodes.into_iter().map(Self::with_negations_at_fields).collect())
            }
            Self::And(nodes) => Self::Or(none(nodes)),
            Self::Or(nodes) => Self::And(none(nodes)),
            Self::Field(field) => Self::field(field.path, field.condition.negated()),
            Self::Everything => self,
        }
    }

    /// Gives each field the slot of its name.
    fn assign_slots(&mut self, names: &mut Names) {
        match self {
            Self::Everything => {}
            Self::And(nodes) | Self::Or(nodes) | Self::Nor(nodes) => {
                nodes.iter_mut().for_each(|node| node.assign_slots(names));
            }
            Self::Not(node) => node.assign_slots(names),
            Self::Field(field) => field.slot = names.slot(&field.path),
        }
    }

    /// As `_explain` shows it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let (operator, nodes) = match self {
            Self::Everything => return out.extend_from_slice(b"{}"),
            Self::And(nodes) => ("$and", nodes),
            Self::Or(nodes) => ("$or", nodes),
            Self::Nor(nodes) => ("$nor", nodes),
            Self::Not(node) => {
                out.extend_from_slice(b"{\"$not\":");
                node.write(out);
                return out.push(b'}');
            }
            Self::Field(field) => {
                out.push(b'{');
                write_string(out, &field.path.to_string());
                out.push(b':');
                field.condition.write(out);
                return out.push(b'}');
            }
        };
        out.push(b'{');
        write_string(out, operator);
        out.extend_from_slice(b":[");
        for (index, node) in nodes.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            node.write(out);
        }
        out.extend_from_slice(b"]}");
    }
}

impl Condition {
    fn write(&self, out: &mut Vec<u8>) {
        let mut operator = |name: &str| {
            out.push(b'{');
            write_string(out, name);
            out.push(b':');
        };
        match self {
            Self::Compare(comparison, operand) => {
                operator(comparison.operator());
                out.extend_from_slice(operand.json());
            }
            Self::In(operands) => {
                operator("$in");
                out.extend_from_slice(operands.json());
            }
            Self::NotIn(operands) => {
                operator("$nin");
                out.extend_from_slice(operands.json());
            }
            Self::Exists(wanted) => {
                operator("$exists");
                out.extend_from_slice(if *wanted { b"true" } else { b"false" });
            }
            Self::Type(name) => {
                operator("$type");
                write_string(out, name);
            }
            Self::Mod { divisor, remainder } => {
                operator("$mod");
                out.extend_from_slice(format!("[{divisor},{remainder}]").as_bytes());
            }
            Self::Regex(pattern) => {
                operator("$regex");
                write_string(out, pattern.text());
            }
            Self::BeginsWith(prefix) => {
                operator("$beginsWith");
                write_string(out, prefix);
            }
            Self::All(values) => {
                operator("$all");
                out.extend_from_slice(values);
            }
            Self::Size(size) => {
                operator("$size");
                out.extend_from_slice(size.to_string().as_bytes());
            }
            Self::Elements(quantifier, scope) => {
                operator(quantifier.operator());
                scope.node.write(out);
            }
            Self::Not(condition) => {
                operator("$not");
                condition.write(out);
            }
        }
        out.push(b'}');
    }
}

impl Field {
    fn matches(&self, value: &[u8], slots: Option<Slots<'_, '_>>) -> bool {
        match find_in(&self.path, self.slot, value, slots) {
            Found::Value(value) => self.condition.matches(value),
            Found::Missing => matches!(self.condition, Condition::Exists(false)),
            Found::BadPath => false,
        }
    }
}

impl Scope {
    pub(crate) fn new(mut node: Node) -> Self {
        let mut names = Names::default();
        node.assign_slots(&mut names);
        Self { node, names }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        self.names.gather(value, |slots| self.node.matches(value, slots))
    }
}
