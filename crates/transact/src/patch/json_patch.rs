//! JSON Patch. Source: RFC 6902.
//!
//! Written here rather than taken from a crate: those that there are work on values in which a number is a double,
//! and so lose digits of documents that they were only to pass on.
//!
//! Different here: the document itself cannot be removed, since a document is an object; `delete` is for that.

use settle_model::json::{elements, limits::JSON_DEPTH_MAX, members, string_value, unescape};
use thiserror::Error;

use super::pointer::Pointer;
use crate::{
    limits::{COPIED_BYTES_MAX, OPERATIONS_MAX},
    same::same,
    tree::{Member, Tree, depth_of, place},
};

/// Steps, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Add { path: Pointer, value: Vec<u8> },
    Remove { path: Pointer },
    Replace { path: Pointer, value: Vec<u8> },
    Move { from: Pointer, path: Pointer },
    Copy { from: Pointer, path: Pointer },
    Test { path: Pointer, value: Vec<u8> },
}

/// Why something is no patch.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatchSyntaxError {
    #[error("a JSON Patch is an array")]
    NotAnArray,
    #[error("a JSON Patch has at most {OPERATIONS_MAX} steps")]
    TooMany,
    #[error("step {step} has no `op` that there is")]
    Operation { step: usize },
    #[error("step {step} needs `{member}`, a JSON Pointer")]
    Pointer { step: usize, member: &'static str },
    #[error("step {step} needs `value`")]
    Value { step: usize },
    /// Members that begin with an underscore belong to the server.
    #[error("step {step} changes `{name}`, which belongs to the server")]
    Special { step: usize, name: String },
    #[error("step {step} moves something into itself")]
    Inside { step: usize },
}

/// Why a patch cannot be applied to a document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("step {step}: {problem}")]
pub struct PatchError {
    pub step: usize,
    pub problem: PatchProblem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PatchProblem {
    #[error("there is nothing at `path`")]
    NoPath,
    #[error("there is nothing at `from`")]
    NoFrom,
    #[error("the value is another than the one tested for")]
    Test,
    #[error("the document would be nested too deep")]
    TooDeep,
    #[error("the copies are too large")]
    TooLarge,
    #[error("the document would be no object, or would have members that belong to the server")]
    NotADocument,
}

impl Patch {
    /// At least one, since each looks at the document.
    pub(crate) fn steps(&self) -> usize {
        self.0.len().max(1)
    }

    /// `json` is minified.
    pub fn parse(json: &[u8]) -> Result<Self, PatchSyntaxError> {
        if json.first() != Some(&b'[') {
            return Err(PatchSyntaxError::NotAnArray);
        }
        let mut steps = Vec::new();
        for (step, json) in elements(json).enumerate() {
            if step == OPERATIONS_MAX {
                return Err(PatchSyntaxError::TooMany);
            }
            steps.push(Step::parse(step, json)?);
        }
        Ok(Self(steps))
    }

    /// The body that the patch makes of `document`, a minified object.
    pub fn apply(&self, document: &[u8]) -> Result<Vec<u8>, PatchError> {
        let mut tree = Tree::new(document);
        let mut copied = 0;
        for (step, it) in self.0.iter().enumerate() {
            it.apply(&mut tree, &mut copied).map_err(|problem| PatchError { step, problem })?;
        }
        let patched = tree.to_json();
        let is_known = |key: &str| members(document).any(|(old, _)| old == key);
        let fits = patched.first() == Some(&b'{')
            && members(&patched).all(|(key, _)| !unescape(key).starts_with('_') || is_known(key));
        if fits {
            Ok(patched)
        } else {
            let step = self.0.len().saturating_sub(1);
            Err(PatchError { step, problem: PatchProblem::NotADocument })
        }
    }
}

impl Step {
    fn parse(step: usize, json: &[u8]) -> Result<Self, PatchSyntaxError> {
        let find = |name: &str| members(json).find(|(key, _)| unescape(key) == name).map(|it| it.1);
        let pointer = |member: &'static str| {
            let text = find(member).and_then(string_value);
            text.and_then(|text| Pointer::parse(&text))
                .ok_or(PatchSyntaxError::Pointer { step, member })
        };
        let path = || {
            let path = pointer("path")?;
            match path.names().first() {
                Some(name) if name.starts_with('_') => {
                    Err(PatchSyntaxError::Special { step, name: name.to_string() })
                }
                Some(_) | None => Ok(path),
            }
        };
        let value = || find("value").map(<[u8]>::to_vec).ok_or(PatchSyntaxError::Value { step });
        match find("op").and_then(string_value).as_deref() {
            Some("add") => Ok(Self::Add { path: path()?, value: value()? }),
            Some("remove") => Ok(Self::Remove { path: path()? }),
            Some("replace") => Ok(Self::Replace { path: path()?, value: value()? }),
            Some("copy") => Ok(Self::Copy { from: pointer("from")?, path: path()? }),
            // It may be asked for what the server keeps.
            Some("test") => Ok(Self::Test { path: pointer("path")?, value: value()? }),
            Some("move") => {
                let (from, path) = (pointer("from")?, path()?);
                match from.names().first() {
                    Some(name) if name.starts_with('_') => {
                        Err(PatchSyntaxError::Special { step, name: name.to_string() })
                    }
                    Some(_) | None if from.holds(&path) => Err(PatchSyntaxError::Inside { step }),
                    Some(_) | None => Ok(Self::Move { from, path }),
                }
            }
            Some(_) | None => Err(PatchSyntaxError::Operation { step }),
        }
    }

