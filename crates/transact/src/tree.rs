//! JSON of which parts are changed: opened only where somebody looks, so that all else keeps its spelling.

use std::borrow::Cow;

use settle_model::json::{elements, members, unescape, write_string};

/// One value. What has not been looked into is the text that was sent.
#[derive(Debug, Clone)]
pub(crate) enum Tree<'a> {
    Text(Cow<'a, [u8]>),
    Object(Vec<Member<'a>>),
    Array(Vec<Self>),
}

#[derive(Debug, Clone)]
pub(crate) struct Member<'a> {
    /// As it stands between its quotes.
    key: Cow<'a, str>,
    pub(crate) value: Tree<'a>,
}

impl<'a> Tree<'a> {
    /// `json` is minified.
    pub(crate) fn new(json: &'a [u8]) -> Self {
        Self::Text(Cow::Borrowed(json))
    }

    pub(crate) fn owned(json: Vec<u8>) -> Self {
        Self::Text(Cow::Owned(json))
    }

    /// Its members, if it is an object.
    pub(crate) fn object(&mut self) -> Option<&mut Vec<Member<'a>>> {
        self.open();
        match self {
            Self::Object(members) => Some(members),
            Self::Text(_) | Self::Array(_) => None,
        }
    }

    /// Its elements, if it is an array.
    pub(crate) fn array(&mut self) -> Option<&mut Vec<Self>> {
        self.open();
        match self {
            Self::Array(elements) => Some(elements),
            Self::Text(_) | Self::Object(_) => None,
        }
    }

    /// The member of this name of an object, or the element at this place of an array.
    pub(crate) fn get(&mut self, name: &str) -> Option<&mut Self> {
        self.open();
        match self {
            Self::Object(members) => {
                members.iter_mut().find(|it| it.is_called(name)).map(|it| &mut it.value)
            }
            Self::Array(elements) => elements.get_mut(place(name)?),
            Self::Text(_) => None,
        }
    }

    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text),
            Self::Object(members) => {
                out.push(b'{');
                for (at, Member { key, value }) in members.iter().enumerate() {
                    out.extend_from_slice(if at > 0 { b",\"" } else { b"\"" });
                    out.extend_from_slice(key.as_bytes());
                    out.extend_from_slice(b"\":");
                    value.write_to(out);
                }
                out.push(b'}');
            }
            Self::Array(elements) => {
                out.push(b'[');
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    element.write_to(out);
                }
                out.push(b']');
            }
        }
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_to(&mut out);
        out
    }

    /// Bytes that [`to_json`](Self::to_json) has, at most.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Object(members) => {
                2 + members.iter().map(|it| it.key.len() + 4 + it.value.bytes()).sum::<usize>()
            }
            Self::Array(elements) => 2 + elements.iter().map(|it| it.bytes() + 1).sum::<usize>(),
        }
    }

    /// Arrays and objects inside each other.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::Text(text) => depth_of(text),
            Self::Object(members) => {
                1 + members.iter().map(|it| it.value.depth()).max().unwrap_or(0)
            }
            Self::Array(elements) => 1 + elements.iter().map(Self::depth).max().unwrap_or(0),
        }
    }

    fn open(&mut self) {
        let Self::Text(text) = self else { return };
        let opened = match text {
            Cow::Borrowed(text) => opened(text, Cow::Borrowed, Cow::Borrowed),
            Cow::Owned(text) => {
                opened(text, |key| Cow::Owned(key.to_owned()), |value| Cow::Owned(value.to_vec()))
            }
        };
        if let Some(opened) = opened {
            *self = opened;
        }
    }
}

fn opened<'t, 'a>(
    text: &'t [u8],
    key: impl Fn(&'t str) -> Cow<'a, str>,
    value: impl Fn(&'t [u8]) -> Cow<'a, [u8]>,
) -> Option<Tree<'a>> {
    match text.first() {
        Some(b'{') => {
            let members = members(text)
                .map(|(name, text)| Member { key: key(name), value: Tree::Text(value(text)) });
            Some(Tree::Object(members.collect()))
        }
        Some(b'[') => {
            Some(Tree::Array(elements(text).map(|text| Tree::Text(value(text))).collect()))
        }
        Some(_) | None => None,
    }
}

impl<'a> Member<'a> {
    pub(crate) fn new(name: &str, value: Tree<'a>) -> Self {
        let mut quoted = Vec::with_capacity(name.len() + 2);
        write_string(&mut quoted, name);
        let key = String::from_utf8(quoted).expect("text stays text when it is escaped");
        Self { key: Cow::Owned(key[1..key.len() - 1].to_owned()), value }
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        *self.key == *name || self.key.contains('\\') && unescape(&self.key) == name
    }
}

/// A place in an array, as RFC 6901 spells it.
pub(crate) fn place(name: &str) -> Option<usize> {
    let canonical = name == "0" || !name.starts_with('0');
    let digits = canonical && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if digits { name.parse().ok() } else { None }
}

/// Arrays and objects inside each other in a minified text.
pub(crate) fn depth_of(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut at) = (0_usize, 0, 0);
    while let Some(&byte) = json.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(&byte) = json.get(at) {
                    at += if byte == b'\\' { 2 } else { 1 };
                    if byte == b'"' {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}
