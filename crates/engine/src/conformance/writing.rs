use std::sync::Arc;

use tokio::task::JoinSet;

use super::support::{batch, commit, get, number_value, read, read_all};
use crate::{Batch, Engine, Expected, Outcome, Urgency, key::LENGTH_MAX, limits::VALUE_LENGTH_MAX};

pub(super) async fn a_batch_is_there_once_it_is_committed(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=1 b=2")).await;
    assert_eq!(read_all(&engine).await, "0 a=1; 0 b=2");
    commit(&engine, batch("-a b=3 c=4")).await;
    assert_eq!(read_all(&engine).await, "0 b=3; 0 c=4");
}

pub(super) async fn the_later_of_two_operations_on_a_key_counts(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=1 a=2 b=1 -b -c c=3")).await;
    assert_eq!(read_all(&engine).await, "0 a=2; 0 c=3");
}

pub(super) async fn an_empty_batch_is_committed(engine: Arc<dyn Engine>) {
    commit(&engine, Batch::default()).await;
    let mut only_asks = Batch::default();
    only_asks.require(b"a".to_vec(), Expected::Present);
    assert_eq!(engine.commit(only_asks).await, Outcome::Refused { precondition: 0 });
}

pub(super) async fn deleting_what_is_absent_is_no_error(engine: Arc<dyn Engine>) {
    commit(&engine, batch("-a b=1")).await;
    assert_eq!(read_all(&engine).await, "0 b=1");
}

pub(super) async fn the_first_precondition_that_does_not_hold_is_named(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=1")).await;
    let equals = |value: &[u8]| Expected::Equals(value.to_vec());
    for (conditions, outcome) in [
        (vec![("a", Expected::Present), ("b", Expected::Absent)], Outcome::Committed),
        (vec![("a", equals(b"1"))], Outcome::Committed),
        (vec![("a", Expected::Absent)], Outcome::Refused { precondition: 0 }),
        (vec![("a", equals(b"1")), ("a", equals(b"2"))], Outcome::Refused { precondition: 1 }),
        (vec![("a", equals(b"11"))], Outcome::Refused { precondition: 0 }),
        (vec![("a", equals(b""))], Outcome::Refused { precondition: 0 }),
        (vec![("b", equals(b"")), ("a", Expected::Absent)], Outcome::Refused { precondition: 0 }),
        (
            vec![("a", Expected::Present), ("b", Expected::Present)],
            Outcome::Refused { precondition: 1 },
        ),
    ] {
        let mut asking = Batch::default();
        for (key, expected) in conditions.clone() {
            asking.require(key.into(), expected);
        }
        assert_eq!(engine.commit(asking).await, outcome, "{conditions:?}");
    }
}

pub(super) async fn a_refused_batch_applies_nothing(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=1")).await;
    let mut refused = batch("a=2 b=2 -c");
    refused.require(b"a".to_vec(), Expected::Equals(b"0".to_vec()));
    assert_eq!(engine.commit(refused).await, Outcome::Refused { precondition: 0 });
    assert_eq!(read_all(&engine).await, "0 a=1");
}

pub(super) async fn an_empty_value_is_not_an_absent_one(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=")).await;
    assert_eq!(read(&engine, vec![get("a")]).await, "0 a=");
    let mut asking = Batch::default();
    asking.require(b"a".to_vec(), Expected::Present);
    asking.require(b"a".to_vec(), Expected::Equals(Vec::new()));
    asking.require(b"a".to_vec(), Expected::Absent);
    assert_eq!(engine.commit(asking).await, Outcome::Refused { precondition: 2 });
}

