use std::{ops::Bound, sync::Arc};

use tokio::task::JoinSet;

use super::support::{Notes, batch, commit, get, number_value, read, scan, scan_prefix, slice};
use crate::{
    Batch,
    Direction::{Ascending, Descending},
    Engine, Place, Plan, Progress, Resume, Scan, Step, Visit, Visitor,
    limits::SLICE_BYTES_MAX,
};

pub(super) async fn a_get_visits_its_key_whether_it_is_there_or_not(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=1")).await;
    let too_long = "k".repeat(crate::key::LENGTH_MAX + 1);
    assert_eq!(read(&engine, vec![get("a"), get("b")]).await, "0 a=1; 1 b is absent");
    let text = read(&engine, vec![get(""), get(&too_long)]).await;
    assert_eq!(text, format!("0  is absent; 1 {too_long} is absent"));
    assert_eq!(engine.get(b"a".to_vec()).await, Ok(Some(b"1".to_vec())));
    assert_eq!(engine.get(b"b".to_vec()).await, Ok(None));
}

pub(super) async fn a_scan_visits_keys_in_the_order_of_their_bytes(engine: Arc<dyn Engine>) {
    let mut rows = Batch::default();
    for key in [&b"b"[..], b"a\xFF", b"a", b"\x00", b"a\x00", b"\xFF\xFF", b"ab", b"\x80"] {
        rows.put(key.to_vec(), Vec::new());
    }
    commit(&engine, rows).await;
    let text = super::support::read_all(&engine).await;
    let expected = r"0 \x00=; 0 a=; 0 a\x00=; 0 ab=; 0 a\xff=; 0 b=; 0 \x80=; 0 \xff\xff=";
    assert_eq!(text, expected);
}

pub(super) async fn a_descending_scan_visits_the_same_rows_backwards(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=1 b=2 c=3")).await;
    let all = scan(Bound::Unbounded, Bound::Unbounded, Descending);
    assert_eq!(read(&engine, vec![all]).await, "0 c=3; 0 b=2; 0 a=1");
}

pub(super) async fn bounds_are_kept_in_both_directions(engine: Arc<dyn Engine>) {
    use Bound::{Excluded, Included, Unbounded};
    commit(&engine, batch("b=1 d=2 f=3")).await;
    // Bounds that are keys, and bounds between keys and beyond them.
    for (start, end, expected) in [
        (Included("b"), Included("f"), "bdf"),
        (Excluded("b"), Included("f"), "df"),
        (Included("b"), Excluded("f"), "bd"),
        (Excluded("b"), Excluded("f"), "d"),
        (Included("a"), Included("e"), "bd"),
        (Excluded("c"), Unbounded, "df"),
        (Unbounded, Excluded("d"), "b"),
        (Unbounded, Included("z"), "bdf"),
        (Included("d"), Included("d"), "d"),
        (Included("bb"), Excluded("da"), "d"),
        (Included(""), Unbounded, "bdf"),
        (Excluded(""), Included("b"), "b"),
        (Included("g"), Unbounded, ""),
        (Unbounded, Excluded("b"), ""),
    ] {
        for direction in [Ascending, Descending] {
            let text = read(&engine, vec![scan(start, end, direction)]).await;
            let mut keys: String =
                text.split("; ").filter_map(|line| line.chars().nth(2)).collect();
            if direction == Descending {
                keys = keys.chars().rev().collect();
            }
            assert_eq!(keys, expected, "{start:?} to {end:?}, {direction:?}");
        }
    }
}

pub(super) async fn a_range_that_can_hold_nothing_visits_nothing(engine: Arc<dyn Engine>) {
    use Bound::{Excluded, Included, Unbounded};
    commit(&engine, batch("a=1 b=2")).await;
    for (start, end) in [
        (Included("b"), Included("a")),
        (Excluded("a"), Excluded("a")),
        (Included("a"), Excluded("a")),
        (Excluded("a"), Included("a")),
        (Unbounded, Included("")),
        (Unbounded, Excluded("")),
        (Excluded("z"), Included("y")),
    ] {
        for direction in [Ascending, Descending] {
            let text = read(&engine, vec![scan(start, end, direction), get("a")]).await;
            assert_eq!(text, "1 a=1", "{start:?} to {end:?}, {direction:?}");
        }
    }
}

