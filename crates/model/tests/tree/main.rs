//! The revision tree: goldens say what the rules are, case by case; properties say what holds for
//! every history.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod damaged;
mod goldens;
mod histories;
mod older;
mod properties;
mod resolving;
