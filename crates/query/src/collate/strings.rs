//! Sort keys of strings, by the Unicode collation algorithm with CLDR's root order.
//!
//! Most keys are ASCII, for which the collator's general machine is ten times too slow. What it does to
//! them is simple: each character has a primary weight of up to three bytes, the same secondary weight
//! as all others, and one of few tertiary weights; runs of equal weights are written as counts, and a lead
//! byte that is the same as the one before is left out where the collator says so. The table of weights
//! is asked of the collator itself when it is first needed, so it cannot differ from it, and a property
//! test compares whole keys. A character whose weights are not that simple goes the general way.
//!
//! Source: `CollationKeys::writeSortKeyUpToQuaternary` of ICU, and its translation in `icu_collator`.

use std::sync::LazyLock;

use icu_collator::{CollatorBorrowed, CollatorPreferences, options::CollatorOptions};
use settle_model::json;

const LEVEL_SEPARATOR: u8 = 1;
const MERGE_SEPARATOR: u8 = 2;
const COMPRESSION_LOW: u8 = 3;
const COMPRESSION_HIGH: u8 = 0xFF;
/// The weight that most characters have on the second and third level.
const COMMON: u8 = 5;
/// The longest run of common weights that one byte counts.
const SECONDARY_RUN: usize = 0x21;
const TERTIARY_RUN: usize = 0x61;

static COLLATOR: LazyLock<CollatorBorrowed<'static>> = LazyLock::new(|| {
    CollatorBorrowed::try_new(CollatorPreferences::default(), CollatorOptions::default())
        .expect("the root collation is compiled in")
});

static ASCII: LazyLock<[Weights; 128]> = LazyLock::new(|| {
    let mut table = [Weights::GENERAL; 128];
    for (byte, weights) in (0_u8..).zip(table.iter_mut()) {
        *weights = Weights::of(char::from(byte)).unwrap_or(Weights::GENERAL);
    }
    table
});

/// What the collator makes of one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weights {
    primary: [u8; 4],
    /// 0 of a character that is ignored, which then has no other weight either.
    primary_length: u8,
    /// The lead byte is left out after a character with the same one.
    compressible: bool,
    /// [`COMMON`], or a weight that is written for itself.
    tertiary: u8,
    /// The string must go the general way.
    general: bool,
}

/// Appends the sort key of the string that stands in JSON as `raw`.
pub(super) fn push_collated(out: &mut Vec<u8>, raw: &[u8]) {
    if memchr::memchr(b'\\', raw).is_some() {
        let mut text = Vec::with_capacity(raw.len());
        json::unescape_into(raw, &mut text);
        push_text(out, &text);
    } else {
        push_text(out, raw);
    }
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    if !push_ascii(out, text, &ASCII) {
        push_general(out, text);
    }
}

fn push_general(out: &mut Vec<u8>, text: &[u8]) {
    let Ok(()) = COLLATOR.write_sort_key_utf8_to(text, out);
}

/// Appends the key of a string that is all ASCII; otherwise leaves `out` as it was and says so.
fn push_ascii(out: &mut Vec<u8>, text: &[u8], table: &[Weights; 128]) -> bool {
    let from = out.len();
    out.reserve(text.len() * 2 + 8);
    let mut lead = 0; // of the last primary weight, where it is compressible
    let mut count = 0;
    let mut plain = true;
    for &byte in text {
        let Some(weights) = table.get(usize::from(byte)).filter(|it| !it.general) else {
            out.truncate(from);
            return false;
        };
        if weights.primary_length == 0 {
            continue;
        }
        count += 1;
        plain &= weights.tertiary == COMMON;
        let first = weights.primary[0];
        if !weights.compressible || first != lead {
            if lead != 0 {
                if first > lead {
                    out.push(COMPRESSION_HIGH);
                } else if first > MERGE_SEPARATOR {
                    out.push(COMPRESSION_LOW);
                }
            }
            out.push(first);
            lead = if weights.compressible { first } else { 0 };
        }
        out.extend_from_slice(&weights.primary[1..usize::from(weights.primary_length)]);
    }
    out.push(LEVEL_SEPARATOR);
    push_run(out, count, SECONDARY_RUN, Next::Lower);
    out.push(LEVEL_SEPARATOR);
    if plain {
        push_run(out, count, TERTIARY_RUN, Next::Lower);
    } else {
        push_tertiaries(out, text, table);
    }
    true
}

