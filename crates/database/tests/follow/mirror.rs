//! A step that keeps a copy of every document in an engine of its own.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use settle_database::follow::{BoxFuture, ChangeBatch, FollowOptions, Follower, Step, StepError};
use settle_engine::{
    Batch, Direction, Engine, Expected, Outcome, Plan, Scan, Visit, Visitor, memory::MemoryEngine,
};
use settle_model::revision::RevId;
use tokio::sync::Semaphore;

use crate::support::TestDatabase;

/// How one call of the step goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    /// Waits for [`Mirror::let_go`].
    Slow,
    Fails,
    /// The commit is there, but nobody knows.
    AppliesAndFails,
    Dies,
    Panics,
}

#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    engine: Arc<dyn Engine>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    moods: Mutex<VecDeque<Mood>>,
    batch_sizes: Mutex<Vec<usize>>,
    begun: Semaphore,
    let_go: Semaphore,
}

impl Mirror {
    pub(crate) fn new() -> Self {
        Self::on(Arc::new(MemoryEngine::new()))
    }

    pub(crate) fn on(engine: Arc<dyn Engine>) -> Self {
        let shared = Shared {
            moods: Mutex::default(),
            batch_sizes: Mutex::default(),
            begun: Semaphore::new(0),
            let_go: Semaphore::new(0),
        };
        Self { engine, shared: Arc::new(shared) }
    }

    pub(crate) fn follow(&self, db: &TestDatabase, mut options: FollowOptions) -> Follower {
        options.form.conflicts = true;
        Follower::start(&db.db, &db.read, self.clone(), options)
    }

    /// How the next calls go; later ones are fine.
    pub(crate) fn moods(&self, moods: impl IntoIterator<Item = Mood>) {
        self.shared.moods.lock().unwrap().extend(moods);
    }

    /// Waits until a slow call has begun.
    pub(crate) async fn begun(&self) {
        self.shared.begun.acquire().await.unwrap().forget();
    }

    pub(crate) fn let_go(&self) {
        self.shared.let_go.add_permits(1);
    }

    pub(crate) fn calls(&self) -> usize {
        self.batch_sizes().len()
    }

    pub(crate) fn batch_sizes(&self) -> Vec<usize> {
        self.shared.batch_sizes.lock().unwrap().clone()
    }

    pub(crate) async fn ids(&self) -> Vec<String> {
        self.all().await.into_iter().map(|(id, _)| id).collect()
    }

    pub(crate) async fn document(&self, id: &str) -> Option<String> {
        let value = self.engine.get(format!("doc/{id}").into_bytes()).await.unwrap();
        value.map(|value| String::from_utf8(value).unwrap())
    }

    pub(crate) async fn rev(&self, id: &str) -> RevId {
        let document = self.document(id).await.unwrap();
        document.split('"').nth(7).unwrap().parse().unwrap()
    }

    /// Every document, by id.
    pub(crate) async fn all(&self) -> Vec<(String, String)> {
        let scan = Scan::prefix(b"doc/", Direction::Ascending);
        let plan = Plan::new(vec![settle_engine::Step::Scan(scan)]);
        self.engine.read_to_end(plan, Documents::default()).await.unwrap().0
    }

    async fn stored_cursor(&self) -> Result<Option<Vec<u8>>, StepError> {
        let failed =
            |error: settle_engine::ReadError| StepError::Retry { reason: error.to_string() };
        self.engine.get(b"cursor".to_vec()).await.map_err(failed)
    }

    async fn commit(&self, batch: ChangeBatch) -> Result<(), StepError> {
        let mut rows = Batch::default();
        let before = match batch.since {
            0 => Expected::Absent,
            since => Expected::Equals(since.to_be_bytes().to_vec()),
        };
        rows.require(b"cursor".to_vec(), before);
        let mut last = batch.since;
        for change in batch.changes {
            assert!(change.sequence > last || change.sequence > batch.until, "in order");
            last = change.sequence.min(batch.until);
            assert_eq!(change.deleted, change.document.is_none());
            assert!(change.deleted || change.rev.is_some());
            let key = format!("doc/{}", change.id).into_bytes();
            match change.document {
                Some(document) => rows.put(key, document.to_vec()),
                None => rows.delete(key),
            }
        }
        assert!(batch.until > batch.since);
        rows.put(b"cursor".to_vec(), batch.until.to_be_bytes().to_vec());
        match self.engine.commit(rows).await {
            Outcome::Committed => Ok(()),
            Outcome::Refused { .. } => panic!("a batch does not begin where the last one ended"),
            outcome @ (Outcome::NotApplied { .. } | Outcome::Unknown { .. }) => {
                Err(StepError::Retry { reason: format!("{outcome:?}") })
            }
        }
    }
}

impl Step for Mirror {
    fn cursor(&mut self) -> BoxFuture<'_, Result<u64, StepError>> {
        Box::pin(async {
            let cursor = self.stored_cursor().await?;
            Ok(cursor.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap())))
        })
    }

    fn apply(&mut self, batch: ChangeBatch) -> BoxFuture<'_, Result<(), StepError>> {
        Box::pin(async {
            let failed = Err(StepError::Retry { reason: "a test made it fail".to_owned() });
            let mood = self.shared.moods.lock().unwrap().pop_front().unwrap_or(Mood::Fine);
            match mood {
                Mood::Fine => {}
                Mood::Slow => {
                    self.shared.begun.add_permits(1);
                    self.shared.let_go.acquire().await.unwrap().forget();
                }
                Mood::Fails => return failed,
                Mood::AppliesAndFails => {
                    self.commit(batch).await?;
                    return failed;
                }
                Mood::Dies => {
                    return Err(StepError::Fatal { reason: "a test ended it".to_owned() });
                }
                Mood::Panics => panic!("a test made the step panic"),
            }
            self.shared.batch_sizes.lock().unwrap().push(batch.changes.len());
            self.commit(batch).await
        })
    }
}

#[derive(Default)]
struct Documents(Vec<(String, String)>);

impl Visitor for Documents {
    fn visit(&mut self, _: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        let id = String::from_utf8(key["doc/".len()..].to_vec()).unwrap();
        self.0.push((id, String::from_utf8(value.unwrap().to_vec()).unwrap()));
        Visit::Next
    }
}
