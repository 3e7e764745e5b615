//! Computing a tree anew from its rows, and comparing.

use std::collections::BTreeMap;

use settle_database::Direction;
use settle_engine::{Engine, Plan, Step, Visit, Visitor};
use thiserror::Error;

use super::{
    ShapeKey, Tree,
    cut::whole_key,
    element::{self, Element},
    error::TreeError,
    keys::{self, CUT, TOP},
    record::{self, RowParts},
    shape::{self, Begins, Splitter},
};

/// What a tree looks like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    pub rows: u64,
    /// Of level 1 first: for each segment, how many elements it has.
    pub segments: Vec<Vec<usize>>,
}

/// A tree is not what its rows make.
#[derive(Debug, Error)]
pub enum AuditError {
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("level {level}: {reason}")]
    Wrong { level: u8, reason: String },
}

impl Tree {
    /// Reads all and computes all anew: order, ranks, segments, counts, partials. For tests and for
    /// whoever doubts.
    pub async fn audit(&self, engine: &dyn Engine, shape: &ShapeKey) -> Result<Shape, AuditError> {
        let plan = Plan::new(vec![Step::Scan(self.all(Direction::Ascending))]);
        let all = All {
            tree: self.clone(),
            levels: vec![Vec::new(); usize::from(TOP) + 1],
            root: None,
            failure: None,
        };
        let mut all = engine.read_to_end(plan, all).await.map_err(TreeError::from)?;
        if let Some(error) = all.failure {
            return Err(error.into());
        }
        let rows = all.levels[0].len() as u64;
        check(0, all.root.unwrap_or_default() == rows && all.root != Some(0), || {
            format!("{rows} rows, the root says {:?}", all.root)
        })?;
        check_rows(&all.levels[0], shape)?;
        let mut found = Shape { rows, segments: Vec::new() };
        let mut elements: Vec<Element> = Vec::new();
        for (key, payload) in std::mem::take(&mut all.levels[0]) {
            elements.push(Element::row(&key, &payload, true)?);
        }
        for level in 1..=TOP {
            let mut stored: BTreeMap<Vec<u8>, Vec<u8>> =
                std::mem::take(&mut all.levels[usize::from(level)]).into_iter().collect();
            let mut segments: Vec<(Vec<u8>, u8, Vec<Element>)> = Vec::new();
            let mut splitter = Splitter::new(level, true);
            for element in elements {
                let (key, rank) = match splitter.next(element.rank) {
                    Begins::No => {
                        segments.last_mut().expect("a segment has begun").2.push(element);
                        continue;
                    }
                    Begins::Here => (element.key.clone(), element.rank),
                    Begins::AtTheBeginning => (Vec::new(), 0),
                };
                segments.push((key, rank, vec![element]));
            }
            let parts: Vec<&[Element]> = segments.iter().map(|it| &it.2[..]).collect();
            let partials = self.reducers.partials(&parts).await?;
            found.segments.push(parts.iter().map(|it| it.len()).collect());
            elements = Vec::new();
            for ((key, rank, of_segment), partials) in segments.iter().zip(partials) {
                let count = of_segment.iter().map(|element| element.count).sum();
                let payload = record::entry(*rank, count, &partials);
                let is = stored.remove(key);
                check(level, is.as_ref() == Some(&payload), || {
                    format!("the entry at {} is {is:?}, not {payload:?}", key.escape_ascii())
                })?;
                elements.push(Element::entry(key, &payload)?);
            }
            check(level, stored.is_empty(), || {
                let keys: Vec<String> =
                    stored.keys().map(|key| key.escape_ascii().to_string()).collect();
                format!("entries without a segment: {keys:?}")
            })?;
        }
        Ok(found)
    }
}

fn check_rows(rows: &[(Vec<u8>, Vec<u8>)], shape: &ShapeKey) -> Result<(), AuditError> {
    let mut last: Option<(Vec<u8>, Vec<u8>)> = None;
    for (key, payload) in rows {
        let parts = RowParts::parse(payload)?;
        let sort = key.get(..parts.sort_length).unwrap_or_default();
        let sort_key = match parts.tail {
            None => sort.to_vec(),
            Some(_) => whole_key(&sort[..CUT], payload, &parts),
        };
        let id = element::id(key, payload, &parts)?.into_owned();
        let n = keys::n_of(key, parts.sort_length)?;
        check(0, keys::row_key(sort, &id, n) == *key, || {
            format!("the row at {} is of another one", key.escape_ascii())
        })?;
        check(0, shape::rank(shape, &sort_key, &id, n) == parts.rank, || {
            format!("the row at {} has another rank", key.escape_ascii())
        })?;
        if let Some((before, label)) = &last {
            check(0, *before <= sort_key && (*before == sort_key) == (*label == sort), || {
                format!("the row at {} is out of order", key.escape_ascii())
            })?;
        }
        last = Some((sort_key, sort.to_vec()));
    }
    Ok(())
}

fn check(level: u8, holds: bool, reason: impl FnOnce() -> String) -> Result<(), AuditError> {
    if holds { Ok(()) } else { Err(AuditError::Wrong { level, reason: reason() }) }
}

struct All {
    tree: Tree,
    /// Row keys and payloads.
    levels: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
    root: Option<u64>,
    failure: Option<TreeError>,
}

impl Visitor for All {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let (level, row_key) = self.tree.split(key);
        let looked = record::open(key, value.unwrap_or_default()).and_then(|payload| {
            match self.levels.get_mut(usize::from(level)) {
                Some(level) => level.push((row_key.to_vec(), payload.to_vec())),
                None => self.root = Some(record::parse_root(payload)?),
            }
            Ok(())
        });
        match looked {
            Ok(()) => Visit::Next,
            Err(error) => {
                self.failure = Some(error);
                Visit::Stop
            }
        }
    }
}
