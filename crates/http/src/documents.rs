//! Documents between the wire and the database, for every endpoint that takes or sends them.

pub(crate) use settle_site::outgoing;

pub(crate) mod id_revs;
pub(crate) mod named;
pub(crate) mod parts;
pub(crate) mod pieces;
pub(crate) mod received;
pub(crate) mod rows;
pub(crate) mod saved;
pub(crate) mod times;
pub(crate) mod users;
