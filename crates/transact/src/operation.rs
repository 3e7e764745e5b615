//! Operations on one field: what an application would otherwise read, change and write back.
//!
//! A field is named as in Mango: `stock.boxes`, with `\.` for a dot that belongs to a name, and a number for a place
//! in an array.

use settle_model::json::{limits::JSON_DEPTH_MAX, validate};
use settle_query::selector::FieldPath;
use thiserror::Error;

use crate::{
    decimal::Decimal,
    same::Wanted,
    tree::{Member, Tree, depth_of},
};

/// One operation, and the field that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldOperation {
    pub field: FieldPath,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Adds to a number; a missing one is 0.
    Inc { by: Decimal },
    /// Adds an element at the end of an array; a missing one is empty.
    Append { value: Vec<u8> },
    /// Takes all elements of an array away that are the same as this value.
    RemoveValue { value: Vec<u8> },
    /// Takes a member away, if it is there.
    RemoveField,
    /// Takes up to `want` from a number, if that leaves it at zero or more and there is at least `least`.
    Take { want: Decimal, least: Decimal },
}

/// Why an operation cannot be done on a document as it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OperationProblem {
    #[error("there is no such field")]
    Missing,
    #[error("the field is no number")]
    NotANumber,
    #[error("the field is no array")]
    NotAnArray,
    /// Something on the way to it is neither an object nor an array that long.
    #[error("the field lies in something that has no fields")]
    NoPlace,
    #[error("the number would be too long")]
    TooLong,
    #[error("the document would be nested too deep")]
    TooDeep,
    /// What there is, as JSON.
    #[error("there is too little")]
    TooLittle { available: Vec<u8> },
}

impl FieldOperation {
    /// As requests call it.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Inc { .. } => "inc",
            Kind::Append { .. } => "append",
            Kind::RemoveValue { .. } | Kind::RemoveField => "remove",
            Kind::Take { .. } => "take",
        }
    }

    /// How often a document is gone through for it, about: an array or object that is to be removed is compared with each
    /// element, and read anew for it.
    pub(crate) fn times(&self) -> u64 {
        match &self.kind {
            Kind::RemoveValue { value } if matches!(value.first(), Some(b'[' | b'{')) => {
                1 + value.len() as u64 / 2
            }
            Kind::RemoveValue { .. }
            | Kind::RemoveField
            | Kind::Inc { .. }
            | Kind::Append { .. }
            | Kind::Take { .. } => 1,
        }
    }

    /// Changes the document; of `take`, how much was taken.
    pub(crate) fn apply<'a>(
        &'a self,
        document: &mut Tree<'a>,
    ) -> Result<Option<Decimal>, OperationProblem> {
        match &self.kind {
            Kind::Inc { by } => {
                let place = self.place(document, b"0")?;
                let sum = number(place)?.plus(by);
                set_number(place, &sum)?;
            }
            Kind::Append { value } => {
                if self.field.parts().len() + 1 + depth_of(value) > JSON_DEPTH_MAX {
                    return Err(OperationProblem::TooDeep);
                }
                let place = self.place(document, b"[]")?;
                let elements = place.array().ok_or(OperationProblem::NotAnArray)?;
                elements.push(Tree::new(value));
            }
            Kind::RemoveValue { value } => {
                if let Some(found) = self.find(document) {
                    let elements = found.array().ok_or(OperationProblem::NotAnArray)?;
                    let unwanted = Wanted::new(value);
                    elements.retain(|it| !unwanted.is(&it.to_json()));
                }
            }
            Kind::RemoveField => self.remove(document)?,
            Kind::Take { want, least } => {
                let found = self.find(document).ok_or(OperationProblem::Missing)?;
                let there = number(found)?;
                if there.compare(least).is_lt() {
                    return Err(OperationProblem::TooLittle { available: there.to_json() });
                }
                let zero = Decimal::zero();
                let available = if there.is_negative() { &zero } else { &there };
                let taken = if available.compare(want).is_lt() { available } else { want }.clone();
                set_number(found, &there.minus(&taken))?;
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    fn find<'t, 'a>(&self, document: &'t mut Tree<'a>) -> Option<&'t mut Tree<'a>> {
        self.field.parts().iter().try_fold(document, |tree, name| tree.get(name))
    }

    /// The field, made with this value where it is missing, and the objects on the way to it too.
    fn place<'t, 'a>(
        &self,
        document: &'t mut Tree<'a>,
        missing: &'static [u8],
    ) -> Result<&'t mut Tree<'a>, OperationProblem> {
        let parts = self.field.parts();
        let mut place = document;
        for (at, name) in parts.iter().enumerate() {
            if place.get(name).is_none() {
                let is_last = at + 1 == parts.len();
                let value = Tree::new(if is_last { missing } else { b"{}" });
                let members = place.object().ok_or(OperationProblem::NoPlace)?;
                members.push(Member::new(name, value));
            }
            place = place.get(name).ok_or(OperationProblem::NoPlace)?;
        }
        Ok(place)
    }

    fn remove(&self, document: &mut Tree<'_>) -> Result<(), OperationProblem> {
        let Some((name, before)) = self.field.parts().split_last() else { return Ok(()) };
        let Some(parent) = before.iter().try_fold(document, |tree, name| tree.get(name)) else {
            return Ok(());
        };
        let members = parent.object().ok_or(OperationProblem::NoPlace)?;
        members.retain(|it| !it.is_called(name));
        Ok(())
    }
}

fn number(tree: &Tree<'_>) -> Result<Decimal, OperationProblem> {
    Decimal::parse(&tree.to_json()).ok_or(OperationProblem::NotANumber)
}

fn set_number(place: &mut Tree<'_>, number: &Decimal) -> Result<(), OperationProblem> {
    let json = number.to_json();
    // With a fraction it must be one that a double can hold, too.
    if validate(&json).is_err() {
        return Err(OperationProblem::TooLong);
    }
    *place = Tree::owned(json);
    Ok(())
}
