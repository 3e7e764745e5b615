//! What makes two definitions of an index the same.

use settle_model::json;

use super::{IndexDefinition, Language, MapSource, ReduceSource};
use crate::collate::Collation;

/// Change this when the same definition gives other rows than before.
const CONTEXT: &str = "settle 2026 index definition 1";

/// JSON deeper than this is taken as it is written.
const SORTED_DEPTH_MAX: usize = 256;

pub(super) fn of(index: &IndexDefinition) -> [u8; 16] {
    let IndexDefinition {
        signature: _,
        language,
        lib,
        local_seq,
        include_design,
        partitioned,
        maps,
    } = index;
    let mut digest = Digest(blake3::Hasher::new_derive_key(CONTEXT));
    match language {
        Language::JavaScript => digest.field(b"javascript"),
        Language::Query => digest.field(b"query"),
        Language::Other(name) => digest.field(name.as_bytes()),
    }
    digest.field(&[u8::from(*local_seq), u8::from(*include_design), u8::from(*partitioned)]);
    digest.field(&lib.as_deref().map(|lib| sorted(lib, SORTED_DEPTH_MAX)).unwrap_or_default());
    for map in maps {
        match &map.source {
            MapSource::Script(source) => digest.tagged(b's', source.as_bytes()),
            MapSource::Fields(fields) => digest.tagged(b'f', fields),
        }
        digest.field(match map.collation {
            Collation::Unicode => b"unicode",
            Collation::Raw => b"raw",
        });
        for reduce in &map.reducers {
            match reduce {
                ReduceSource::Native(native) => {
                    digest.tagged(b'n', format!("{native:?}").as_bytes());
                }
                ReduceSource::Script(source) => digest.tagged(b'r', source.as_bytes()),
            }
        }
    }
    let mut signature = [0; 16];
    signature.copy_from_slice(&digest.0.finalize().as_bytes()[..16]);
    signature
}

struct Digest(blake3::Hasher);

impl Digest {
    /// With its length, so that no two lists of fields are the same bytes.
    fn field(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.field(&[tag]);
        self.field(bytes);
    }
}

/// The same text for objects whose members stand in another order.
fn sorted(value: &[u8], depth: usize) -> Vec<u8> {
    if value.first() != Some(&b'{') || depth == 0 {
        return value.to_vec();
    }
    let mut members: Vec<_> =
        json::members(value).map(|(key, value)| (json::unescape(key), value)).collect();
    members.sort();
    let mut out = vec![b'{'];
    for (at, (key, value)) in members.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b"," } else { b"" });
        json::write_string(&mut out, key);
        out.push(b':');
        out.extend_from_slice(&sorted(value, depth - 1));
    }
    out.push(b'}');
    out
}