    fn apply<'a>(&'a self, tree: &mut Tree<'a>, copied: &mut usize) -> Result<(), PatchProblem> {
        match self {
            Self::Add { path, value } => {
                check_depth(path, depth_of(value))?;
                add(tree, path, Tree::new(value))
            }
            Self::Remove { path } => remove(tree, path).map(drop).ok_or(PatchProblem::NoPath),
            Self::Replace { path, value } => {
                check_depth(path, depth_of(value))?;
                let place = find(tree, path).ok_or(PatchProblem::NoPath)?;
                *place = Tree::new(value);
                Ok(())
            }
            Self::Move { from, path } if from == path => {
                find(tree, from).map(drop).ok_or(PatchProblem::NoFrom)
            }
            Self::Move { from, path } => {
                let moved = remove(tree, from).ok_or(PatchProblem::NoFrom)?;
                check_depth(path, moved.depth())?;
                add(tree, path, moved)
            }
            Self::Copy { from, path } => {
                let original = find(tree, from).ok_or(PatchProblem::NoFrom)?;
                *copied += original.bytes();
                if *copied > COPIED_BYTES_MAX {
                    return Err(PatchProblem::TooLarge);
                }
                check_depth(path, original.depth())?;
                let copy = original.clone();
                add(tree, path, copy)
            }
            Self::Test { path, value } => {
                let found = find(tree, path).ok_or(PatchProblem::NoPath)?;
                if same(&found.to_json(), value) { Ok(()) } else { Err(PatchProblem::Test) }
            }
        }
    }
}

fn check_depth(path: &Pointer, depth: usize) -> Result<(), PatchProblem> {
    if path.names().len() + depth > JSON_DEPTH_MAX { Err(PatchProblem::TooDeep) } else { Ok(()) }
}

fn find<'t, 'a>(tree: &'t mut Tree<'a>, path: &Pointer) -> Option<&'t mut Tree<'a>> {
    path.names().iter().try_fold(tree, |tree, name| tree.get(name))
}

/// What holds the place that a path ends with, and the name of that.
fn parent<'t, 'a, 'p>(
    tree: &'t mut Tree<'a>,
    path: &'p Pointer,
) -> Option<(&'t mut Tree<'a>, &'p str)> {
    let (last, before) = path.names().split_last()?;
    let parent = before.iter().try_fold(tree, |tree, name| tree.get(name))?;
    Some((parent, last))
}

fn add<'a>(tree: &mut Tree<'a>, path: &Pointer, value: Tree<'a>) -> Result<(), PatchProblem> {
    if path.names().is_empty() {
        *tree = value;
        return Ok(());
    }
    let (parent, name) = parent(tree, path).ok_or(PatchProblem::NoPath)?;
    if let Some(members) = parent.object() {
        match members.iter_mut().find(|it| it.is_called(name)) {
            Some(member) => member.value = value,
            None => members.push(Member::new(name, value)),
        }
        return Ok(());
    }
    let elements = parent.array().ok_or(PatchProblem::NoPath)?;
    let at = if name == "-" { Some(elements.len()) } else { place(name) };
    match at {
        Some(at) if at <= elements.len() => elements.insert(at, value),
        Some(_) | None => return Err(PatchProblem::NoPath),
    }
    Ok(())
}

fn remove<'a>(tree: &mut Tree<'a>, path: &Pointer) -> Option<Tree<'a>> {
    let (parent, name) = parent(tree, path)?;
    if let Some(members) = parent.object() {
        let at = members.iter().position(|it| it.is_called(name))?;
        return Some(members.remove(at).value);
    }
    let elements = parent.array()?;
    let at = place(name).filter(|at| *at < elements.len())?;
    Some(elements.remove(at))
}