pub(super) async fn prefixes_of_ff_have_an_end(engine: Arc<dyn Engine>) {
    let mut rows = Batch::default();
    for key in [&b"\xFE"[..], b"\xFF", b"\xFF\x01", b"\xFF\xFF"] {
        rows.put(key.to_vec(), Vec::new());
    }
    commit(&engine, rows).await;
    let step = Step::Scan(Scan::prefix(b"\xFF", Descending));
    assert_eq!(read(&engine, vec![step]).await, r"0 \xff\xff=; 0 \xff\x01=; 0 \xff=");
    let step = Step::Scan(Scan::prefix(b"\xFE", Ascending));
    assert_eq!(read(&engine, vec![step]).await, r"0 \xfe=");
}

pub(super) async fn steps_are_run_in_order_and_numbered(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a1=x a2=y b1=z")).await;
    let steps = vec![get("b1"), scan_prefix("a"), get("c"), scan_prefix("b")];
    let expected = "0 b1=z; 1 a1=x; 1 a2=y; 2 c is absent; 3 b1=z";
    assert_eq!(read(&engine, steps).await, expected);
}

pub(super) async fn following_visits_another_key_before_going_on(engine: Arc<dyn Engine>) {
    commit(&engine, batch("change1=x change2=y x=X y=Y")).await;
    let notes = Notes::wishing(|line| match line.split_once("change").map(|(_, rest)| rest) {
        Some("1=x") => Visit::Follow(b"x".to_vec()),
        Some("2=y") => Visit::Follow(b"y".to_vec()),
        Some(_) | None => Visit::Next,
    });
    let plan = Plan::new(vec![scan_prefix("change"), get("x")]);
    let (text, progress) = slice(&engine, plan, notes).await;
    assert_eq!(text, "0 change1=x; 0 x=X; 0 change2=y; 0 y=Y; 1 x=X");
    assert_eq!(progress, Progress::Done);
}

pub(super) async fn following_can_be_chained_and_meet_absent_keys(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=1 b=2")).await;
    let notes = Notes::wishing(|line| match line {
        "0 a=1" => Visit::Follow(b"b".to_vec()),
        "0 b=2" => Visit::Follow(b"c".to_vec()),
        _ => Visit::Next,
    });
    let (text, _) = slice(&engine, Plan::new(vec![get("a")]), notes).await;
    assert_eq!(text, "0 a=1; 0 b=2; 0 c is absent");
}

pub(super) async fn next_step_leaves_out_the_rest_of_a_scan(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a1=x a2=y b1=z")).await;
    let notes = Notes::wishing(|_| Visit::NextStep);
    let plan = Plan::new(vec![scan_prefix("a"), get("b1"), scan_prefix("b")]);
    assert_eq!(slice(&engine, plan, notes).await.0, "0 a1=x; 1 b1=z; 2 b1=z");
}

pub(super) async fn stop_ends_the_plan(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a1=x a2=y b1=z")).await;
    let notes = Notes::wishing(|_| Visit::Stop);
    let plan = Plan::new(vec![scan_prefix("a"), get("b1")]);
    let (text, progress) = slice(&engine, plan, notes).await;
    assert_eq!((text.as_str(), progress), ("0 a1=x", Progress::Done));
}

pub(super) async fn a_pause_resumes_after_the_row_that_asked_for_it(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=1 b=2 c=3")).await;
    for (direction, slices) in [
        (Ascending, ["0 a=1 …", "0 b=2 …", "0 c=3 …", ""]),
        (Descending, ["0 c=3 …", "0 b=2 …", "0 a=1 …", ""]),
    ] {
        let mut plan = Plan::new(vec![scan(Bound::Unbounded, Bound::Unbounded, direction)]);
        for expected in slices {
            let notes = Notes::wishing(|_| Visit::Pause);
            let (text, progress) = slice(&engine, plan.clone(), notes).await;
            assert_eq!(text, expected);
            plan.resume = match progress {
                Progress::Paused(resume) => Some(resume),
                Progress::Done => None,
            };
        }
    }
    // A pause that a followed key asks for resumes after the row that led there.
    let notes = Notes::wishing(|line| match line {
        "0 a=1" => Visit::Follow(b"c".to_vec()),
        _ => Visit::Pause,
    });
    let plan = Plan::new(vec![scan(Bound::Unbounded, Bound::Unbounded, Ascending)]);
    let (text, progress) = slice(&engine, plan, notes).await;
    assert_eq!(text, "0 a=1; 0 c=3 …");
    assert_eq!(progress, Progress::Paused(Resume { step: 0, place: Place::After(b"a".to_vec()) }));
}

