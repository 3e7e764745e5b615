//! Documents between the wire and the database, for every endpoint that takes or sends them.

pub(crate) mod incoming;
pub(crate) mod outgoing;
pub(crate) mod parts;
pub(crate) mod pieces;
