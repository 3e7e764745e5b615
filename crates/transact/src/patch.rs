//! The two patches of JSON.

mod json_patch;
mod merge;
mod pointer;

pub use self::{
    json_patch::{Patch, PatchError, PatchProblem, PatchSyntaxError},
    merge::merge,
};
