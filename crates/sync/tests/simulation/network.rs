//! What lies between: how long a message takes, and what becomes of it.

use std::time::Duration;

use settle_sync::replication::{Failure, FailureKind};

use crate::random::Random;

/// How bad it is, in percent.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) lost: u64,
    pub(crate) silent: u64,
    pub(crate) twice: u64,
    pub(crate) busy: u64,
    pub(crate) broken: u64,
    pub(crate) latency_ms: u64,
}

/// What happens to one request.
pub(crate) enum Fate {
    /// It is carried out, and answered.
    Answered,
    /// As [`Fate::Answered`], and the answer comes a second time.
    AnsweredTwice,
    /// It is not carried out; the caller is told so, or not.
    Dropped(Option<Failure>),
    /// It is carried out; the caller hears of a failure, or nothing.
    AnswerLost(Option<Failure>),
}

impl Network {
    pub(crate) fn quiet() -> Self {
        Self { lost: 0, silent: 0, twice: 0, busy: 0, broken: 0, latency_ms: 20 }
    }

    pub(crate) fn drawn(random: &mut Random) -> Self {
        let worst = *[0, 3, 10, 25].get(random.place(4)).unwrap();
        let mut draw = || random.below(worst + 1);
        Self {
            lost: draw(),
            silent: draw() / 2,
            twice: draw(),
            busy: draw() / 2,
            broken: draw() / 2,
            latency_ms: random.between(1, 400),
        }
    }

    pub(crate) fn latency(&self, random: &mut Random) -> Duration {
        let spread = if random.percent(5) { 20 } else { 1 };
        Duration::from_millis(random.between(1, self.latency_ms * spread))
    }

    pub(crate) fn fate(&self, random: &mut Random) -> Fate {
        let failure = |kind| Some(Failure { kind, reason: "so it is".to_owned() });
        let early = random.percent(50);
        if random.percent(self.lost) {
            let failure = failure(FailureKind::Lost);
            return if early { Fate::Dropped(failure) } else { Fate::AnswerLost(failure) };
        }
        if random.percent(self.silent) {
            return if early { Fate::Dropped(None) } else { Fate::AnswerLost(None) };
        }
        if random.percent(self.busy) {
            let seconds = random.below(60);
            let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds));
            return Fate::Dropped(failure(FailureKind::Busy { retry_after }));
        }
        if random.percent(self.broken) {
            return Fate::Dropped(failure(FailureKind::Broken));
        }
        if random.percent(self.twice) { Fate::AnsweredTwice } else { Fate::Answered }
    }
}
