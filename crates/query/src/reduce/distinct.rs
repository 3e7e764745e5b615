//! `_approx_count_distinct`: how many different keys there are, by HyperLogLog.
//!
//! Each key is hashed to 64 bits: 12 choose one of 4,096 registers, which keeps the longest run of zeros
//! that the others began with. The standard error is 1.04 / √4096 = 1.6 %; up to some hundred keys the
//! count is mostly exact. Keys that are equal as values are equal here, however they are spelt.
//!
//! The registers of few keys are written as pairs of place and run, those of many as they are: 4 KiB.
//!
//! Source: the estimate is that of O. Ertl, "New cardinality estimation algorithms for HyperLogLog
//! sketches" (2017), algorithm 6, which needs no table of corrections.

use super::{ReduceError, bytes::DAMAGED};
use crate::collate::{Collation, push_sort_key};

const PRECISION: u32 = 12;
const REGISTERS: usize = 1 << PRECISION;
/// The longest run, and one more for a hash that is all zeros.
const RUN_MAX: usize = 64 - PRECISION as usize + 1;
/// Three bytes each, so that they are shorter than all registers.
const PAIRS_MAX: usize = 1024;

const PAIRS: u8 = 1;
const DENSE: u8 = 2;

struct Registers([u8; REGISTERS]);

pub(super) fn reduce<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut registers = Registers([0; REGISTERS]);
    let mut bytes = Vec::new();
    for key in keys {
        bytes.clear();
        push_sort_key(&mut bytes, key, Collation::Raw);
        let digest = blake3::hash(&bytes);
        let hash = digest.as_bytes().first_chunk().expect("32 bytes");
        registers.insert(u64::from_le_bytes(*hash));
    }
    registers.write()
}

pub(super) fn combine<'a>(partials: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut registers = Registers([0; REGISTERS]);
    for partial in partials {
        if registers.merge(partial).is_none() {
            return DAMAGED.to_vec();
        }
    }
    registers.write()
}

pub(super) fn finish(partial: &[u8]) -> Result<Vec<u8>, ReduceError> {
    let mut registers = Registers([0; REGISTERS]);
    if !partial.is_empty() {
        registers.merge(partial).ok_or(ReduceError::Damaged)?;
    }
    Ok(format!("{:.0}", registers.estimate()).into_bytes())
}

impl Registers {
    fn insert(&mut self, hash: u64) {
        let place = usize::try_from(hash >> (64 - PRECISION)).expect("12 bits");
        let rest = hash << PRECISION | 1 << (PRECISION - 1); // the mark ends the longest run
        self.raise(place, u8::try_from(rest.leading_zeros() + 1).expect("at most 53"));
    }

    fn raise(&mut self, place: usize, run: u8) {
        self.0[place] = self.0[place].max(run);
    }

    fn write(&self) -> Vec<u8> {
        let used = || self.0.iter().enumerate().filter(|(_, run)| **run > 0);
        match used().count() {
            0 => Vec::new(),
            1..=PAIRS_MAX => {
                let mut out = vec![PAIRS];
                for (place, run) in used() {
                    let place = u16::try_from(place).expect("12 bits");
                    out.extend_from_slice(&place.to_be_bytes());
                    out.push(*run);
                }
                out
            }
            _ => [&[DENSE], &self.0[..]].concat(),
        }
    }

    fn merge(&mut self, partial: &[u8]) -> Option<()> {
        match partial.split_first()? {
            (&PAIRS, pairs) if pairs.len() % 3 == 0 => {
                for pair in pairs.chunks_exact(3) {
                    let place = usize::from(u16::from_be_bytes([pair[0], pair[1]]));
                    if place >= REGISTERS || usize::from(pair[2]) > RUN_MAX {
                        return None;
                    }
                    self.raise(place, pair[2]);
                }
            }
            (&DENSE, runs) if runs.len() == REGISTERS => {
                for (place, &run) in runs.iter().enumerate() {
                    if usize::from(run) > RUN_MAX {
                        return None;
                    }
                    self.raise(place, run);
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn estimate(&self) -> f64 {
        let mut counts = [0_u32; RUN_MAX + 1];
        for &run in &self.0 {
            counts[usize::from(run)] += 1;
        }
        let all = REGISTERS as f64;
        let share = |run: usize| f64::from(counts[run]) / all;
        let mut z = all * tau(1.0 - share(RUN_MAX));
        for run in (1..RUN_MAX).rev() {
            z = 0.5 * (z + f64::from(counts[run]));
        }
        z += all * sigma(share(0));
        all * all / (2.0 * std::f64::consts::LN_2 * z)
    }
}

fn sigma(share: f64) -> f64 {
    if share >= 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (share, 1.0, share);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

fn tau(share: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (share, 1.0, 1.0 - share);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}
