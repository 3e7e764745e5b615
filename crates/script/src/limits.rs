//! Every limit of this crate: the number, the reason, and what a caller sees when it is reached.
