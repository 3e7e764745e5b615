//! Jobs that wait for their turn: owners take turns, and within an owner jobs do.

use std::collections::{HashMap, VecDeque};

use settle_model::id::DatabaseName;
use settle_sync::id::ReplicationId;

/// Who shares places with others: the database of the job's document; or, of a request, who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    Database(DatabaseName),
    User(Option<String>),
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Each owner of a job that waits, once.
    turns: VecDeque<Owner>,
    jobs: HashMap<Owner, VecDeque<ReplicationId>>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.values().map(VecDeque::len).sum()
    }

    pub(super) fn push(&mut self, owner: Owner, id: ReplicationId) {
        let jobs = self.jobs.entry(owner.clone()).or_default();
        if jobs.is_empty() {
            self.turns.push_back(owner);
        }
        jobs.push_back(id);
    }

    pub(super) fn pop(&mut self) -> Option<ReplicationId> {
        let owner = self.turns.pop_front()?;
        let jobs = self.jobs.get_mut(&owner)?;
        let id = jobs.pop_front();
        if jobs.is_empty() {
            self.jobs.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
        id
    }

    pub(super) fn remove(&mut self, owner: &Owner, id: &ReplicationId) {
        let Some(jobs) = self.jobs.get_mut(owner) else { return };
        jobs.retain(|it| it != id);
        if jobs.is_empty() {
            self.jobs.remove(owner);
            self.turns.retain(|it| it != owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ReplicationId {
        let job = format!("{{\"source\":\"http://localhost/{name}\",\"target\":\"t\"}}");
        let job = settle_sync::job::Job::parse(job.as_bytes()).unwrap();
        ReplicationId::new("", &job, None)
    }

    #[test]
    fn owners_take_turns_and_their_jobs_do() {
        let mut queue = Queue::default();
        let owner = |name: &str| Owner::User(Some(name.to_owned()));
        for name in ["a1", "a2", "a3", "a4"] {
            queue.push(owner("a"), id(name));
        }
        queue.push(owner("b"), id("b1"));
        queue.push(owner("c"), id("c1"));
        queue.push(owner("c"), id("c2"));
        queue.remove(&owner("a"), &id("a2"));
        assert_eq!(queue.len(), 6);
        for expected in ["a1", "b1", "c1", "a3", "c2", "a4"] {
            assert_eq!(queue.pop(), Some(id(expected)), "{expected}");
        }
        assert!(queue.is_empty());
        assert_eq!(queue.pop(), None);
    }
}
