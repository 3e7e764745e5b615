//! What a process wrote and synced, and what a disk may hold after the power went at some instant.
//!
//! A record is: kind (u8), offset (u64, native), length (u32, native), and that many bytes.

use std::{collections::BTreeMap, fs, path::Path};

/// The least unit that a disk writes whole.
const SECTOR: usize = 512;

const WRITE: u8 = 1;
const SYNC: u8 = 2;
const SYNC_LAST_WRITE: u8 = 3;
const LENGTH: u8 = 4;
/// Made by the workload itself: writer and step, once a commit was answered.
pub(crate) const ACKNOWLEDGED: u8 = 5;

#[derive(Debug)]
enum Record {
    Write {
        offset: usize,
        bytes: Vec<u8>,
    },
    /// Everything written before is on the disk.
    Sync,
    /// The write before this is; others may not be.
    SyncLastWrite,
    Acknowledged {
        writer: usize,
        step: u64,
    },
}

pub(crate) struct Recording {
    /// The data file as it was at the start, synced.
    start: Vec<u8>,
    records: Vec<Record>,
}

/// Steps that were answered before an instant, by writer.
pub(crate) type Acknowledged = BTreeMap<usize, u64>;

/// A disk after the power went.
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) acknowledged: Acknowledged,
}

pub(crate) fn acknowledgement(writer: usize, step: u64) -> Vec<u8> {
    let mut record = vec![ACKNOWLEDGED];
    record.extend_from_slice(&step.to_ne_bytes());
    record.extend_from_slice(&1_u32.to_ne_bytes());
    record.push(u8::try_from(writer).expect("few writers"));
    record
}

impl Recording {
    pub(crate) fn read(start: Vec<u8>, log: &Path) -> Self {
        let log = fs::read(log).expect("the recorder wrote a log");
        let mut rest = log.as_slice();
        let mut records = Vec::new();
        while !rest.is_empty() {
            let (head, after) = rest.split_at(13);
            let offset = u64::from_ne_bytes(head[1..9].try_into().expect("eight bytes"));
            let length = u32::from_ne_bytes(head[9..].try_into().expect("four bytes"));
            let (bytes, after) = after.split_at(length as usize);
            rest = after;
            records.push(match head[0] {
                WRITE => Record::Write {
                    offset: usize::try_from(offset).expect("a small file"),
                    bytes: bytes.to_vec(),
                },
                SYNC => Record::Sync,
                SYNC_LAST_WRITE => Record::SyncLastWrite,
                ACKNOWLEDGED => Record::Acknowledged { writer: bytes[0].into(), step: offset },
                LENGTH => panic!("the data file is never cut or stretched"),
                kind => panic!("a record of kind {kind}"),
            });
        }
        Self { start, records }
    }

    pub(crate) fn count(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn syncs(&self) -> usize {
        let is_sync = |record: &&Record| matches!(record, Record::Sync | Record::SyncLastWrite);
        self.records.iter().filter(is_sync).count()
    }

    /// Visits what the disk may hold after each prefix of the records: all that was written; only
    /// what was synced; and `subsets` times, that with some of the rest, whole or by sectors.
    /// Stops when the visitor returns `false`.
    pub(crate) fn images(
        &self,
        subsets: usize,
        random: &mut Random,
        mut visit: impl FnMut(Image) -> bool,
    ) {
        let mut synced = self.start.clone();
        let mut pending: Vec<(usize, &[u8])> = Vec::new();
        let mut acknowledged = Acknowledged::new();
        for (instant, record) in self.records.iter().enumerate() {
            match record {
                Record::Write { offset, bytes } => pending.push((*offset, bytes)),
                Record::Sync => {
                    for (offset, bytes) in pending.drain(..) {
                        put(&mut synced, offset, bytes);
                    }
                }
                Record::SyncLastWrite => {
                    let (offset, bytes) = pending.pop().expect("a write came before");
                    put(&mut synced, offset, bytes);
                }
                Record::Acknowledged { writer, step } => {
                    acknowledged.insert(*writer, *step);
                }
            }
            let mut show = |kind: &str, bytes: Vec<u8>| {
                let name = format!("{kind}, {} unsynced, after record {instant}", pending.len());
                visit(Image { name, bytes, acknowledged: acknowledged.clone() })
            };
            if !show("only what was synced", synced.clone()) {
                return;
            }
            if pending.is_empty() {
                continue;
            }
            let mut all = synced.clone();
            for (offset, bytes) in &pending {
                put(&mut all, *offset, bytes);
            }
            if !show("all that was written", all) {
                return;
            }
            for subset in 0..subsets {
                let mut some = synced.clone();
                for (offset, bytes) in &pending {
                    // By turns: whole writes, pages, sectors.
                    let unit = [bytes.len(), 8 * SECTOR, SECTOR][subset % 3];
                    for (index, part) in bytes.chunks(unit).enumerate() {
                        if random.below(2) == 0 {
                            put(&mut some, offset + index * unit, part);
                        }
                    }
                }
                if !show("some of what was written", some) {
                    return;
                }
            }
        }
    }
}

fn put(image: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(bytes);
}

/// Small, and the same for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (self.0 >> 33) % bound
    }
}