fn push_tertiaries(out: &mut Vec<u8>, text: &[u8], table: &[Weights; 128]) {
    let mut run = 0;
    for &byte in text {
        let weights = table[usize::from(byte)];
        if weights.primary_length == 0 {
            continue;
        }
        if weights.tertiary == COMMON {
            run += 1;
        } else {
            push_run(out, run, TERTIARY_RUN, Next::Higher);
            run = 0;
            out.push(weights.tertiary);
        }
    }
    push_run(out, run, TERTIARY_RUN, Next::Lower);
}

/// What follows a run of common weights. A long run before a lower weight, or the end, is greater
/// than a short one; before a higher weight it is less.
enum Next {
    Lower,
    Higher,
}

fn push_run(out: &mut Vec<u8>, mut count: usize, longest: usize, next: Next) {
    if count == 0 {
        return;
    }
    let longest_byte = u8::try_from(longest).expect("a run's length fits a byte");
    count -= 1;
    while count >= longest {
        out.push(COMMON + longest_byte - 1);
        count -= longest;
    }
    let rest = u8::try_from(count).expect("less than the longest run");
    out.push(match next {
        Next::Lower => COMMON + rest,
        Next::Higher => COMMON + 2 * (longest_byte - 1) - rest,
    });
}

impl Weights {
    const GENERAL: Self = Self {
        primary: [0; 4],
        primary_length: 0,
        compressible: false,
        tertiary: 0,
        general: true,
    };

    /// Reads the weights off the keys of the character once and twice. `None` where they are not
    /// what the fast way can write.
    fn of(character: char) -> Option<Self> {
        let once = general_key(&String::from(character));
        let mut levels = once.split(|&byte| byte == LEVEL_SEPARATOR);
        let (first, second, third) = (levels.next()?, levels.next()?, levels.next()?);
        if levels.next().is_some() {
            return None;
        }
        let &[tertiary] = third else {
            let ignored = once == [LEVEL_SEPARATOR, LEVEL_SEPARATOR];
            return ignored.then_some(Self { general: false, ..Self::GENERAL });
        };
        if second != [COMMON] || !(1..=4).contains(&first.len()) {
            return None;
        }
        let mut primary = [0; 4];
        primary[..first.len()].copy_from_slice(first);
        let twice = general_key(&String::from_iter([character, character]));
        let compressible = if twice.starts_with(&[first, &first[1..], &[LEVEL_SEPARATOR]].concat())
        {
            true
        } else if twice.starts_with(&[first, first, &[LEVEL_SEPARATOR]].concat()) {
            false
        } else {
            return None;
        };
        let primary_length = u8::try_from(first.len()).ok()?;
        Some(Self { primary, primary_length, compressible, tertiary, general: false })
    }
}

fn general_key(text: &str) -> Vec<u8> {
    let mut key = Vec::new();
    push_general(&mut key, text.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fast_key(text: &str) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        push_ascii(&mut key, text.as_bytes(), &ASCII).then_some(key)
    }

    #[test]
    fn every_ascii_character_goes_the_fast_way() {
        assert_eq!(ASCII.iter().filter(|it| it.general).count(), 0);
    }

    #[test]
    fn every_pair_of_ascii_characters_has_the_collators_key() {
        for first in 0..128_u8 {
            for second in 0..128_u8 {
                let text = String::from_iter([char::from(first), char::from(second)]);
                assert_eq!(fast_key(&text), Some(general_key(&text)), "{text:?}");
            }
        }
    }

    #[test]
    fn long_runs_of_one_weight_have_the_collators_key() {
        for length in 0..300 {
            for text in ["a", "A", "-", "aA", "\u{1}b"] {
                let text = text.repeat(length);
                assert_eq!(fast_key(&text), Some(general_key(&text)), "{text:?}");
                let text = text + "Z";
                assert_eq!(fast_key(&text), Some(general_key(&text)), "{text:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn ascii_strings_have_the_collators_key(text in "[\\x00-\\x7F]{0,80}") {
            prop_assert_eq!(fast_key(&text), Some(general_key(&text)));
        }

        #[test]
        fn words_have_the_collators_key(text in "([a-zA-Z]{1,9}[ _.:/-]?[0-9]{0,3}){0,9}") {
            prop_assert_eq!(fast_key(&text), Some(general_key(&text)));
        }

        #[test]
        fn no_key_has_a_zero_byte(text in any::<String>()) {
            prop_assert!(!general_key(&text).contains(&0));
        }
    }

    #[test]
    fn other_strings_go_the_general_way_and_leave_no_trace() {
        let mut out = b"before".to_vec();
        assert!(!push_ascii(&mut out, "naïve".as_bytes(), &ASCII));
        assert_eq!(out, b"before");
    }
}
