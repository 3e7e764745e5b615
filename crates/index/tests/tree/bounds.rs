//! What a question reads grows with the logarithm of the rows, whatever rows there are.

use settle_database::Direction;
use settle_index::tree::{Edge, Grouping, NewRow, Range, ReduceScan, RowKey};
use settle_query::collate::Collation;

use crate::world::{REDUCERS, World, between, row, sort_key};

const ROWS: u32 = 20_000;

/// For twenty thousand rows: some rows, and entries of each of four levels, at both ends.
const VISITS_MAX: u64 = 400;

async fn reduce(world: &mut World, range: Range, grouping: Grouping) -> (usize, u64) {
    let before = world.visits;
    let scan = ReduceScan {
        range,
        reducer: 0,
        grouping,
        direction: Direction::Ascending,
        skip: 0,
        limit: u64::MAX,
        partition: Vec::new(),
        collation: Collation::Unicode,
    };
    let groups = world.reduce(scan.clone()).await;
    assert_eq!(groups, world.model.reduce(&scan, REDUCERS[0]));
    (groups.len(), world.visits - before)
}

fn rows(key: impl Fn(u32) -> String) -> Vec<NewRow> {
    (0..ROWS).map(|n| row(&key(n), &format!("doc{n:06}"), 0, &(n % 7).to_string())).collect()
}

/// Random ranges of keys that are numbers.
async fn check_ranges(world: &mut World) {
    let mut most = 0;
    for step in 0..60_u32 {
        let start = step * 7_919 % ROWS;
        let end = (start + step * step * 13) % ROWS;
        let range = between(&start.min(end).to_string(), &start.max(end).to_string());
        let (_, visits) = reduce(world, range, Grouping::All).await;
        most = most.max(visits);
    }
    assert!(most < VISITS_MAX, "{most}");
    let (_, visits) = reduce(world, Range::default(), Grouping::All).await;
    assert!(visits < 5, "everything is one entry: {visits}");
}

#[tokio::test]
async fn a_range_reads_a_logarithm_of_its_rows() {
    let mut world = World::new();
    world.load(rows(|n| n.to_string())).await;
    let shape = world.audit().await;
    let longest = shape.segments.iter().flatten().max();
    assert!(longest.is_some_and(|&longest| longest <= 64));
    check_ranges(&mut world).await;
}

#[tokio::test]
async fn groups_cost_a_logarithm_each() {
    let mut world = World::new();
    world.load(rows(|n| format!("[{},{n}]", n / 400))).await;
    let (groups, visits) = reduce(&mut world, Range::default(), Grouping::Level(1)).await;
    assert_eq!(groups, 50);
    assert!(visits < 50 * 100, "{visits}");
    let (groups, visits) = reduce(&mut world, Range::default(), Grouping::Exact).await;
    assert_eq!(groups, usize::try_from(ROWS).unwrap());
    assert!(visits < u64::from(ROWS) * 2, "a group of one row is one visit: {visits}");
}

#[tokio::test]
async fn deleting_what_begins_segments_leaves_the_bound() {
    let mut world = World::new();
    world.load(rows(|n| n.to_string())).await;
    // Whoever could see where segments begin would delete these rows.
    for _ in 0..4 {
        let shape = world.audit().await;
        let mut at = 0;
        let mut starts = Vec::new();
        for length in &shape.segments[0] {
            starts.push(at);
            at += length;
        }
        let keys: Vec<&RowKey> = world.model.rows.keys().collect();
        let doomed = starts.iter().map(|&at| keys[at].clone()).collect();
        world.apply(Vec::new(), doomed).await;
    }
    world.audit().await;
    check_ranges(&mut world).await;
    // And nine tenths of the rest.
    let doomed = world.model.rows.keys().enumerate().filter(|(at, _)| at % 10 != 0);
    let doomed = doomed.map(|(_, key)| key.clone()).collect();
    world.apply(Vec::new(), doomed).await;
    world.audit().await;
    check_ranges(&mut world).await;
}

#[tokio::test]
async fn keys_that_are_all_equal_or_all_long_cost_no_more() {
    let long = "x".repeat(900);
    for key in ["1".to_owned(), format!("{long:?}")] {
        let mut world = World::new();
        world.load(rows(|_| key.clone())).await;
        let edge = |id: &str| Some(format!("doc{id}"));
        let range = Range {
            start: Edge::Before { sort_key: sort_key(&key), id: edge("000999") },
            end: Edge::After { sort_key: sort_key(&key), id: edge("018888") },
        };
        let (groups, visits) = reduce(&mut world, range, Grouping::Exact).await;
        assert_eq!(groups, 1);
        assert!(visits < VISITS_MAX, "{visits}");
    }
}

#[tokio::test]
async fn skipping_far_is_as_quick_and_right() {
    let mut world = World::new();
    world.load(rows(|n| (n / 3).to_string())).await;
    for (skip, limit) in [(1_000, 5), (ROWS / 2, 3), (ROWS - 1, 9), (ROWS, 1), (ROWS * 2, 1)] {
        for range in [Range::default(), between("500", "6000")] {
            for direction in [Direction::Ascending, Direction::Descending] {
                let (skip, range) = (u64::from(skip), range.clone());
                let scan = settle_index::tree::RowScan { range, direction, skip, limit };
                let (rows, offset) = world.rows(scan.clone(), 100).await;
                assert_eq!((rows, offset), world.model.rows(&scan));
            }
        }
    }
}