/// Many writers add one to one number, each with the precondition that it is what they read.
pub(super) async fn preconditions_see_every_earlier_batch(engine: Arc<dyn Engine>) {
    const WRITERS: u64 = 16;
    const ADDITIONS: u64 = 10;
    commit(&engine, batch("n=0")).await;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let engine = Arc::clone(&engine);
        writers.spawn(async move {
            for _ in 0..ADDITIONS {
                loop {
                    let before = engine.get(b"n".to_vec()).await.expect("reads").expect("is there");
                    let number: u64 =
                        str::from_utf8(&before).expect("digits").parse().expect("a number");
                    let mut addition = Batch::default();
                    addition.require(b"n".to_vec(), Expected::Equals(before));
                    addition.put(b"n".to_vec(), number_value(number + 1));
                    let outcome = engine.commit(addition).await;
                    if outcome == Outcome::Committed {
                        break;
                    }
                    assert_eq!(outcome, Outcome::Refused { precondition: 0 });
                }
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.expect("no writer met another outcome");
    }
    let sum = engine.get(b"n".to_vec()).await.expect("reads");
    assert_eq!(sum, Some(number_value(WRITERS * ADDITIONS)));
}

pub(super) async fn a_batch_that_fails_leaves_its_neighbours_alone(engine: Arc<dyn Engine>) {
    let mut commits = Vec::new();
    for number in 0..60_u8 {
        let mut one = Batch::default();
        one.put(vec![b'k', number], vec![number]);
        match number % 3 {
            0 => {}
            1 => one.require(vec![b'k', number], Expected::Present),
            _ => one.put(vec![b'x'; LENGTH_MAX + 1], Vec::new()),
        }
        // All are asked for before the first is waited for, so that they can share a group.
        commits.push(engine.commit(one));
    }
    for (number, commit) in (0_u8..).zip(commits) {
        let outcome = commit.await;
        match number % 3 {
            0 => assert_eq!(outcome, Outcome::Committed),
            1 => assert_eq!(outcome, Outcome::Refused { precondition: 0 }),
            _ => assert!(
                matches!(outcome, Outcome::NotApplied { storage_full: false, .. }),
                "{outcome:?}"
            ),
        }
        let value = engine.get(vec![b'k', number]).await.expect("reads");
        assert_eq!(value.is_some(), number.is_multiple_of(3));
    }
}

pub(super) async fn both_urgencies_are_served(engine: Arc<dyn Engine>) {
    let mut commits = Vec::new();
    for number in 0..100_u8 {
        let mut one = Batch::default();
        one.put(vec![b'k', number], vec![number]);
        if number.is_multiple_of(2) {
            one.urgency = Urgency::Background;
        }
        commits.push(engine.commit(one));
    }
    for commit in commits {
        assert_eq!(commit.await, Outcome::Committed);
    }
    assert_eq!(engine.stats().keys, 100);
}

pub(super) async fn keys_and_values_of_extreme_lengths_are_kept(engine: Arc<dyn Engine>) {
    let lengths = [0, 1, 1_899, 1_900, 2_030, 4_080, 4_096, 65_536, VALUE_LENGTH_MAX];
    for (number, length) in (0_u8..).zip(lengths) {
        let mut one = Batch::default();
        one.put(vec![number; LENGTH_MAX], vec![number; length]);
        one.put(vec![b'k', number], vec![number; length]);
        commit(&engine, one).await;
    }
    for (number, length) in (0_u8..).zip(lengths) {
        for key in [vec![number; LENGTH_MAX], vec![b'k', number]] {
            let value = engine.get(key).await.expect("reads");
            assert!(value == Some(vec![number; length]), "a value of {length} bytes");
        }
    }
    // Neighbours that differ in the last of many bytes.
    let long = |last: u8| [vec![b'z'; LENGTH_MAX - 1], vec![last]].concat();
    let mut many = Batch::default();
    for last in 0..=255 {
        many.put(long(last), vec![last]);
    }
    commit(&engine, many).await;
    for last in 0..=255 {
        assert_eq!(engine.get(long(last)).await, Ok(Some(vec![last])));
    }
}

pub(super) async fn illegal_lengths_are_not_applied(engine: Arc<dyn Engine>) {
    let long_key = || vec![b'k'; LENGTH_MAX + 1];
    let mut cases: Vec<(Batch, &str)> = Vec::new();
    let mut case = |fill: &dyn Fn(&mut Batch), reason| {
        let mut one = batch("a=1");
        fill(&mut one);
        cases.push((one, reason));
    };
    case(&|batch| batch.put(Vec::new(), vec![1]), "a key is empty");
    case(&|batch| batch.delete(Vec::new()), "a key is empty");
    case(&|batch| batch.require(Vec::new(), Expected::Absent), "a key is empty");
    case(&|batch| batch.put(long_key(), vec![1]), "a key has 1901 bytes, 1900 are possible");
    case(&|batch| batch.delete(long_key()), "a key has 1901 bytes, 1900 are possible");
    case(
        &|batch| batch.require(long_key(), Expected::Absent),
        "a key has 1901 bytes, 1900 are possible",
    );
    case(
        &|batch| batch.put(b"b".to_vec(), vec![0; VALUE_LENGTH_MAX + 1]),
        "the value of key b has 16777217 bytes, 16777216 are possible",
    );
    for (illegal, reason) in cases {
        let outcome = engine.commit(illegal).await;
        assert_eq!(outcome, Outcome::NotApplied { reason: reason.to_owned(), storage_full: false });
    }
    assert_eq!(read_all(&engine).await, "");
}

pub(super) async fn a_batch_of_many_operations_is_one(engine: Arc<dyn Engine>) {
    let mut many = Batch::default();
    for number in 0..20_000_u32 {
        let key = [b"k", &number.wrapping_mul(2_654_435_761).to_be_bytes()[..]].concat();
        many.put(key, vec![7; 300]);
    }
    let mut refused = many.clone();
    refused.require(b"absent".to_vec(), Expected::Present);
    assert_eq!(engine.commit(refused).await, Outcome::Refused { precondition: 0 });
    assert_eq!(engine.stats().keys, 0);
    commit(&engine, many).await;
    assert_eq!(engine.stats().keys, 20_000);
}

pub(super) async fn a_dropped_commit_is_applied_whole_or_not_at_all(engine: Arc<dyn Engine>) {
    for number in 0..50_u8 {
        let mut two = Batch::default();
        two.put(vec![b'a', number], vec![number]);
        two.put(vec![b'b', number], vec![number]);
        drop(engine.commit(two));
    }
    commit(&engine, batch("z=1")).await;
    for number in 0..50_u8 {
        let first = engine.get(vec![b'a', number]).await.expect("reads");
        let second = engine.get(vec![b'b', number]).await.expect("reads");
        assert_eq!(first, second);
    }
}
