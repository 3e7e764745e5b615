//! What holds for every text, beside `serde_json`, which is not told about it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{borrow::Cow, fmt::Write as _};

use proptest::prelude::*;
use serde_json::Value;
use settle_model::json::{self, JsonProblem};

proptest! {
    #[test]
    fn minifying_changes_no_value((value, text) in value_and_text()) {
        let small = json::minify(text.as_bytes()).unwrap();
        prop_assert_eq!(parse(&small), value);
        prop_assert!(small.len() <= text.len());
    }

    #[test]
    fn minifying_twice_changes_nothing_more((_, text) in value_and_text()) {
        let small = json::minify(text.as_bytes()).unwrap().into_owned();
        let again = json::minify(&small).unwrap();
        prop_assert!(matches!(again, Cow::Borrowed(_)));
        prop_assert_eq!(&*again, &*small);
    }

    /// Whatever happens to a text, both find it right or both find it wrong, but for the rules that
    /// are stricter here.
    #[test]
    fn a_damaged_text_is_judged_as_serde_json_judges_it(
        (_, text) in value_and_text(),
        edits in prop::collection::vec(edit(), 0..4),
    ) {
        let mut text = text.into_bytes();
        for edit in edits {
            edit.apply(&mut text);
        }
        agree(&text)?;
    }

    #[test]
    fn fragments_in_any_order_are_judged_as_serde_json_judges_them(
        parts in prop::collection::vec(fragment(), 0..24),
    ) {
        agree(parts.concat().as_bytes())?;
    }

    #[test]
    fn a_written_string_reads_back(text in any::<String>()) {
        let mut out = Vec::new();
        json::write_string(&mut out, &text);
        prop_assert_eq!(parse(&out), Value::String(text.clone()));
        prop_assert_eq!(json::string_value(&out), Some(Cow::Borrowed(&*text)));
    }

    #[test]
    fn members_are_those_that_serde_json_finds((value, text) in value_and_text()) {
        let small = json::minify(text.as_bytes()).unwrap();
        let found: Vec<(String, Value)> = json::members(&small)
            .map(|(key, value)| (json::unescape(key).into_owned(), parse(value)))
            .collect();
        let expected = value.as_object().map_or(0, serde_json::Map::len);
        prop_assert_eq!(found.len(), expected);
        for (key, member) in found {
            prop_assert_eq!(&value[&key], &member);
        }
        let elements: Vec<Value> = json::elements(&small).map(parse).collect();
        prop_assert_eq!(elements, value.as_array().cloned().unwrap_or_default());
    }

    /// Readers of stored text meet only what was checked, but a mistake must not end the server.
    #[test]
    fn reading_what_was_never_checked_ends(text in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(json::members(&text).count() <= text.len());
        prop_assert!(json::elements(&text).count() <= text.len());
        json::unescape_into(&text, &mut Vec::new());
    }
}

fn parse(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

fn agree(text: &[u8]) -> Result<(), TestCaseError> {
    let theirs = serde_json::from_slice::<Value>(text);
    match (json::minify(text), &theirs) {
        (Ok(small), Ok(value)) => prop_assert_eq!(&parse(&small), value),
        (Err(_), Err(_)) => {}
        // It cannot hold integers that are longer than a double.
        (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("out of range"), "{error}"),
        (Err(error), Ok(_)) => prop_assert!(
            matches!(error.problem(), JsonProblem::DuplicateKey { .. }),
            "{error} in {}",
            String::from_utf8_lossy(text)
        ),
    }
    Ok(())
}

/// A value, and a text for it with white space and escapes as they come.
fn value_and_text() -> impl Strategy<Value = (Value, String)> {
    (value(), any::<u64>()).prop_map(|(value, seed)| {
        let mut text = String::new();
        write(&mut text, &value, &mut Dice(seed | 1));
        (value, text)
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        (-1000_i32..1000).prop_map(|it| Value::from(f64::from(it) / 8.0)),
        any::<String>().prop_map(Value::String),
        "[a-z _]{0,24}".prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        let key = prop_oneof!["[a-c_]{0,3}", "[a-z]{0,20}", any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn write(text: &mut String, value: &Value, dice: &mut Dice) {
    space(text, dice);
    match value {
        Value::String(string) => write_string(text, string, dice),
        Value::Array(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write(text, element, dice);
            }
            space(text, dice);
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                space(text, dice);
                write_string(text, key, dice);
                space(text, dice);
                text.push(':');
                write(text, value, dice);
            }
            space(text, dice);
            text.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
    }
    space(text, dice);
}

fn write_string(text: &mut String, string: &str, dice: &mut Dice) {
    text.push('"');
    for character in string.chars() {
        if character < ' ' || matches!(character, '"' | '\\') || dice.roll(8) == 0 {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(text, "\\u{unit:04x}").unwrap();
            }
        } else {
            text.push(character);
        }
    }
    text.push('"');
}

fn space(text: &mut String, dice: &mut Dice) {
    while dice.roll(4) == 0 {
        text.push([' ', '\n', '\r', '\t'][usize::try_from(dice.roll(4)).unwrap()]);
    }
}

#[derive(Debug, Clone)]
enum Edit {
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Replace(prop::sample::Index, u8),
    Cut(prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]:,\"\\ u0e.-+tfn"[..])];
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Edit::Remove),
        (any::<prop::sample::Index>(), byte.clone()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        (any::<prop::sample::Index>(), byte).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        any::<prop::sample::Index>().prop_map(Edit::Cut),
    ]
}

impl Edit {
    fn apply(&self, text: &mut Vec<u8>) {
        match self {
            Self::Insert(at, byte) => text.insert(at.index(text.len() + 1), *byte),
            Self::Remove(_) | Self::Replace(..) | Self::Cut(_) if text.is_empty() => {}
            Self::Remove(at) => drop(text.remove(at.index(text.len()))),
            Self::Replace(at, byte) => {
                let at = at.index(text.len());
                text[at] = *byte;
            }
            Self::Cut(at) => text.truncate(at.index(text.len())),
        }
    }
}

fn fragment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"b\":",
        "\"\\u0061\"",
        "\\ud83d",
        "\\ude00",
        "\\n",
        "1",
        "-",
        "0",
        ".5",
        "e",
        "E+3",
        "e400",
        "true",
        "false",
        "null",
        " ",
        "\n",
        "é",
    ])
}
