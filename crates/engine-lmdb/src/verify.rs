//! Checking a whole data file without trusting anything in it.
//!
//! LMDB believes its pages: a flipped bit in a header can end the process, one in a branch can hide a
//! row from a look-up. Values carry checksums, pages do not. So this walks the file with plain reads
//! and checks what LMDB takes for granted: that each page is where it says, is used once, has its
//! nodes inside it, that keys lie between the separators above them, and that the counts of the meta
//! page come out. What it accepts, LMDB reads safely and completely.

mod page;

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use settle_engine::limits::VALUE_LENGTH_MAX;
use thiserror::Error;

use crate::{
    OpenError, OpenOptions,
    folder::{DATA_FILE, Folder, check_format},
};
use page::{Contents, Meta, Node, PAGE, Page, Tree};

/// A data file without a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    pub rows: u64,
    pub pages: u64,
    pub free_pages: u64,
}

/// The first fault that was found.
#[derive(Debug, Error)]
pub enum VerifyError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("could not read page {page} of {}", path.display())]
    Read { path: PathBuf, page: u64, source: io::Error },
    #[error("page {page} of {} is damaged: {problem}", path.display())]
    Page { path: PathBuf, page: u64, problem: &'static str },
    #[error("the value of key {} is damaged", key.escape_ascii())]
    Row { key: Vec<u8> },
}

/// Checks the store in `dir`, which nobody may have open; `is_sound` checks each row.
pub fn verify(
    dir: &Path,
    is_sound: impl FnMut(&[u8], &[u8]) -> bool,
) -> Result<Verified, VerifyError> {
    let folder = Folder::hold(dir, OpenOptions::default().lock_wait)?;
    let dir = folder.dir.clone();
    if !check_format(&dir)? {
        let reason = "engine.format is missing";
        return Err(OpenError::NotAStore { dir, reason }.into());
    }
    let data = DataFile::open(&dir.join(DATA_FILE))?;
    let meta = data.newest_meta()?;
    data.walk(&meta, is_sound)
}

/// Checks the two meta pages, at little cost: a damaged one could take the store back by a commit.
pub(crate) fn check_metas(path: &Path) -> Result<(), VerifyError> {
    DataFile::open(path)?.newest_meta().map(drop)
}

/// Checks what a commit left while a reader pins its pages; `meta` is its meta page.
pub(crate) fn verify_pinned(
    path: &Path,
    meta: &PinnedMeta,
    is_sound: impl FnMut(&[u8], &[u8]) -> bool,
) -> Result<Verified, VerifyError> {
    DataFile::open(path)?.walk(&meta.0, is_sound)
}

/// The meta page of a commit, as long as it has not been overwritten by a later one.
pub(crate) struct PinnedMeta(Meta);

impl PinnedMeta {
    pub(crate) fn read(path: &Path, commit: u64) -> Result<Option<Self>, VerifyError> {
        let meta = DataFile::open(path)?.meta(commit & 1)?;
        Ok((meta.commit == commit).then_some(Self(meta)))
    }
}

struct DataFile {
    file: File,
    path: PathBuf,
}

impl DataFile {
    fn open(path: &Path) -> Result<Self, VerifyError> {
        let file = File::open(path).map_err(crate::folder::failing("open", path))?;
        Ok(Self { file, path: path.to_path_buf() })
    }

    fn meta(&self, page: u64) -> Result<Meta, VerifyError> {
        let bytes = self.read(page, 1)?;
        let meta = Meta::parse(&bytes).map_err(|problem| self.damaged(page, problem))?;
        // Each commit writes the meta page that the one before did not.
        if meta.commit != 0 && meta.commit & 1 != page {
            return Err(self.damaged(page, "its commit belongs on the other meta page"));
        }
        Ok(meta)
    }

    fn newest_meta(&self) -> Result<Meta, VerifyError> {
        let (even, odd) = (self.meta(0)?, self.meta(1)?);
        if even.commit.abs_diff(odd.commit) > 1 {
            return Err(self.damaged(0, "the two meta pages are of commits far apart"));
        }
        Ok(if even.commit > odd.commit { even } else { odd })
    }

    fn walk(
        &self,
        meta: &Meta,
        is_sound: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<Verified, VerifyError> {
        let mut walk = Walk {
            data: self,
            last_page: meta.last_page,
            used: Used::default(),
            free_pages: 0,
            is_sound,
        };
        walk.tree(&meta.rows, Contents::Rows)?;
        walk.tree(&meta.free, Contents::FreePages)?;
        Ok(Verified {
            rows: meta.rows.entries,
            pages: meta.last_page + 1,
            free_pages: walk.free_pages,
        })
    }

    fn read(&self, page: u64, count: usize) -> Result<Vec<u8>, VerifyError> {
        let mut bytes = vec![0; count * PAGE];
        match self.file.read_exact_at(&mut bytes, page * PAGE as u64) {
            Ok(()) => Ok(bytes),
            Err(source) => Err(VerifyError::Read { path: self.path.clone(), page, source }),
        }
    }

    fn damaged(&self, page: u64, problem: &'static str) -> VerifyError {
        VerifyError::Page { path: self.path.clone(), page, problem }
    }
}

struct Walk<'d, F> {
    data: &'d DataFile,
    last_page: u64,
    used: Used,
    free_pages: u64,
    is_sound: F,
}

