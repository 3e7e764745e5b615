//! Matching of paths, segment by segment.
//!
//! A literal beats a name, a name beats the rest of a path, and a choice that leads nowhere is taken
//! back. A literal also matches its percent-encoded spelling, so `/%5Fup` is `/_up` and no route can be
//! reached around another.

use std::{borrow::Cow, ops::Range};

use percent_encoding::percent_decode_str;

use crate::limits::CAPTURES_MAX;

/// Where in the path the open parts of a route are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Captures {
    /// The name of the account whose server is asked, without its tilde.
    pub(crate) account: Option<Range<usize>>,
    ranges: [Range<usize>; CAPTURES_MAX],
    count: usize,
}

impl Captures {
    /// The n-th; the table says how many a route has.
    pub(crate) fn get(&self, n: usize) -> Range<usize> {
        debug_assert!(n < self.count, "the route has {} open parts", self.count);
        self.ranges[n].clone()
    }

    fn push(&mut self, range: Range<usize>) {
        self.ranges[self.count] = range;
        self.count += 1;
    }

    fn pop(&mut self) {
        self.count -= 1;
        self.ranges[self.count] = Range::default();
    }
}

/// All patterns, by segment.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    literals: Vec<(&'static str, Self)>,
    name: Option<Box<Self>>,
    /// The route of what is left of a path.
    rest: Option<usize>,
    /// The route of a path that ends here.
    route: Option<usize>,
}

impl Tree {
    pub(crate) fn add(&mut self, pattern: &'static str, route: usize) {
        let mut node = self;
        let mut open = 0;
        for segment in pattern.split('/').filter(|segment| !segment.is_empty()) {
            match segment.strip_prefix('{') {
                Some(name) => {
                    open += 1;
                    assert!(open <= CAPTURES_MAX, "{pattern} has more open parts than captures");
                    if name.ends_with("...}") {
                        assert!(node.rest.is_none(), "{pattern} is there twice");
                        node.rest = Some(route);
                        return;
                    }
                    node = node.name.get_or_insert_default();
                }
                None => {
                    let at = node.literals.iter().position(|(literal, _)| *literal == segment);
                    let at = at.unwrap_or_else(|| {
                        node.literals.push((segment, Self::default()));
                        node.literals.len() - 1
                    });
                    node = &mut node.literals[at].1;
                }
            }
        }
        assert!(node.route.is_none(), "{pattern} is there twice");
        node.route = Some(route);
    }

    /// Below a first segment that begins with a tilde, everything is matched as if it were not there:
    /// it names the account whose server is asked.
    pub(crate) fn find(&self, path: &str) -> Option<(usize, Captures)> {
        let account = account(path);
        let from = account.as_ref().map_or(0, |account| account.end);
        let mut captures = Captures { account, ..Captures::default() };
        let route = self.find_from(path, from, &mut captures)?;
        Some((route, captures))
    }

    fn find_from(&self, path: &str, from: usize, captures: &mut Captures) -> Option<usize> {
        let Some(segment) = next_segment(path, from) else { return self.route };
        let raw = &path[segment.clone()];
        if !self.literals.is_empty() {
            let text = decoded(raw);
            if let Some((_, node)) = self.literals.iter().find(|(literal, _)| *literal == text)
                && let Some(route) = node.find_from(path, segment.end, captures)
            {
                return Some(route);
            }
        }
        if let Some(node) = &self.name {
            captures.push(segment.clone());
            if let Some(route) = node.find_from(path, segment.end, captures) {
                return Some(route);
            }
            captures.pop();
        }
        let route = self.rest?;
        captures.push(segment.start..path.len());
        Some(route)
    }
}

fn account(path: &str) -> Option<Range<usize>> {
    let segment = next_segment(path, 0)?;
    let raw = &path.as_bytes()[segment.clone()];
    let tilde = match raw {
        [b'~', ..] => 1,
        [b'%', b'7', b'E' | b'e', ..] => 3,
        _ => return None,
    };
    (raw.len() > tilde).then(|| segment.start + tilde..segment.end)
}

