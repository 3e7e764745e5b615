//! JSON Pointer. Source: RFC 6901.

use crate::limits::PATH_NAMES_MAX;

/// Names from the outside in; none is the whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer(Vec<Box<str>>);

impl Pointer {
    /// `None` where the text is no pointer, or names more than a document can hold.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Some(rest) = text.strip_prefix('/') else {
            return text.is_empty().then(|| Self(Vec::new()));
        };
        let names = rest.split('/').map(unescape).collect::<Option<Vec<_>>>()?;
        (names.len() <= PATH_NAMES_MAX).then_some(Self(names))
    }

    pub(super) fn names(&self) -> &[Box<str>] {
        &self.0
    }

    /// Whether `inner` lies inside of what this points to.
    pub(super) fn holds(&self, inner: &Self) -> bool {
        inner.0.len() > self.0.len() && inner.0.starts_with(&self.0)
    }
}

fn unescape(name: &str) -> Option<Box<str>> {
    let mut rest = name;
    while let Some((_, after)) = rest.split_once('~') {
        if !after.starts_with(['0', '1']) {
            return None;
        }
        rest = after;
    }
    Some(name.replace("~1", "/").replace("~0", "~").into())
}
