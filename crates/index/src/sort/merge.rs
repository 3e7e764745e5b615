//! The rows of many runs as one order.

use std::path::Path;

use super::{RunReader, RunWriter, SortError, Sorted};

/// Runs, and rows that are in memory.
///
/// A binary heap over the indices of the sources, by hand: `std`'s owns its items, and a row's key is
/// borrowed from its source.
#[derive(Debug)]
pub(crate) struct Merge {
    runs: Vec<RunReader>,
    memory: Sorted,
    /// Sources that have a row, the least key first; `runs.len()` stands for memory.
    heap: Vec<usize>,
    /// Whether the first of the heap is to be advanced before it is looked at.
    is_taken: bool,
}

impl Merge {
    pub(crate) fn new(runs: Vec<RunReader>, memory: Sorted) -> Self {
        let heap = Vec::with_capacity(runs.len() + 1);
        let mut merge = Self { runs, memory, heap, is_taken: false };
        for source in 0..=merge.runs.len() {
            if merge.key(source).is_some() {
                merge.heap.push(source);
            }
        }
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sink(at);
        }
        merge
    }

    /// The key and the payload of the next row.
    pub(crate) fn next_row(&mut self) -> Result<Option<(&[u8], &[u8])>, SortError> {
        if std::mem::take(&mut self.is_taken) {
            let first = self.heap[0];
            // Memory advances when its row is taken.
            if let Some(run) = self.runs.get_mut(first) {
                run.advance()?;
            }
            if self.key(first).is_none() {
                self.heap.swap_remove(0);
            }
            self.sink(0);
        }
        let Some(&first) = self.heap.first() else { return Ok(None) };
        self.is_taken = true;
        Ok(match self.runs.get(first) {
            Some(run) => run.row(),
            None => self.memory.next_row(),
        })
    }

    /// Writes all that is left as one run; its rows and bytes.
    pub(crate) fn write(mut self, path: &Path) -> Result<(u64, u64), SortError> {
        let mut writer = RunWriter::create(path)?;
        while let Some((key, payload)) = self.next_row()? {
            writer.push(key, payload)?;
        }
        writer.finish()
    }

    fn key(&self, source: usize) -> Option<&[u8]> {
        match self.runs.get(source) {
            Some(run) => run.key(),
            None => self.memory.peek_key(),
        }
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len()
                    && self.key(self.heap[child]) < self.key(self.heap[least])
                {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }
}
