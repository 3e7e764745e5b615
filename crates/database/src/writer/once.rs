//! Planning writes that may come again.

use super::{EditResult, PreparedEdit, group::Group};
use crate::{
    edit::{Atomicity, EditError},
    error::StorageError,
    once::{Recorded, Recording},
};

impl Group<'_> {
    /// What stands under the key, or the results and their record. Where an edit has been overtaken none is made, so
    /// that all of them are judged again, and all stand in one commit.
    pub(super) async fn plan_once(
        &mut self,
        edits: &[PreparedEdit],
        atomicity: Atomicity,
        recording: &Recording,
    ) -> Result<Result<Vec<EditResult>, Recorded>, StorageError> {
        let key = recording.key.record(self.inner.keys);
        let payload = recording.key.payload();
        if let Some(record) = self.records.get(&key).filter(|it| it.expires > self.now) {
            return Ok(Err(if record.payload == payload {
                Recorded::Answer(record.answer.clone())
            } else {
                Recorded::Other
            }));
        }
        let before = self.save(edits.iter().map(|it| &it.edit.id));
        let results = self.plan_edits(edits, atomicity).await?;
        if results.iter().any(|it| matches!(it, Err(EditError::Overtaken))) {
            self.restore(before);
            return Ok(Ok(edits.iter().map(|_| Err(EditError::Overtaken)).collect()));
        }
        match recording.answer.of(&results) {
            Some(answer) => self.keep_record(key, payload, answer),
            None => debug_assert!(
                results.iter().all(Result::is_err),
                "what was made is remembered, lest it be made again"
            ),
        }
        Ok(Ok(results))
    }
}
