//! Every limit of JSON text: the number, the reason, and what a client sees when it is reached.

/// Arrays and objects inside each other, the outermost counting as one.
///
/// In a bulk request each document counts for itself, so that what one request stored another can
/// carry. Parsers of clients stop between 128 and some thousands; each level takes stack here. A
/// client sees 400 `bad_request`.
pub const JSON_DEPTH_MAX: usize = 256;

/// Digits of a number without fraction and exponent. Making the binary form that a revision id is
/// computed from takes time that grows with the square of this. A client sees 400 `bad_request`.
pub const JSON_INTEGER_DIGITS_MAX: usize = 1_000;

/// Bytes of a key that a message quotes.
pub(super) const KEY_QUOTED_BYTES_MAX: usize = 80;

/// Members of one object that are compared one by one; larger objects have their keys sorted.
pub(super) const KEYS_COMPARED_MAX: usize = 24;
