//! Rounds: sides of one measure that play in turns, and what comes out of it.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{limits::ROUNDS, usage::Pid};

/// What one side did in one round.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Sample {
    /// Requests, documents or rows: what the measure counts.
    pub(crate) count: u64,
    pub(crate) wall_seconds: f64,
    /// Of the process that did the work; unknown of a peer.
    pub(crate) cpu_seconds: Option<f64>,
}

/// One side of a measure: ours, a limit, a peer. Its round is played on demand.
pub(crate) struct Side<'a> {
    name: &'static str,
    play: Box<dyn FnMut(usize) -> Result<Sample, anyhow::Error> + 'a>,
}

/// What a measure is expected to show of the first side beside the second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// CPU time of one, in multiples of the limit's.
    CpuAtMost(f64),
    /// Speed, in multiples of the limit's.
    SpeedAtLeast(f64),
    /// Counted things in a second of the server's CPU time.
    PerCpuSecondAtLeast(f64),
    None,
}

/// All rounds of a measure, medians found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measure {
    pub(crate) name: String,
    /// What is counted, as a plural.
    pub(crate) unit: &'static str,
    pub(crate) goal: Goal,
    pub(crate) sides: Vec<Played>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Played {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<Sample>,
}

impl std::fmt::Debug for Side<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Side").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> Side<'a> {
    pub(crate) fn new(
        name: &'static str,
        play: impl FnMut(usize) -> Result<Sample, anyhow::Error> + 'a,
    ) -> Self {
        Self { name, play: Box::new(play) }
    }
}

/// Plays the sides in turns. The first round warms everything up and is not kept; later ones begin with
/// another side each time, so that none always follows the same.
pub(crate) fn alternate(
    name: &str,
    unit: &'static str,
    goal: Goal,
    mut sides: Vec<Side<'_>>,
) -> Result<Measure, anyhow::Error> {
    let mut played: Vec<_> =
        sides.iter().map(|side| Played { name: side.name, rounds: Vec::new() }).collect();
    let count = sides.len();
    for round in 0..=ROUNDS {
        for turn in 0..count {
            let at = (turn + round) % count;
            let sample = (sides[at].play)(round)?;
            if round > 0 {
                played[at].rounds.push(sample);
            }
        }
    }
    Ok(Measure { name: name.to_owned(), unit, goal, sides: played })
}

/// Takes the time and the CPU time of a process while `work` is done; `work` says how much that was.
pub(crate) fn sample(
    of: Option<Pid>,
    work: impl FnOnce() -> Result<u64, anyhow::Error>,
) -> Result<Sample, anyhow::Error> {
    let cpu_before = of.map(Pid::cpu).transpose()?;
    let begun = Instant::now();
    let count = work()?;
    let wall = begun.elapsed();
    let cpu_after = of.map(Pid::cpu).transpose()?;
    let cpu = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
    Ok(Sample {
        count,
        wall_seconds: wall.as_secs_f64(),
        cpu_seconds: cpu.as_ref().map(Duration::as_secs_f64),
    })
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl Sample {
    fn per_second(&self) -> f64 {
        self.count as f64 / self.wall_seconds
    }

    /// Seconds.
    pub(crate) fn cpu_each(&self) -> Option<f64> {
        self.cpu_seconds.map(|seconds| seconds / self.count as f64)
    }
}

impl Played {
    pub(crate) fn per_second(&self) -> f64 {
        median(self.rounds.iter().map(Sample::per_second)).unwrap_or(0.0)
    }

    /// Seconds.
    pub(crate) fn cpu_each(&self) -> Option<f64> {
        median(self.rounds.iter().filter_map(Sample::cpu_each))
    }
}

impl Measure {
    fn ours(&self) -> &Played {
        &self.sides[0]
    }

    /// What the goal is about, of the medians; for measures without one, the speed beside the limit.
    pub(crate) fn reached(&self) -> Option<f64> {
        let limit = self.sides.get(1);
        match self.goal {
            Goal::CpuAtMost(_) => Some(self.ours().cpu_each()? / limit?.cpu_each()?),
            Goal::SpeedAtLeast(_) | Goal::None => {
                Some(self.ours().per_second() / limit?.per_second())
            }
            Goal::PerCpuSecondAtLeast(_) => self.ours().cpu_each().map(f64::recip),
        }
    }

    /// Whether the goal is met; `None` where there is none.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let reached = self.reached()?;
        match self.goal {
            Goal::CpuAtMost(most) => Some(reached <= most),
            Goal::SpeedAtLeast(least) | Goal::PerCpuSecondAtLeast(least) => Some(reached >= least),
            Goal::None => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A measure whose sides have these (count, wall seconds, CPU seconds) in every round.
    pub(crate) fn measure(goal: Goal, sides: &[(&'static str, u64, f64, Option<f64>)]) -> Measure {
        let sides = sides.iter().map(|&(name, count, wall_seconds, cpu_seconds)| {
            Side::new(name, move |_| Ok(Sample { count, wall_seconds, cpu_seconds }))
        });
        alternate("reads of a document", "requests", goal, sides.collect()).unwrap()
    }

    #[test]
    fn every_side_plays_every_round_and_the_first_round_is_not_kept() {
        let order = std::cell::RefCell::new(String::new());
        let side = |name: &'static str| {
            let order = &order;
            Side::new(name, move |round| {
                order.borrow_mut().push_str(name);
                Ok(Sample { count: round as u64, wall_seconds: 1.0, cpu_seconds: None })
            })
        };
        let measure = alternate("m", "requests", Goal::None, vec![side("a"), side("b")]).unwrap();
        assert_eq!(*order.borrow(), "abbaabbaabba");
        let counts: Vec<_> = measure.sides[1].rounds.iter().map(|sample| sample.count).collect();
        assert_eq!(counts, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn goals_compare_medians_of_ours_with_the_limit() {
        let sides = [("settle", 100, 2.0, Some(0.3)), ("bare", 100, 1.0, Some(0.2))];
        let of = |goal| {
            let measure = measure(goal, &sides);
            (measure.reached().map(|it| (it * 100.0).round() / 100.0), measure.is_met())
        };
        assert_eq!(of(Goal::CpuAtMost(1.7)), (Some(1.5), Some(true)));
        assert_eq!(of(Goal::SpeedAtLeast(0.7)), (Some(0.5), Some(false)));
        assert_eq!(of(Goal::PerCpuSecondAtLeast(300.0)), (Some(333.33), Some(true)));
        assert_eq!(of(Goal::None), (Some(0.5), None));
    }

    #[test]
    fn the_median_is_the_middle_and_nothing_has_none() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([]), None);
    }
}
