//! Random JSON values, with the spellings that make trouble.

use std::fmt::Write as _;

use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// As it is spelt.
    Number(String),
    String(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Value {
    pub(crate) fn to_json(&self) -> String {
        let mut json = String::new();
        self.write(&mut json);
        json
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => write!(out, "{value}").expect("a string takes all"),
            Self::Number(number) => out.push_str(number),
            Self::String(text) => write_string(out, text),
            Self::Array(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    element.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    write_string(out, key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// With an escape wherever JSON allows one and the character is odd.
fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(out, "\\{character}").expect("a string takes all"),
            '\0'..='\x1F' | 'q' => {
                write!(out, "\\u{:04x}", u32::from(character)).expect("a string takes all");
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// Few different leaves, so that values are often equal for a while.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number().prop_map(Value::Number),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(text(), inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Vec<_>>())
                .prop_shuffle()
                .prop_map(Value::Object),
        ]
    })
}

pub(crate) fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        (-3..4_i32).prop_map(|it| it.to_string()),
        any::<i64>().prop_map(|it| it.to_string()),
        any::<f64>()
            .prop_filter("JSON has no others", |it| it.is_finite())
            .prop_map(|it| format!("{it:e}")),
        (-300..300_i32).prop_map(|it| format!("{}", f64::from(it) / 100.0)),
    ]
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{0,2}", "[\\x00-\\x02aAbBqé e\u{301}-]{0,4}", any::<String>()]
}