/// What a tree turned out to consist of.
#[derive(Default)]
struct Counts {
    branch_pages: u64,
    leaf_pages: u64,
    overflow_pages: u64,
    entries: u64,
}

/// Keys below a branch: at or above the first, below the second.
#[derive(Clone, Copy)]
struct Between<'k>(Option<&'k [u8]>, Option<&'k [u8]>);

impl<F: FnMut(&[u8], &[u8]) -> bool> Walk<'_, F> {
    fn tree(&mut self, tree: &Tree, contents: Contents) -> Result<(), VerifyError> {
        let mut counts = Counts::default();
        if let Some(root) = tree.root {
            self.subtree(root, tree.depth, Between(None, None), contents, &mut counts)?;
        }
        let is_as_counted = counts.branch_pages == tree.branch_pages
            && counts.leaf_pages == tree.leaf_pages
            && counts.overflow_pages == tree.overflow_pages
            && counts.entries == tree.entries
            && (tree.root.is_some() || tree.depth == 0);
        if is_as_counted { Ok(()) } else { Err(self.data.damaged(0, "its counts are wrong")) }
    }

    fn subtree(
        &mut self,
        number: u64,
        depth: u16,
        between: Between<'_>,
        contents: Contents,
        counts: &mut Counts,
    ) -> Result<(), VerifyError> {
        self.take(number, 1)?;
        let bytes = self.data.read(number, 1)?;
        let damaged = |problem| self.data.damaged(number, problem);
        let page = Page::parse(number, &bytes).map_err(damaged)?;
        if page.is_leaf != (depth == 1) {
            return Err(damaged("it is at the wrong depth"));
        }
        let nodes = page.nodes(contents).map_err(damaged)?;
        check_keys(&nodes, page.is_leaf, between, contents).map_err(damaged)?;
        if page.is_leaf {
            counts.leaf_pages += 1;
            counts.entries += nodes.len() as u64;
            return nodes
                .iter()
                .try_for_each(|node| self.leaf_node(number, node, contents, counts));
        }
        counts.branch_pages += 1;
        for (index, node) in nodes.iter().enumerate() {
            let from = if index == 0 { between.0 } else { Some(node.key) };
            let to = nodes.get(index + 1).map(|next| next.key).or(between.1);
            self.subtree(node.child, depth - 1, Between(from, to), contents, counts)?;
        }
        Ok(())
    }

    fn leaf_node(
        &mut self,
        number: u64,
        node: &Node<'_>,
        contents: Contents,
        counts: &mut Counts,
    ) -> Result<(), VerifyError> {
        let overflow;
        let value = match node.value {
            Some(value) => value,
            None if contents == Contents::Rows && node.length > VALUE_LENGTH_MAX => {
                return Err(self.data.damaged(number, "a value has an impossible length"));
            }
            None => {
                let damaged = |problem| self.data.damaged(node.child, problem);
                let length = page::overflow_count(node.length);
                overflow = self.data.read(node.child, length)?;
                let (value, count) =
                    page::overflow_value(node.child, &overflow, node.length).map_err(damaged)?;
                self.take(node.child, count)?;
                counts.overflow_pages += count;
                value
            }
        };
        match contents {
            Contents::Rows if (self.is_sound)(node.key, value) => Ok(()),
            Contents::Rows => Err(VerifyError::Row { key: node.key.to_vec() }),
            Contents::FreePages => {
                let pages =
                    page::free_list(value).map_err(|problem| self.data.damaged(number, problem))?;
                for page in pages {
                    self.take(page, 1)?;
                    self.free_pages += 1;
                }
                Ok(())
            }
        }
    }

    /// Notes that the pages are in use, which they must not have been yet.
    fn take(&mut self, first: u64, count: u64) -> Result<(), VerifyError> {
        for page in first..first.saturating_add(count) {
            if page < 2 || page > self.last_page {
                return Err(self.data.damaged(first, "it is named, but lies outside the file"));
            }
            if !self.used.insert(page) {
                return Err(self.data.damaged(page, "it is used twice"));
            }
        }
        Ok(())
    }
}

fn check_keys(
    nodes: &[Node<'_>],
    is_leaf: bool,
    Between(from, to): Between<'_>,
    contents: Contents,
) -> Result<(), &'static str> {
    // The first key of a branch stands for everything below the second.
    let keys = nodes.iter().skip(usize::from(!is_leaf)).map(|node| node.key);
    let mut last: Option<&[u8]> = None;
    for key in keys {
        let is_above = last.is_none_or(|last| contents.order(last, key).is_lt());
        let is_inside = from.is_none_or(|from| contents.order(from, key).is_le())
            && to.is_none_or(|to| contents.order(key, to).is_lt());
        if !is_above || !is_inside {
            return Err("its keys are out of order");
        }
        last = Some(key);
    }
    Ok(())
}

/// A bit for each page that was met, 64 to a word; words without any are not kept, so that a damaged
/// number costs no memory.
#[derive(Default)]
struct Used(HashMap<u64, u64>);

impl Used {
    /// Whether it was not there yet.
    fn insert(&mut self, page: u64) -> bool {
        let word = self.0.entry(page / 64).or_default();
        let bit = 1 << (page % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}
