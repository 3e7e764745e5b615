//! Where segments begin.

use settle_engine::key;

use super::{ShapeKey, keys::TOP};

/// Zero bits that a segment of level 1 asks for, and each further level again: every 16th element.
///
/// A count or a reduction reads about one segment of each level at each end. With 64 to a segment a
/// million rows have three levels fewer and three times as much is read; with 8, an eighth of what is
/// stored are entries.
const BITS: u32 = 4;

/// Elements after which a segment ends although none of them begins one: four times the mean.
pub(super) const FORCED: u32 = 64;

/// The lowest level that has but few entries where there are so many rows.
pub(super) fn level_of_few(rows: u64) -> u8 {
    let bits = u64::BITS - rows.leading_zeros();
    u8::try_from(bits / BITS).map_or(TOP, |level| level.clamp(1, TOP))
}

/// The highest level at which a segment begins with this row; 0 for most rows.
pub(super) fn rank(shape: &ShapeKey, sort_key: &[u8], id: &str, n: u32) -> u8 {
    rank_in(shape, sort_key, id, n, &mut Vec::with_capacity(sort_key.len() + id.len() + 8))
}

/// The same, with room that is used again and again.
pub(super) fn rank_in(
    shape: &ShapeKey,
    sort_key: &[u8],
    id: &str,
    n: u32,
    identity: &mut Vec<u8>,
) -> u8 {
    identity.clear();
    identity.extend_from_slice(sort_key);
    key::push_bytes(identity, id.as_bytes());
    key::push_number(identity, u64::from(n));
    let hash = blake3::keyed_hash(&shape.0, identity);
    let bits = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes"));
    u8::try_from(bits.trailing_zeros() / BITS).map_or(TOP, |rank| rank.min(TOP))
}

/// Cuts the elements of one level into segments; tells of each whether it begins one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Splitter {
    /// Of the entries.
    level: u8,
    /// Elements since the run began: at a row of enough rank, or at the beginning of the level.
    pub(super) in_run: u32,
    pub(super) is_first: bool,
}

/// A segment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    No,
    /// Under the key of this element.
    Here,
    /// Under the empty key, since nothing of the level is before it.
    AtTheBeginning,
}

impl Splitter {
    /// `is_first`: whether nothing of the level comes before. Else the first element has the rank.
    pub(super) fn new(level: u8, is_first: bool) -> Self {
        Self { level, in_run: 0, is_first }
    }

    pub(super) fn next(&mut self, rank: u8) -> Begins {
        let is_natural = rank >= self.level;
        if is_natural {
            self.in_run = 0;
        }
        let begins = if !self.in_run.is_multiple_of(FORCED) {
            Begins::No
        } else if self.is_first && !is_natural {
            Begins::AtTheBeginning
        } else {
            Begins::Here
        };
        self.is_first = false;
        self.in_run += 1;
        begins
    }
}
