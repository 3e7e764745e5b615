use std::{collections::BTreeMap, fs};

use proptest::prelude::*;

use super::{Buffer, Merge, RunReader, SortError, Sorted};

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn buffer(rows: &[(Vec<u8>, Vec<u8>)]) -> Buffer {
    let mut buffer = Buffer::default();
    for (key, payload) in rows {
        buffer.push(key, payload);
    }
    buffer
}

fn all(mut merge: Merge) -> Result<Rows, SortError> {
    let mut rows = Vec::new();
    while let Some((key, payload)) = merge.next_row()? {
        rows.push((key.to_vec(), payload.to_vec()));
    }
    Ok(rows)
}

fn row() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let byte = prop_oneof![Just(0), Just(1), any::<u8>()];
    (proptest::collection::vec(byte, 0..12), proptest::collection::vec(any::<u8>(), 0..200))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn rows_come_in_order_whatever_runs_they_were_cut_into(
        rows in proptest::collection::vec(row(), 0..400),
        cuts in proptest::collection::vec(0_usize..400, 0..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let unique: BTreeMap<_, _> = rows.into_iter().collect();
        let expected: Rows = unique.clone().into_iter().collect();
        // As they came, not in order: spread by a hash.
        let mut shuffled = expected.clone();
        shuffled.sort_by_key(|(key, _)| crc32c::crc32c(key));
        let mut runs = Vec::new();
        let mut rest = shuffled.as_slice();
        for (number, cut) in cuts.iter().enumerate() {
            let (part, after) = rest.split_at((*cut).min(rest.len()));
            rest = after;
            let path = folder.path().join(number.to_string());
            let written = Merge::new(Vec::new(), buffer(part).sorted()).write(&path).unwrap();
            prop_assert_eq!(written.0, part.len() as u64);
            runs.push(RunReader::open(&path).unwrap());
        }
        prop_assert_eq!(all(Merge::new(runs, buffer(rest).sorted())).unwrap(), expected);
    }
}

#[test]
fn a_damaged_or_unfinished_run_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let rows: Rows = (0..200_u32).map(|it| (it.to_be_bytes().to_vec(), vec![7; 40])).collect();
    Merge::new(Vec::new(), buffer(&rows).sorted()).write(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let read = || all(Merge::new(vec![RunReader::open(&path)?], Sorted::default()));
    assert_eq!(read().unwrap(), rows);
    for at in (0..whole.len()).step_by(61) {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        fs::write(&path, &damaged).unwrap();
        assert!(read().is_err(), "byte {at}");
        fs::write(&path, &whole[..at]).unwrap();
        assert!(read().is_err(), "{at} bytes");
    }
}