fn next_segment(path: &str, from: usize) -> Option<Range<usize>> {
    let bytes = path.as_bytes();
    let start = from + bytes[from..].iter().position(|byte| *byte != b'/')?;
    let end = memchr::memchr(b'/', &bytes[start..]).map_or(bytes.len(), |at| start + at);
    Some(start..end)
}

fn decoded(raw: &str) -> Cow<'_, str> {
    if raw.contains('%') { percent_decode_str(raw).decode_utf8_lossy() } else { raw.into() }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    const PATTERNS: [&str; 9] = [
        "/",
        "/_up",
        "/_node/{node}/_config",
        "/{db}",
        "/{db}/_all_docs",
        "/{db}/_design/{name}",
        "/{db}/_design/{name}/{attachment...}",
        "/{db}/{id}",
        "/{db}/{id}/{attachment...}",
    ];

    fn tree() -> Tree {
        let mut tree = Tree::default();
        for (index, pattern) in PATTERNS.into_iter().enumerate() {
            tree.add(pattern, index);
        }
        tree
    }

    fn found(path: &str) -> String {
        let Some((route, captures)) = tree().find(path) else { return format!("{path} nowhere") };
        let open: Vec<_> = (0..captures.count).map(|n| &path[captures.get(n)]).collect();
        format!("{path} {} {}", PATTERNS[route], open.join(" "))
    }

    #[test]
    fn a_path_has_the_most_literal_route_that_takes_all_of_it() {
        let paths = [
            "/",
            "//",
            "/_up",
            "/_up/",
            "/%5Fup",
            "/_node/a/_config",
            "/_node/a/_other",
            "/a",
            "/a/",
            "/a%2Fb",
            "/a/_all_docs",
            "/a/_all_docs/x",
            "/a/_design/d",
            "/a/_design",
            "/a/_design%2Fd",
            "/a/_design/d/x/y",
            "//a//b//c//d/",
            "/a/b/c%2Fd",
            "/~a",
            "/~a/",
            "/~a/_up",
            "/~a/b/_all_docs",
            "/%7Ea%2Fb/c/_design/d",
            "/~",
        ];
        expect![[r#"
            / / 
            // / 
            /_up /_up 
            /_up/ /_up 
            /%5Fup /_up 
            /_node/a/_config /_node/{node}/_config a
            /_node/a/_other /{db}/{id}/{attachment...} _node a _other
            /a /{db} a
            /a/ /{db} a
            /a%2Fb /{db} a%2Fb
            /a/_all_docs /{db}/_all_docs a
            /a/_all_docs/x /{db}/{id}/{attachment...} a _all_docs x
            /a/_design/d /{db}/_design/{name} a d
            /a/_design /{db}/{id} a _design
            /a/_design%2Fd /{db}/{id} a _design%2Fd
            /a/_design/d/x/y /{db}/_design/{name}/{attachment...} a d x/y
            //a//b//c//d/ /{db}/{id}/{attachment...} a b c//d/
            /a/b/c%2Fd /{db}/{id}/{attachment...} a b c%2Fd
            /~a / 
            /~a/ / 
            /~a/_up /_up 
            /~a/b/_all_docs /{db}/_all_docs b
            /%7Ea%2Fb/c/_design/d /{db}/_design/{name} c d
            /~ /{db} ~"#]]
        .assert_eq(&paths.map(found).join("\n"));
    }

    proptest! {
        #[test]
        fn every_path_is_matched_without_a_panic_and_captures_lie_in_it(path in "/[a-b_/%F]{0,30}") {
            if let Some((_, captures)) = tree().find(&path) {
                for n in 0..captures.count {
                    prop_assert!(path.get(captures.get(n)).is_some());
                }
            }
        }
    }
}