pub(super) async fn a_scan_goes_on_from_the_key_that_is_sought(engine: Arc<dyn Engine>) {
    commit(&engine, batch("b=1 d=2 f=3 h=4")).await;
    // Ahead and back, to keys that are there and to places between; then where nothing is.
    for (direction, jumps, expected) in [
        (Ascending, "b>f f>c d>a", "0 b=1; 0 f=3; 0 d=2; 0 b=1"),
        (Ascending, "b>h h>d d>z", "0 b=1; 0 h=4; 0 d=2"),
        (Ascending, "f>f", "0 b=1; 0 d=2; 0 f=3; 0 f=3"),
        (Descending, "h>c b>g f>i", "0 h=4; 0 b=1; 0 f=3; 0 h=4"),
        (Descending, "h>d d>f f>a", "0 h=4; 0 d=2; 0 f=3"),
    ] {
        let all = scan(Bound::Unbounded, Bound::Unbounded, direction);
        // The last jump ends the walk where it leads to a row that was there before.
        let (text, _) = slice(&engine, Plan::new(vec![all]), jumping(jumps)).await;
        assert_eq!(text, expected, "{jumps}");
    }
}

pub(super) async fn seeking_stays_between_the_bounds(engine: Arc<dyn Engine>) {
    use Bound::{Excluded, Included};
    commit(&engine, batch("b=1 d=2 f=3 h=4")).await;
    for (start, end, direction, jumps, expected) in [
        (Included("d"), Included("f"), Ascending, "f>a", "0 d=2; 0 f=3; 0 d=2"),
        (Excluded("b"), Excluded("h"), Ascending, "f>b", "0 d=2; 0 f=3; 0 d=2"),
        (Included("b"), Excluded("f"), Ascending, "b>f", "0 b=1"),
        (Included("b"), Excluded("f"), Ascending, "b>e", "0 b=1"),
        (Included("d"), Included("f"), Descending, "d>z", "0 f=3; 0 d=2; 0 f=3"),
        (Excluded("b"), Excluded("h"), Descending, "d>h", "0 f=3; 0 d=2; 0 f=3"),
        (Excluded("b"), Excluded("h"), Descending, "f>b", "0 f=3"),
    ] {
        let plan = Plan::new(vec![scan(start, end, direction)]);
        let (text, progress) = slice(&engine, plan, jumping(jumps)).await;
        assert_eq!((text.as_str(), progress), (expected, Progress::Done), "{jumps}");
    }
    // An empty key comes before all others, and one that is too long is a place like any other.
    let long = "c".repeat(crate::key::LENGTH_MAX + 1);
    for (direction, sought, expected) in [
        (Ascending, "", "0 b=1; 0 b=1; 1 h=4"),
        (Descending, "", "0 h=4; 1 h=4"),
        (Ascending, long.as_str(), "0 b=1; 0 d=2; 1 h=4"),
        (Descending, long.as_str(), "0 h=4; 0 b=1; 1 h=4"),
    ] {
        let all = scan(Bound::Unbounded, Bound::Unbounded, direction);
        let sought = sought.as_bytes().to_vec();
        let mut visits = 0;
        let notes = Notes::wishing(move |_| {
            visits += 1;
            if visits == 1 { Visit::Seek(sought.clone()) } else { Visit::NextStep }
        });
        let (text, _) = slice(&engine, Plan::new(vec![all, get("h")]), notes).await;
        assert_eq!(text, expected, "{direction:?}");
    }
}

pub(super) async fn a_followed_key_can_ask_to_seek_and_a_get_cannot(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=1 b=2 c=3 x=4")).await;
    let notes = Notes::wishing(|line| match line {
        "0 a=1" => Visit::Follow(b"x".to_vec()),
        "0 x=4" => Visit::Seek(b"c".to_vec()),
        "1 b=2" => Visit::Seek(b"a".to_vec()),
        _ => Visit::Next,
    });
    let up_to_c = scan(Bound::Unbounded, Bound::Included("c"), Ascending);
    let (text, _) = slice(&engine, Plan::new(vec![up_to_c, get("b"), get("c")]), notes).await;
    assert_eq!(text, "0 a=1; 0 x=4; 0 c=3; 1 b=2; 2 c=3");
}

