//! Finds, after a start, the events that were noted but not written.

use settle_engine::{Direction, Plan, Progress, Scan, Step, Visit, Visitor};
use settle_model::id::DatabaseName;

use crate::{
    error::StorageError,
    keys::{self, Keys},
    record::{
        site::{EventKind, EventOf, decode_name},
        state::State,
    },
    store::Shared,
};

/// Databases in one slice of the look round.
const SLICE: usize = 1_000;

pub(super) async fn run(shared: &Shared) -> Result<(), StorageError> {
    let names = Scan::prefix(&keys::names(), Direction::Ascending);
    let rows = Scan::prefix(&keys::events_of(), Direction::Ascending);
    let mut plan = Plan::new(vec![Step::Scan(names), Step::Scan(rows)]);
    loop {
        let (look, progress) = shared.engine.read(plan.clone(), Look::default()).await?;
        if let Some(error) = look.error {
            return Err(error);
        }
        for (kind, number, name, sequence) in look.missed {
            // A name that is not one can only be left by damage, which reads report.
            if let Ok(name) = DatabaseName::from_catalog(&name) {
                shared.events.note(kind, number, &name, sequence);
            }
        }
        match progress {
            Progress::Done => return Ok(()),
            Progress::Paused(resume) => plan.resume = Some(resume),
        }
        if shared.tasks.is_stopping() {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// The first step visits each name, then what the log says of it, then its state; the second step
/// visits each row of the log, then the database's live record.
#[derive(Default)]
struct Look {
    seen: usize,
    name: String,
    number: u64,
    row: Option<EventOf>,
    missed: Vec<(EventKind, u64, String, u64)>,
    error: Option<StorageError>,
}

impl Look {
    fn look(
        &mut self,
        step: usize,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<Visit, StorageError> {
        if step == 0 {
            if let Some(name) = keys::name_of(key) {
                self.number = decode_name(key, value.unwrap_or_default())?;
                name.clone_into(&mut self.name);
                return Ok(Visit::Follow(keys::event_of(self.number)));
            }
            if keys::event_of_database(key).is_some() {
                self.row = value.map(|value| EventOf::decode(key, value)).transpose()?;
                return Ok(Visit::Follow(Keys { number: self.number }.state()));
            }
            let state = value.map(|value| State::decode(key, value)).transpose()?;
            let sequence = state.map_or(0, |state| state.sequence);
            let name = std::mem::take(&mut self.name);
            match self.row.take() {
                None => self.missed.push((EventKind::Created, self.number, name, sequence)),
                Some(row) if row.sequence < sequence => {
                    self.missed.push((EventKind::Updated, self.number, name, sequence));
                }
                Some(_) => {}
            }
            return Ok(self.next());
        }
        if let Some(number) = keys::event_of_database(key) {
            let row = EventOf::decode(key, value.unwrap_or_default())?;
            self.number = number;
            if row.deleted != 0 {
                return Ok(self.next());
            }
            self.row = Some(row);
            return Ok(Visit::Follow(Keys { number }.live()));
        }
        if let (None, Some(row)) = (value, self.row.take()) {
            self.missed.push((EventKind::Deleted, self.number, row.name, row.sequence));
        }
        Ok(self.next())
    }

    fn next(&mut self) -> Visit {
        self.seen += 1;
        if self.seen.is_multiple_of(SLICE) { Visit::Pause } else { Visit::Next }
    }
}

impl Visitor for Look {
    fn visit(&mut self, step: usize, key: &[u8], value: Option<&[u8]>) -> Visit {
        self.look(step, key, value).unwrap_or_else(|error| {
            self.error = Some(error);
            Visit::Stop
        })
    }
}
