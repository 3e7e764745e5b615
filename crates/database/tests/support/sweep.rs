//! Lives that meet every fault at every operation of the engine.

use std::sync::Arc;

use settle_engine::{
    Engine,
    faulty::{Counts, Fault, FaultyEngine, Kind},
    memory::MemoryEngine,
};

use super::embedded;

/// The nth operation of a kind, and what happens there.
pub type Place = (Kind, u64, Fault);

/// Operations that are left out, since they make what a life begins with.
#[derive(Debug, Clone, Copy)]
pub struct Sweep {
    pub commits: u64,
    pub reads: u64,
}

const FAULTS: [Fault; 8] = [
    Fault::Fails { storage_full: true },
    Fault::Fails { storage_full: false },
    Fault::Unknown { applied: true, halts: true },
    Fault::Unknown { applied: false, halts: true },
    Fault::Unknown { applied: true, halts: false },
    Fault::Unknown { applied: false, halts: false },
    Fault::Crash { applied: true },
    Fault::Crash { applied: false },
];

impl Sweep {
    /// `live` is a life on an engine that it puts into a faulty one, which comes back. It checks what is left.
    pub async fn in_memory(
        self,
        live: impl AsyncFn(Arc<dyn Engine>, Option<Place>) -> Arc<FaultyEngine>,
    ) {
        let counts = live(Arc::new(MemoryEngine::new()), None).await.counts();
        for place in self.places(counts) {
            live(Arc::new(MemoryEngine::new()), Some(place)).await;
        }
    }

    /// The same with one place in `every`: each of them waits for the disk.
    pub async fn on_disk(
        self,
        every: usize,
        live: impl AsyncFn(Arc<dyn Engine>, Option<Place>) -> Arc<FaultyEngine>,
    ) {
        let (_folder, engine) = embedded();
        let counts = live(engine, None).await.counts();
        for place in self.places(counts).step_by(every) {
            let (_folder, engine) = embedded();
            live(engine, Some(place)).await;
        }
    }

    fn places(self, counts: Counts) -> impl Iterator<Item = Place> {
        let Self { commits, reads } = self;
        assert!(counts.commits > commits + 2 && counts.reads > reads, "{counts:?}");
        let commits = (commits..counts.commits).map(|nth| (Kind::Commit, nth));
        let all = commits.chain((reads..counts.reads).map(|nth| (Kind::Read, nth)));
        all.flat_map(|(kind, nth)| FAULTS.map(|fault| (kind, nth, fault)))
    }
}