pub(super) async fn a_slice_that_ends_at_a_jump_resumes_where_it_leads(engine: Arc<dyn Engine>) {
    for key in *b"abcd" {
        let mut rows = Batch::default();
        rows.put(vec![key], vec![key; SLICE_BYTES_MAX / 2]);
        commit(&engine, rows).await;
    }
    // Every second row ends a slice; the jumps lead ahead, back, and out of the scan.
    for (direction, jumps, expected) in [
        (Ascending, [b'a', b'c', b'd', b'b', b'e'], *b"acdb"),
        (Descending, [b'd', b'b', b'a', b'c', b' '], *b"dbac"),
    ] {
        let all = Scan { start: Bound::Unbounded, end: Bound::Unbounded, direction };
        let mut plan = Plan::new(vec![Step::Scan(all)]);
        let mut walk = Walk { jumps: jumps.to_vec(), keys: Vec::new() };
        let mut slices = 1;
        loop {
            let progress;
            (walk, progress) = engine.read(plan.clone(), walk).await.expect("reads");
            match progress {
                Progress::Done => break,
                Progress::Paused(resume) => plan.resume = Some(resume),
            }
            slices += 1;
        }
        assert_eq!((walk.keys.as_slice(), slices), (&expected[..], 3), "{direction:?}");
    }
}

pub(super) async fn a_pause_between_gets_resumes_at_the_next_one(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=1 b=2")).await;
    let mut plan = Plan::new(vec![get("a"), get("b")]);
    let (text, progress) = slice(&engine, plan.clone(), Notes::wishing(|_| Visit::Pause)).await;
    let resume = Resume { step: 1, place: Place::Start };
    assert_eq!((text.as_str(), &progress), ("0 a=1 …", &Progress::Paused(resume.clone())));
    plan.resume = Some(resume);
    let (text, progress) = slice(&engine, plan, Notes::wishing(|_| Visit::Pause)).await;
    assert_eq!((text.as_str(), progress), ("1 b=2", Progress::Done));
}

pub(super) async fn a_slice_ends_when_its_bytes_are_used_up(engine: Arc<dyn Engine>) {
    const MEBIBYTE: usize = 1024 * 1024;
    for key in 0..20_u8 {
        let mut rows = Batch::default();
        rows.put(vec![key], vec![key; MEBIBYTE]);
        commit(&engine, rows).await;
    }
    for direction in [Ascending, Descending] {
        let all = Scan { start: Bound::Unbounded, end: Bound::Unbounded, direction };
        let mut plan = Plan::new(vec![Step::Scan(all)]);
        let mut keys = Keys::default();
        let mut slices = 0;
        loop {
            let before = keys.0.len();
            let progress;
            (keys, progress) = engine.read(plan.clone(), keys).await.expect("reads");
            assert!((keys.0.len() - before - 1) * MEBIBYTE < SLICE_BYTES_MAX);
            slices += 1;
            match progress {
                Progress::Done => break,
                Progress::Paused(resume) => plan.resume = Some(resume),
            }
        }
        assert!(slices >= 2, "20 MiB do not fit into one slice");
        let mut expected: Vec<u8> = (0..20).collect();
        if direction == Descending {
            expected.reverse();
        }
        assert_eq!(keys.0, expected);
    }
}

pub(super) async fn many_gets_are_cut_into_slices(engine: Arc<dyn Engine>) {
    let mut rows = Batch::default();
    rows.put(b"a".to_vec(), vec![1; 3 * SLICE_BYTES_MAX / 8]);
    commit(&engine, rows).await;
    let plan = Plan::new(vec![get("a"); 7]);
    let (_, progress) = engine.read(plan.clone(), Keys::default()).await.expect("reads");
    assert_eq!(progress, Progress::Paused(Resume { step: 3, place: Place::Start }));
    let keys = engine.read_to_end(plan, Keys::default()).await.expect("reads");
    assert_eq!(keys.0.len(), 7);
}

pub(super) async fn every_slice_visits_a_row_however_large(engine: Arc<dyn Engine>) {
    for key in *b"abc" {
        let mut rows = Batch::default();
        rows.put(vec![key], vec![key; crate::limits::VALUE_LENGTH_MAX]);
        commit(&engine, rows).await;
    }
    let plan = Plan::new(vec![scan_prefix("")]);
    let keys = engine.read_to_end(plan, Keys::default()).await.expect("reads");
    assert_eq!(keys.0, b"abc");
}

