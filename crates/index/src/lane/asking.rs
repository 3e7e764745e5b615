//! Asking a validator in JavaScript: what waits while one call runs is asked together in the next.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use settle_database::Tasks;
use settle_script::{Program, ScriptError, Scripts, Thrown, ValidateEdit};
use tokio::sync::oneshot;

use super::Context;
use crate::limits::{ASKED_AT_ONCE_BYTES_MAX, ASKED_AT_ONCE_MAX, SLOW_ANSWERS_MAX};

type Answers = Result<Vec<Result<(), Thrown>>, ScriptError>;

#[derive(Debug, Clone)]
pub(super) struct Asking {
    scripts: Scripts,
    tasks: Tasks,
    queues: Arc<Mutex<HashMap<Key, VecDeque<Waiting>>>>,
}

/// What must be equal for edits to be asked about in one call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    database: u64,
    design: Arc<str>,
    digest: [u8; 16],
    user_ctx: Bytes,
    security: Bytes,
}

#[derive(Debug)]
struct Waiting {
    edits: Vec<ValidateEdit>,
    answer: oneshot::Sender<Answers>,
}

impl Asking {
    pub(super) fn new(scripts: Scripts, tasks: Tasks) -> Self {
        Self { scripts, tasks, queues: Arc::default() }
    }

    /// Asks `program` about each edit.
    pub(super) async fn ask(
        &self,
        program: &Program,
        edits: Vec<ValidateEdit>,
        context: &Context,
    ) -> Answers {
        let key = Key {
            database: program.database,
            design: program.design.clone(),
            digest: program.digest,
            user_ctx: context.user_ctx.clone(),
            security: context.security.clone(),
        };
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut queues = self.queues();
            let is_first = !queues.contains_key(&key);
            queues.entry(key.clone()).or_default().push_back(Waiting { edits, answer });
            is_first
        };
        if is_first {
            // A task of its own, since others wait for it when this request goes away.
            let (asking, program) = (self.clone(), program.clone());
            self.tasks.spawn(async move { asking.run(&key, &program).await });
        }
        answered.await.unwrap_or(Err(ScriptError::Closed))
    }

    async fn run(&self, key: &Key, program: &Program) {
        let mut gone = Gone { asking: self, key, is_gone: false };
        let mut slow = 0;
        while let Some(waiting) = self.take(key) {
            let all = waiting.iter().flat_map(|it| it.edits.iter().cloned()).collect();
            match self.call(key, program, all).await {
                Ok(mut answers) => {
                    for Waiting { edits, answer } in waiting {
                        let rest = answers.split_off(edits.len().min(answers.len()));
                        // Whoever asked may have gone away.
                        drop(answer.send(Ok(std::mem::replace(&mut answers, rest))));
                    }
                }
                Err(error) if waiting.len() == 1 => {
                    for Waiting { answer, .. } in waiting {
                        drop(answer.send(Err(error.clone())));
                    }
                }
                // One of them may be what it stumbled over; the others shall not suffer for it, as long
                // as that does not take for ever.
                Err(mut error) => {
                    for Waiting { edits, answer } in waiting {
                        let answers = if slow >= SLOW_ANSWERS_MAX {
                            Err(error.clone())
                        } else {
                            self.call(key, program, edits).await
                        };
                        if let Err(failed) = &answers {
                            error = failed.clone();
                            slow += usize::from(is_costly(failed));
                        }
                        drop(answer.send(answers));
                    }
                }
            }
        }
        // Taken away with the last look, and perhaps begun anew by another since.
        gone.is_gone = true;
    }

    /// A validator that fails on an edit, rather than refuse it, ends the call; then each is asked about by
    /// itself.
    async fn call(&self, key: &Key, program: &Program, edits: Vec<ValidateEdit>) -> Answers {
        match self.call_once(key, program, edits.clone()).await {
            Err(ScriptError::Thrown(thrown)) if edits.len() == 1 => Ok(vec![Err(thrown)]),
            Err(ScriptError::Thrown(_)) => {
                let mut answers = Vec::with_capacity(edits.len());
                for edit in edits {
                    match self.call_once(key, program, vec![edit]).await {
                        Err(ScriptError::Thrown(thrown)) => answers.push(Err(thrown)),
                        answer => answers.append(&mut answer?),
                    }
                }
                Ok(answers)
            }
            answers => answers,
        }
    }

    async fn call_once(&self, key: &Key, program: &Program, edits: Vec<ValidateEdit>) -> Answers {
        let count = edits.len();
        let (user_ctx, security) = (key.user_ctx.clone(), key.security.clone());
        let answers = self.scripts.validate(program, edits, user_ctx, security).await?;
        if answers.len() == count {
            Ok(answers)
        } else {
            let function = "validate_doc_update".to_owned();
            let problem = "did not answer for each edit".to_owned();
            Err(ScriptError::BadResult { function, problem })
        }
    }

    /// What is asked about next; the queue goes when nothing is left.
    fn take(&self, key: &Key) -> Option<Vec<Waiting>> {
        let mut queues = self.queues();
        let queue = queues.get_mut(key)?;
        let mut taken = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        while let Some(next) = queue.front() {
            count += next.edits.len();
            bytes += next.edits.iter().map(bytes_of).sum::<usize>();
            let fits = count <= ASKED_AT_ONCE_MAX && bytes <= ASKED_AT_ONCE_BYTES_MAX;
            if !fits && !taken.is_empty() {
                break;
            }
            taken.extend(queue.pop_front());
        }
        if taken.is_empty() {
            queues.remove(key);
            return None;
        }
        Some(taken)
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<Key, VecDeque<Waiting>>> {
        // Every change leaves the map whole, so a panic elsewhere says nothing.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the queue away when its task is torn down, so that the next one who asks begins another.
struct Gone<'a> {
    asking: &'a Asking,
    key: &'a Key,
    is_gone: bool,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        if !self.is_gone {
            self.asking.queues().remove(self.key);
        }
    }
}

fn bytes_of(edit: &ValidateEdit) -> usize {
    edit.new.len() + edit.old.as_ref().map_or(0, Bytes::len)
}

/// Whether the next one like it takes as long.
fn is_costly(error: &ScriptError) -> bool {
    match error {
        ScriptError::Deadline { .. } | ScriptError::Memory { .. } | ScriptError::Died { .. } => {
            true
        }
        ScriptError::Compilation { .. }
        | ScriptError::Missing { .. }
        | ScriptError::Thrown(_)
        | ScriptError::TooLarge { .. }
        | ScriptError::BadResult { .. }
        | ScriptError::Busy
        | ScriptError::Closed
        | ScriptError::Launch(_) => false,
    }
}
