//! What is stored, byte for byte: a change here is a change of format, and needs a new version and
//! a store of the old one in the tests.

use std::{fmt::Write as _, time::Duration};

use expect_test::expect;
use proptest::prelude::*;
use settle_engine::value::HEADER_LENGTH;
use settle_model::{
    id::DocumentId,
    revision::{RevId, RevPath},
    sequence::Timeline,
    time::Timestamp,
    tree::{RevTree, Segment},
};

use super::{
    body::{self, Attachment},
    change::{ChangeRow, ChangeView},
    conflict,
    expiring::Expiring,
    head::{BodyPlace, Head, HeadView, LeafBody},
    history::{History, PastBody, PastLeaf},
    idempotency::{self, Idempotency},
    later::{self, Cursor, Pin, Snapshot},
    live::{Live, TimelineStart},
    local,
    purge::Purge,
    retention::{Retention, Tombstones},
    segment,
    site::{self, Event, EventKind, EventOf, Site},
    state::{Conflicts, Past, Sizes, State},
};
use crate::{
    blobs::{BlobDigest, Encoding},
    keys::{self, Keys},
};

const KEYS: Keys = Keys { number: 300 };

/// 2026-01-01.
fn at() -> Timestamp {
    Timestamp::from_seconds(1_767_225_600)
}

fn id() -> DocumentId {
    "a\u{0}b".parse().unwrap()
}

