//! The *head* of a document: its leaves, winner first, the newest ancestors of each, and the
//! winner's body while there is room.
//!
//! | field | form |
//! |---|---|
//! | sequence | number: the document's newest change |
//! | created, updated | numbers, milliseconds |
//! | leaves | count, then each, winner first: |
//! | … revision | generation × 2 + deleted as a number, digest |
//! | … size | number: bytes of the JSON and of the attachments before compression |
//! | … body | 0 inline, then the length of the payload; or 1 record, then its number and length; plus 4 if there are attachments |
//! | chains | count; the first are those of the leaves, in the same order, each without the leaf itself; those of dead ends come after, each with the generation of its newest: |
//! | … revisions | count, then their digests, newest first |
//! | … parent | what the oldest was made from: |
//! | … 0 | nothing is known |
//! | … 1 | index of another chain, and how many steps below its leaf |
//! | … 2 | a segment: generation and digest of its newest revision, count of revisions behind |
//! | inline payload | the rest; only the winner's is ever inline |

mod view;

use settle_model::{
    time::Timestamp,
    tree::{Chain, ChainParent, Cut, RevTree},
};

pub(crate) use self::view::{BodyView, HeadView};
use crate::{
    codec::{Reader, RecordError, put_digest, put_number, put_rev},
    record::sealed,
};

/// A head in memory.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) sequence: u64,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) tree: RevTree<LeafBody>,
}

/// What a tree keeps for each leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeafBody {
    /// Bytes of the JSON, and of the attachments before compression.
    pub(crate) size: u64,
    pub(crate) attached: bool,
    pub(crate) place: BodyPlace,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BodyPlace {
    /// The payload itself. Becomes part of the head only for the winner, and only if it fits.
    Inline(Vec<u8>),
    /// The body record of this number, whose payload has this many bytes.
    Record { number: u64, length: u64 },
}

impl BodyPlace {
    /// Bytes of a payload that is not in a record.
    pub(crate) fn inline_length(&self) -> usize {
        match self {
            Self::Inline(payload) => payload.len(),
            Self::Record { .. } => 0,
        }
    }

    /// Bytes of the payload, wherever it is.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Inline(payload) => payload.len() as u64,
            Self::Record { length, .. } => *length,
        }
    }

    /// The number of the body record, where there is one.
    pub(crate) fn record(&self) -> Option<u64> {
        match self {
            Self::Inline(_) => None,
            Self::Record { number, .. } => Some(*number),
        }
    }
}

const RECORD: u8 = 1;
const ATTACHED: u8 = 4;

impl Head {
    /// The stored value. Of the payloads in memory only the winner's may be left.
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            put_number(out, self.sequence);
            put_number(out, self.created.micros() / 1_000);
            put_number(out, self.updated.micros() / 1_000);
            let leaves = self.tree.leaves();
            let inline_length = leaves.first().map_or(0, |it| it.payload.place.inline_length());
            out.reserve(64 * leaves.len() + inline_length);
            put_number(out, leaves.len() as u64);
            let mut inline = None;
            for leaf in leaves {
                put_number(out, u64::from(leaf.rev.generation()) << 1 | u64::from(leaf.deleted));
                put_digest(out, leaf.rev.digest());
                let body = &leaf.payload;
                put_number(out, body.size);
                let attached = if body.attached { ATTACHED } else { 0 };
                match &body.place {
                    BodyPlace::Inline(payload) => {
                        assert!(inline.is_none(), "only the winner's body stands in a head");
                        inline = Some(payload);
                        out.push(attached);
                        put_number(out, payload.len() as u64);
                    }
                    BodyPlace::Record { number, length } => {
                        out.push(RECORD | attached);
                        put_number(out, *number);
                        put_number(out, *length);
                    }
                }
            }
            let chains = self.tree.chains();
            put_number(out, chains.len() as u64);
            for (index, chain) in chains.iter().enumerate() {
                put_chain(out, chain, index < leaves.len());
            }
            out.extend_from_slice(inline.map_or(&[], Vec::as_slice));
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let view = HeadView::decode(key, value)?;
        let mut revs = Vec::with_capacity(view.leaf_count());
        let mut bodies = Vec::with_capacity(view.leaf_count());
        for leaf in view.leaves() {
            let leaf = leaf?;
            let place = match leaf.body {
                BodyView::Inline(payload) => BodyPlace::Inline(payload.to_vec()),
                BodyView::Record { number, length } => BodyPlace::Record { number, length },
            };
            let body = LeafBody { size: leaf.size, attached: leaf.attached, place };
            bodies.push((leaf.deleted, body));
            revs.push(leaf.rev);
        }
        let mut from = view.chains();
        let count = from.count()?;
        let mut chains = Vec::with_capacity(count.min(64));
        let mut revs = revs.into_iter();
        for _ in 0..count {
            let (start, mut digests) = match revs.next() {
                Some(rev) => (rev.generation(), vec![rev.into_digest()]),
                None => (from.small()?, Vec::new()),
            };
            let length = from.count()?;
            digests.reserve(length.min(1_024));
            for _ in 0..length {
                digests.push(from.digest()?);
            }
            chains.push(Chain { start, digests, parent: take_parent(&mut from)? });
        }
        let tree = RevTree::from_chains(chains, bodies)
            .map_err(|_| from.malformed("its chains make no tree"))?;
        let HeadView { sequence, created, updated, .. } = view;
        Ok(Self { sequence, created, updated, tree })
    }
}

fn put_chain(out: &mut Vec<u8>, chain: &Chain, of_leaf: bool) {
    let mut digests = chain.digests.as_slice();
    if of_leaf {
        digests = &digests[1..];
    } else {
        put_number(out, u64::from(chain.start));
    }
    put_number(out, digests.len() as u64);
    for digest in digests {
        put_digest(out, digest);
    }
    match &chain.parent {
        ChainParent::None => out.push(0),
        ChainParent::Chain { chain, offset } => {
            out.push(1);
            put_number(out, *chain as u64);
            put_number(out, *offset as u64);
        }
        ChainParent::Cut(cut) => {
            out.push(2);
            put_cut(out, cut);
        }
    }
}

fn take_parent(from: &mut Reader<'_>) -> Result<ChainParent, RecordError> {
    match from.byte()? {
        0 => Ok(ChainParent::None),
        1 => Ok(ChainParent::Chain { chain: from.count()?, offset: from.count()? }),
        2 => Ok(ChainParent::Cut(take_cut(from)?)),
        _ => Err(from.malformed("unknown kind of parent")),
    }
}

pub(crate) fn put_cut(out: &mut Vec<u8>, cut: &Cut) {
    put_rev(out, &cut.newest);
    put_number(out, u64::from(cut.count));
}

pub(crate) fn take_cut(from: &mut Reader<'_>) -> Result<Cut, RecordError> {
    Ok(Cut { newest: from.rev()?, count: from.small()? })
}