pub(super) async fn an_empty_plan_is_done(engine: Arc<dyn Engine>) {
    let (text, progress) = slice(&engine, Plan::default(), Notes::new()).await;
    assert_eq!((text.as_str(), progress), ("", Progress::Done));
    let beyond = Some(Resume { step: 1, place: Place::Start });
    let plan = Plan { steps: vec![get("a")], resume: beyond };
    let (text, progress) = slice(&engine, plan, Notes::new()).await;
    assert_eq!((text.as_str(), progress), ("", Progress::Done));
}

pub(super) async fn a_view_is_consistent_while_others_write(engine: Arc<dyn Engine>) {
    const ROUNDS: u64 = 60;
    const KEYS: u8 = 40;
    let all_at = |round: u64| {
        let mut rows = Batch::default();
        for key in 0..KEYS {
            rows.put(vec![b'k', key], number_value(round));
        }
        rows
    };
    commit(&engine, all_at(0)).await;
    let mut readers = JoinSet::new();
    for _ in 0..3 {
        let engine = Arc::clone(&engine);
        readers.spawn(async move {
            let mut last = 0;
            while last < ROUNDS {
                let steps =
                    vec![Step::Get(vec![b'k', 0]), scan_prefix("k"), Step::Get(vec![b'k', 1])];
                let (rounds, _) =
                    engine.read(Plan::new(steps), Rounds::default()).await.expect("reads");
                assert_eq!(rounds.0.len(), usize::from(KEYS) + 2);
                assert!(rounds.0.iter().all(|&round| round == rounds.0[0]), "{:?}", rounds.0);
                assert!(rounds.0[0] >= last, "a view never goes back");
                last = rounds.0[0];
                tokio::task::yield_now().await;
            }
        });
    }
    for round in 1..=ROUNDS {
        commit(&engine, all_at(round)).await;
    }
    while let Some(ended) = readers.join_next().await {
        ended.expect("no reader saw half a batch");
    }
}

pub(super) async fn reads_can_be_dropped_at_any_time(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=1 b=2")).await;
    for _ in 0..50 {
        drop(engine.read(Plan::new(vec![scan_prefix("")]), Notes::new()));
        let read = engine.read(Plan::new(vec![scan_prefix("")]), Notes::new());
        // Polled once, then dropped, wherever it stands.
        let mut read = Box::pin(read);
        std::future::poll_fn(|context| {
            drop(read.as_mut().poll(context));
            std::task::Poll::Ready(())
        })
        .await;
    }
    assert_eq!(read(&engine, vec![get("a")]).await, "0 a=1");
}

/// The first byte of each key.
#[derive(Default)]
struct Keys(Vec<u8>);

impl Visitor for Keys {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        assert!(value.is_some());
        self.0.push(key[0]);
        Visit::Next
    }
}

/// The number in each value.
#[derive(Default)]
struct Rounds(Vec<u64>);

impl Visitor for Rounds {
    fn visit(&mut self, _: usize, _: &[u8], value: Option<&[u8]>) -> Visit {
        let text = str::from_utf8(value.expect("the key is there")).expect("digits");
        self.0.push(text.parse().expect("a number"));
        Visit::Next
    }
}

/// Jumps as `from>to` on keys of one letter, each made once, in this order; other rows are walked
/// over. After the last jump one more row is visited.
fn jumping(jumps: &str) -> Notes {
    let jumps: Vec<(String, Vec<u8>)> = jumps
        .split_whitespace()
        .map(|jump| jump.split_once('>').expect("from>to"))
        .map(|(from, to)| (format!("0 {from}="), to.as_bytes().to_vec()))
        .collect();
    let mut made = 0;
    Notes::wishing(move |line| match jumps.get(made) {
        Some((from, to)) if line.starts_with(from) => {
            made += 1;
            Visit::Seek(to.clone())
        }
        Some(_) => Visit::Next,
        None => Visit::Stop,
    })
}

/// From each row to the next jump's key.
struct Walk {
    jumps: Vec<u8>,
    keys: Vec<u8>,
}

impl Visitor for Walk {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        assert!(value.is_some());
        self.keys.push(key[0]);
        Visit::Seek(vec![self.jumps[self.keys.len()]])
    }
}