fn rev(text: &str) -> RevId {
    text.parse().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

fn past(n: &str, body: PastBody) -> PastLeaf {
    PastLeaf { rev: rev(n), deleted: false, size: 9, body }
}

fn attachment() -> Attachment {
    Attachment {
        name: "dir/a.txt".parse().unwrap(),
        content_type: "text/plain".to_owned(),
        revpos: 2,
        md5: [1; 16],
        digest: BlobDigest::from_bytes([2; 32]),
        length: 300,
        stored_length: 40,
        encoding: Encoding::Gzip,
    }
}

fn head(tree: RevTree<LeafBody>) -> Head {
    Head { sequence: 5, created: at(), updated: at(), tree }
}

fn tree() -> RevTree<LeafBody> {
    let mut tree = RevTree::new();
    let path = |start, names: &[&str]| {
        RevPath::new(start, names.iter().map(|it| it.parse().unwrap()).collect()).unwrap()
    };
    let leaf = |place| LeafBody { size: 7, attached: false, place };
    let inline = BodyPlace::Inline(b"\0{\"x\":1}".to_vec());
    tree.graft(&path(3, &["cc", "bb", "0123456789abcdef0123456789abcdef"]), false, leaf(inline));
    let record = BodyPlace::Record { number: 9, length: 1_000 };
    tree.graft(&path(3, &["dd", "bb"]), true, leaf(record));
    tree
}

/// Every record with its key: name, key, version, payload.
fn all() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let keys = KEYS;
    let timeline = Timeline([7; 8]);
    let mut all: Vec<(&'static str, Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |name, key: Vec<u8>, value: Vec<u8>| all.push((name, key, value));

    let key = keys::site_record();
    let site =
        Site { uuid: [1; 16], identity: [2; 16], timeline, next_number: 1_001, created: at() };
    add("site", key.clone(), site.encode(&key));
    assert_eq!(Site::decode(&key, &site.encode(&key)).unwrap(), site);
    let key = keys::name("notes");
    add("name", key.clone(), site::encode_name(&key, 300));
    let key = keys::event(4);
    let event = Event { kind: EventKind::Updated, number: 300, name: "notes".to_owned() };
    add("event", key.clone(), event.encode(&key));
    assert_eq!(Event::decode(&key, &event.encode(&key)).unwrap(), event);
    let key = keys::event_of(300);
    let row =
        EventOf { created: 1, updated: 4, deleted: 0, sequence: 17, name: "notes".to_owned() };
    add("event of", key.clone(), row.encode(&key));
    assert_eq!(EventOf::decode(&key, &row.encode(&key)).unwrap(), row);
    let key = keys::reclaim(299);
    add("reclaim", key.clone(), site::encode_reclaim(&key, at()));
    let key = keys::restore(299);
    add("restore", key.clone(), site::encode_restore(&key, at(), "notes"));
    let key = keys::sweep(at(), 300);
    add("sweep", key.clone(), site::encode_mark(&key));

    let key = keys.live();
    let live = Live {
        name: "notes".to_owned(),
        created: at(),
        timelines: vec![TimelineStart { timeline, above: 0 }],
        revs_limit: 1_000,
        purged_infos_limit: 1_000,
        grace: Duration::from_secs(3_600),
        partitioned: false,
        design_epoch: 1,
        security_epoch: 2,
        security: b"{}".to_vec(),
    };
    add("live", key.clone(), live.encode(&key));
    assert_eq!(Live::decode(&key, &live.encode(&key)).unwrap(), live);
    let key = keys.state();
    let state = State {
        sequence: 17,
        purge_sequence: 1,
        doc_count: 3,
        deleted_count: 1,
        body_number: 9,
        sizes: Sizes { active: 1_000, history: 500, external: 300, attached: None },
        history_floor: 2,
        time_marked: at(),
        sweep_due: at(),
        nonce: 0x0102_0304_0506_0708,
        conflicts: Conflicts::Listed { count: 2 },
        past: None,
    };
    let past_kept = Some(Past { floor_time: at(), again: (1, 2) });
    let listed_to = Conflicts::ListedTo { id: "a".to_owned(), count: 1 };
    let counted = Sizes { attached: Some(70_000), ..state.sizes };
    let counted = State { sizes: counted, ..state.clone() };
    let states = [
        ("state with attachments", counted.clone()),
        ("state with attachments and a past", State { past: past_kept, ..counted.clone() }),
        (
            "state with attachments before conflicts",
            State { conflicts: Conflicts::Unlisted, ..counted },
        ),
        ("state", state.clone()),
        ("state before conflicts", State { conflicts: Conflicts::Unlisted, ..state.clone() }),
        ("state while conflicts are listed", State { conflicts: listed_to, ..state.clone() }),
        ("state with a past", State { past: past_kept, ..state.clone() }),
        (
            "state with a past before conflicts",
            State { past: past_kept, conflicts: Conflicts::Unlisted, ..state },
        ),
    ];
    for (name, state) in states {
        add(name, key.clone(), state.encode(&key));
        assert_eq!(State::decode(&key, &state.encode(&key)).unwrap(), state);
    }
    let key = keys.conflict(&id());
    add("conflict", key.clone(), conflict::encode(&key));
    let key = keys.head(&id());
    add("head", key.clone(), head(tree()).encode(&key));
    let whole = Segment {
        start: 64,
        digests: vec!["aa".parse().unwrap(), "bb".parse().unwrap()],
        older: None,
    };
    let key = keys.segment(&id(), &rev("64-aa"));
    add("segment", key.clone(), segment::encode(&whole, &key));
    assert_eq!(segment::decode(&key, &segment::encode(&whole, &key)).unwrap(), whole);
    let key = keys.body(9);
    let payload = body::encode_payload(&[attachment()], br#"{"x":1}"#);
    add("body", key.clone(), body::encode_record(&key, &payload));
    let (attachments, json) = body::decode_payload(&payload).unwrap();
    assert_eq!((attachments, json), (vec![attachment()], br#"{"x":1}"#.as_slice()));
    let key = keys.history(&id(), 17);
    let history = History {
        sequence: 5,
        updated: at(),
        leaves: vec![
            past("3-cc", PastBody::Inline(b"\0{}".to_vec())),
            past("3-bb", PastBody::Record { number: 9, length: 12 }),
            past("2-aa", PastBody::Later),
            past("1-aa", PastBody::Erased),
        ],
    };
    add("history", key.clone(), history.encode(&key));
    assert_eq!(History::decode(&key, &history.encode(&key)).unwrap(), history);
    let key = keys.change(17);
    let row = ChangeRow { superseded_by: Some(18), purge: false, id: "a" };
    let leaves = [(rev("3-cc"), false), (rev("3-dd"), true)];
    let value = row.encode(&key, leaves.iter().map(|(rev, deleted)| (rev, *deleted)));
    let view = ChangeView::decode(&key, &value).unwrap();
    assert_eq!(view.leaves().map(Result::unwrap).collect::<Vec<_>>(), leaves);
    add("change", key, value);
    let key = keys.local(&"_local/checkpoint".parse().unwrap());
    add("local document", key.clone(), local::encode(&key, 3, Timestamp::from_seconds(1), b"{}"));
    let key = keys.time(at());
    add("time", key.clone(), later::encode_time(&key, 17));
    let key = keys.purge(1);
    let purge = Purge { id: "a".to_owned(), revs: vec![rev("3-cc")] };
    add("purge", key.clone(), purge.encode(&key));
    assert_eq!(Purge::decode(&key, &purge.encode(&key)).unwrap(), purge);
    let key = keys.change_count(2);
    add("change count", key.clone(), later::encode_count(&key, 700));
    let key = keys.snapshot("monday");
    let snapshot = Snapshot { sequence: 17, taken: at() };
    add("snapshot", key.clone(), snapshot.encode(&key));
    assert_eq!(Snapshot::decode(&key, &snapshot.encode(&key)).unwrap(), snapshot);
    let key = keys.pin(1);
    let pin = Pin { sequence: 17, expires: at(), holder: "archive".to_owned() };
    add("pin", key.clone(), pin.encode(&key));
    assert_eq!(Pin::decode(&key, &pin.encode(&key)).unwrap(), pin);
    let key = keys.retention();
    let retention = Retention {
        window: Duration::from_secs(3_600),
        append_only: Some(br#"{"kind":"audit"}"#.to_vec()),
        tombstones: None,
    };
    add("retention", key.clone(), retention.encode(&key));
    let key = keys.expiring();
    let day = Duration::from_secs(86_400);
    let rule = Tombstones { kept: 365 * day, checkpoints: 90 * day };
    let (since, held_until) = (Timestamp::from_seconds(1_767_225_600), at());
    let timeline = Some(Timeline([7; 8]));
    let expiring = Expiring { rule, since, up_to: 300, timeline, held_until };
    add("expiring", key.clone(), expiring.encode(&key));
    assert_eq!(Expiring::decode(&key, &expiring.encode(&key)).unwrap(), expiring);
    let never = Timestamp::from_seconds(0);
    let first = Expiring { timeline: None, held_until: never, ..expiring };
    add("expiring, version 1", key.clone(), first.encode(&key));
    assert_eq!(Expiring::decode(&key, &first.encode(&key)).unwrap(), first);
    let key = keys.retention();
    assert_eq!(Retention::decode(&key, &retention.encode(&key)).unwrap(), retention);
    let key = keys.idempotency("ada", "till-7", "01J");
    let record = Idempotency { payload: [3; 32], expires: at(), answer: b"{}".to_vec() };
    add("idempotency", key.clone(), record.encode(&key));
    assert_eq!(Idempotency::decode(&key, &record.encode(&key)).unwrap(), record);
    let expiry = keys.expiry(at(), &key);
    assert_eq!(keys.expiry_of(&expiry), Some((at(), key)));
    add("expiry", expiry.clone(), site::encode_mark(&expiry));
    let key = keys.outcomes();
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    add("outcomes", key.clone(), idempotency::encode_retention(&key, week));
    let stored = idempotency::encode_retention(&key, week);
    assert_eq!(idempotency::decode_retention(&key, &stored).unwrap(), week);
    let key = keys.cursor("index/1");
    let cursor = Cursor { sequence: 17, memory: b"m".to_vec() };
    add("cursor", key.clone(), cursor.encode(&key));
    assert_eq!(Cursor::decode(&key, &cursor.encode(&key)).unwrap(), cursor);
    add("index row", keys.index_row(1, 0, b"key"), Vec::new());
    all
}

#[test]
fn stored_bytes_stay_what_they_are() {
    let mut seen = String::new();
    for (name, key, value) in all() {
        let payload = value.get(HEADER_LENGTH..).unwrap_or_default();
        let version = value.first().copied().unwrap_or_default();
        writeln!(seen, "{name}: {} = {version}: {}", hex(&key), hex(payload)).unwrap();
    }
    expect![[r#"
        site: 0001 = 1: 01010101010101010101010101010101020202020202020202020202020202020707070707070707e907808081b184e99103
        name: 00026e6f746573 = 1: ac02
        event: 00030104 = 1: 02ac02056e6f746573
        event of: 000402012c = 1: 01040011056e6f746573
        reclaim: 000502012b = 1: 808081b184e99103
        restore: 002802012b = 1: 808081b184e99103056e6f746573
        sweep: 0006070647484620400002012c = 1: 
        live: 02012c01 = 1: 056e6f746573808081b184e9910301070707070707070700e807e80780dddb01000102027b7d
        state with attachments: 02012c02 = 4: 1101030109e807f403ac0202808081b184e99103808081b184e991030807060504030201020000f0a204
        state with attachments and a past: 02012c02 = 4: 1101030109e807f403ac0202808081b184e99103808081b184e991030807060504030201020001808081b184e991030102f0a204
        state with attachments before conflicts: 02012c02 = 4: 1101030109e807f403ac0202808081b184e99103808081b184e991030807060504030201000200f0a204
        state: 02012c02 = 2: 1101030109e807f403ac0202808081b184e99103808081b184e9910308070605040302010200
        state before conflicts: 02012c02 = 1: 1101030109e807f403ac0202808081b184e99103808081b184e991030807060504030201
        state while conflicts are listed: 02012c02 = 2: 1101030109e807f403ac0202808081b184e99103808081b184e99103080706050403020101010161
        state with a past: 02012c02 = 3: 1101030109e807f403ac0202808081b184e99103808081b184e9910308070605040302010200808081b184e991030102
        state with a past before conflicts: 02012c02 = 3: 1101030109e807f403ac0202808081b184e99103808081b184e9910308070605040302010002808081b184e991030102
        conflict: 02012c19610062 = 1: 
        head: 02012c10610062 = 1: 0580d0eab6b73380d0eab6b733020682636307000807826464070109e8070202826262100123456789abcdef0123456789abcdef0000010001007b2278223a317d
        segment: 02012c116100ff62000101406161 = 1: 400282616182626200
        body: 02012c120109 = 1: 01096469722f612e7478740a746578742f706c61696e02010101010101010101010101010101010202020202020202020202020202020202020202020202020202020202020202ac0201287b2278223a317d
        history: 02012c136100ff6200010111 = 1: 0580d0eab6b7330406826363090003007b7d068262620901090c048261610902028261610903
        change: 02012c140111 = 1: 01120161020682636307826464
        local document: 02012c155f6c6f63616c2f636865636b706f696e74 = 2: 03e8077b7d
        time: 02012c160706474846204000 = 1: 11
        purge: 02012c170101 = 1: 01610103826363
        change count: 02012c180102 = 1: bc05
        snapshot: 02012c216d6f6e646179 = 1: 11808081b184e99103
        pin: 02012c220101 = 1: 11808081b184e991030761726368697665
        retention: 02012c28 = 1: 80dddb01107b226b696e64223a226175646974227d
        expiring: 02012c1c = 2: 80d8c4bd7580b0f1fb1c80d0eab6b733ac02070707070707070780d0eab6b733
        expiring, version 1: 02012c1c = 1: 80d8c4bd7580b0f1fb1c80d0eab6b733ac02
        idempotency: 02012c23616461000174696c6c2d37000130314a = 1: 0303030303030303030303030303030303030303030303030303030303030303808081b184e99103027b7d
        expiry: 02012c1a0706474846204000616461000174696c6c2d37000130314a = 1: 
        outcomes: 02012c1b = 1: 8088b2a002
        cursor: 02012c24696e6465782f31 = 1: 11016d
        index row: 02012c300101006b6579 = 0: 
    "#]].assert_eq(&seen);
}

#[test]
fn a_changed_bit_is_never_taken_for_a_record() {
    for (name, key, value) in all() {
        for bit in 0..value.len() * 8 {
            let mut damaged = value.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(settle_engine::value::open(&key, &damaged).is_err(), "{name}, bit {bit}");
        }
    }
}

#[test]
fn a_head_comes_back_as_it_was() {
    let key = KEYS.head(&id());
    let before = head(tree());
    let value = before.encode(&key);
    let after = Head::decode(&key, &value).unwrap();
    assert_eq!(after.tree, before.tree);
    let view = HeadView::decode(&key, &value).unwrap();
    assert_eq!(view.winner().unwrap().rev, rev("3-cc"));
    assert_eq!(view.leaf_count(), 2);
}

#[test]
fn a_local_document_from_before_its_time_was_noted_has_none() {
    let key = KEYS.local(&"_local/checkpoint".parse().unwrap());
    let stored = super::sealed_as(1, &key, |out| out.extend_from_slice(b"\x03{}"));
    let expected = local::Local { revision: 3, written: None, json: b"{}" };
    assert_eq!(local::decode(&key, &stored).unwrap(), expected);
    let stored = local::encode(&key, 3, at(), b"{}");
    assert_eq!(local::decode(&key, &stored).unwrap().written, Some(at()));
}

proptest! {
    /// What is not a record is refused, whatever it is, without a panic.
    #[test]
    fn payloads_of_chance_are_refused_or_read(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let key = KEYS.head(&id());
        let value = super::sealed(&key, |out| out.extend_from_slice(&payload));
        drop(Head::decode(&key, &value));
        drop(History::decode(&key, &value));
        drop(Live::decode(&key, &value));
        drop(State::decode(&key, &value));
        let newer = super::sealed_as(2, &key, |out| out.extend_from_slice(&payload));
        drop(State::decode(&key, &newer));
        let newest = super::sealed_as(3, &key, |out| out.extend_from_slice(&payload));
        drop(State::decode(&key, &newest));
        drop(Retention::decode(&key, &value));
        drop(Expiring::decode(&key, &value));
        drop(segment::decode(&key, &value));
        drop(Purge::decode(&key, &value));
        drop(body::decode_payload(&payload));
        if let Ok(change) = ChangeView::decode(&key, &value) {
            for leaf in change.leaves().take(100) {
                drop(leaf);
            }
        }
    }

#[test]
    fn numbers_come_back(number in any::<u64>()) {
        let mut out = Vec::new();
        crate::codec::put_number(&mut out, number);
        prop_assert_eq!(crate::codec::Reader::over("test", &out).number().unwrap(), number);
    }
}
