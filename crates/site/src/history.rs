//! Going back to what a database was, and making another one of it.

use std::collections::BTreeSet;

use settle_access::{AccessError, Actor, Administer, AdministerServer, Grant, Read, Write};
use settle_accounts::QuotaError;
use settle_database::{
    At, CopyError, CreateOptions, Database, DocumentForm, HeldMoment, KeepError, LocalError,
    Moment, Next, PastError, Reversal, RevertError, SettingError, SnapshotName, StorageError,
    limits::REVERT_DOCUMENTS_MAX,
};
use settle_model::id::{DatabaseName, LocalId};
use settle_query::selector::Selector;
use thiserror::Error;

use crate::{NewDatabaseError, Site, limits::REVERT_ATTEMPTS_MAX};

/// Where a copy that is being made says how far it has come.
const FORK: &str = "_local/settle-fork";

/// Slices of a copy between two notes of how far it has come.
const NOTE_EVERY: u32 = 16;

/// What is to go back to a moment.
#[derive(Debug, Clone)]
pub struct Revert {
    pub to: Moment,
    /// These documents alone.
    pub ids: Option<BTreeSet<String>>,
    /// Documents that this selects, as they are or as they were.
    pub selector: Option<Selector>,
}

/// What going back would change.
#[derive(Debug, Default)]
pub struct PlannedRevert {
    pub reversals: Vec<Reversal>,
    /// Documents that stay as they are, since the database only ever appends to them.
    pub left_out: Vec<String>,
}

impl PlannedRevert {
    /// Of the contents that come back, roughly.
    fn bytes(&self) -> u64 {
        self.reversals.iter().map(|it| it.bytes).sum()
    }
}

/// Why nothing goes back, or no more.
#[derive(Debug, Error)]
pub enum SiteRevertError {
    #[error(transparent)]
    Revert(#[from] RevertError),
    #[error(transparent)]
    Quota(#[from] QuotaError),
}

impl From<PastError> for SiteRevertError {
    fn from(error: PastError) -> Self {
        Self::Revert(error.into())
    }
}

impl From<KeepError> for SiteRevertError {
    fn from(error: KeepError) -> Self {
        Self::Revert(error.into())
    }
}

#[derive(Debug, Error)]
pub enum ForkError {
    #[error("there is a database of this name already")]
    Exists,
    #[error(transparent)]
    New(#[from] NewDatabaseError),
    #[error(transparent)]
    Quota(#[from] QuotaError),
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    Local(#[from] LocalError),
}

impl From<StorageError> for ForkError {
    fn from(error: StorageError) -> Self {
        Self::Copy(error.into())
    }
}

impl From<AccessError> for ForkError {
    fn from(error: AccessError) -> Self {
        Self::New(error.into())
    }
}

/// What documents a revert is about, and which never go back.
struct Choice {
    selector: Option<Selector>,
    append_only: Option<Selector>,
}

impl Site {
    /// What going back would change.
    pub async fn plan_revert(
        &self,
        database: &Database,
        grant: &Grant<Administer>,
        revert: &Revert,
    ) -> Result<PlannedRevert, RevertError> {
        let read = grant.internally::<Read>("to see what a revert changes");
        let choice = self.choice(database, &read, revert).await?;
        let mut planned = PlannedRevert::default();
        let mut next = Next::Go(0);
        while let Next::Go(since) = next {
            let ids = revert.ids.as_ref();
            let (found, after) = database.plan_revert(&read, revert.to, (since, None), ids).await?;
            next = after;
            choice.sift(database, &read, revert.to, found, &mut planned).await?;
            if planned.reversals.len() > REVERT_DOCUMENTS_MAX {
                return Err(RevertError::too_large());
            }
        }
        Ok(planned)
    }

    /// Goes back: all of it at once, with a snapshot of what there was before.
    pub async fn revert(
        &self,
        database: &Database,
        grant: &Grant<Administer>,
        revert: &Revert,
        snapshot: &SnapshotName,
    ) -> Result<PlannedRevert, SiteRevertError> {
        let read = grant.internally::<Read>("to see what a revert changes");
        let write = grant.internally::<Write>("a revert writes documents");
        let mut attempt = 1;
        loop {
            let planned = self.plan_revert(database, grant, revert).await?;
            self.check_room_for(database, planned.bytes()).await?;
            let (to, snapshot) = (revert.to, Some(snapshot.clone()));
            let grants = (&read, &write);
            match database.make_revert(grants, to, &planned.reversals, snapshot).await {
                Ok(()) => return Ok(planned),
                // Somebody wrote to one of the documents meanwhile.
                Err(RevertError::Conflict) if attempt < REVERT_ATTEMPTS_MAX => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Goes back in parts, each of them a commit: for more than one commit bears. What was there before has this name; where
    /// there is such a snapshot already, an interrupted revert goes on. Documents that somebody writes to after that snapshot
    /// stay as they are, those that have gone back among them: it holds all that is undone.
    ///
    /// Gives how many documents were changed, and those that were left out.
    pub async fn revert_in_parts(
        &self,
        database: &Database,
        grant: &Grant<Administer>,
        revert: &Revert,
        snapshot: &SnapshotName,
    ) -> Result<(usize, Vec<String>), SiteRevertError> {
        let read = grant.internally::<Read>("to see what a revert changes");
        let mut held = database.hold(&read, revert.to, "revert").await?;
        let done = self.revert_held(database, grant, (revert, &mut held), snapshot).await;
        // If this fails, it runs out.
        let released = held.release().await;
        let done = done?;
        released?;
        Ok(done)
    }

    async fn revert_held(
        &self,
        database: &Database,
        grant: &Grant<Administer>,
        (revert, held): (&Revert, &mut HeldMoment),
        snapshot: &SnapshotName,
    ) -> Result<(usize, Vec<String>), SiteRevertError> {
        let read = grant.internally::<Read>("to see what a revert changes");
        let before = match database.take_snapshot(grant, snapshot.clone(), None).await {
            Ok(_) => database.moment(&read, &At::Snapshot(snapshot.clone())).await?,
            Err(KeepError::Exists) => {
                let before = database.moment(&read, &At::Snapshot(snapshot.clone())).await?;
                if before.sequence() <= revert.to.sequence() {
                    return Err(KeepError::Exists.into());
                }
                before
            }
            Err(error) => return Err(error.into()),
        };
        let write = grant.internally::<Write>("a revert writes documents");
        let choice = self.choice(database, &read, revert).await?;
        let (mut changed, mut left_out) = (0, BTreeSet::new());
        let (mut since, mut attempt) = (0, 1);
        loop {
            let ids = revert.ids.as_ref();
            let (found, after) =
                database.plan_revert(&read, revert.to, (since, Some(before)), ids).await?;
            let mut planned = PlannedRevert::default();
            choice.sift(database, &read, revert.to, found, &mut planned).await?;
            if !planned.reversals.is_empty() {
                self.check_room_for(database, planned.bytes()).await?;
                let reversals = &planned.reversals;
                match database.make_revert((&read, &write), revert.to, reversals, None).await {
                    Ok(()) => changed += reversals.len(),
                    Err(RevertError::Conflict) if attempt < REVERT_ATTEMPTS_MAX => {
                        attempt += 1;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            attempt = 1;
            left_out.extend(planned.left_out);
            match after {
                Next::Go(after) => since = after,
                Next::Done => break,
            }
            held.renew_when_due().await?;
        }
        Ok((changed, left_out.into_iter().collect()))
    }

    async fn choice(
        &self,
        database: &Database,
        read: &Grant<Read>,
        revert: &Revert,
    ) -> Result<Choice, RevertError> {
        let append_only = database.retention(read).await?.append_only;
        let append_only = append_only.map(|json| append_only_of(&json)).transpose()?;
        Ok(Choice { selector: revert.selector.clone(), append_only })
    }

    /// Makes a database of what another one was, or is, where no moment is said; the moment. What a crash has left half
    /// done is gone on with when it is asked for again.
    pub async fn fork(
        &self,
        actor: &Actor,
        (source, grant): (&Database, &Grant<Administer>),
        (target, server): (&DatabaseName, &Grant<AdministerServer>),
        at: Option<&At>,
    ) -> Result<Moment, ForkError> {
        let read = grant.internally::<Read>("a fork reads all documents");
        let at = match at {
            Some(at) => at.clone(),
            None => self.begun_at(source, target).await?.unwrap_or(At::Now),
        };
        let moment = source.moment_of_life(&read, &at).await.map_err(CopyError::from)?;
        let mut held = source.hold(&read, moment, &format!("fork to {target}")).await?;
        let made = self.fork_held(actor, (source, &read), (target, server), &mut held).await;
        // If this fails, it runs out.
        let released = held.release().await;
        made?;
        released?;
        Ok(moment)
    }

    /// What a fork has begun to copy that was to be of the present then.
    async fn begun_at(
        &self,
        source: &Database,
        target: &DatabaseName,
    ) -> Result<Option<At>, ForkError> {
        let Some(begun) = self.store.find(target).await? else { return Ok(None) };
        let marker: LocalId = FORK.parse().expect("it is the id of a local document");
        let Some(Marker { what, .. }) = marked(&begun, &marker).await? else { return Ok(None) };
        let sequence = what.strip_prefix(&format!("{}@", source.number()));
        let sequence = sequence.and_then(|it| it.parse().ok());
        Ok(sequence.map(|sequence| At::Sequence(source.token(sequence))))
    }

    async fn fork_held(
        &self,
        actor: &Actor,
        (source, read): (&Database, &Grant<Read>),
        (target, server): (&DatabaseName, &Grant<AdministerServer>),
        held: &mut HeldMoment,
    ) -> Result<(), ForkError> {
        let what = format!("{}@{}", source.number(), held.moment.sequence());
        let marker: LocalId = FORK.parse().expect("it is the id of a local document");
        let (copy, mut after) = match self.store.find(target).await? {
            Some(begun) => {
                let found = marked(&begun, &marker).await?.filter(|it| it.what == what);
                let after = found.ok_or(ForkError::Exists)?.after;
                (begun, after)
            }
            None => {
                if let Some(account) = target.account() {
                    let bytes = source.info(read).await?.external_bytes;
                    self.accounts.check_bytes(&account, bytes, 0).await?;
                }
                // There at once, so that whatever a crash leaves is known for what it is.
                let local = Some((marker.clone(), note(&what, "")));
                let options = CreateOptions { partitioned: source.is_partitioned(), local };
                self.create(actor, server, target, options).await?;
                let copy = self.store.find(target).await?.ok_or(StorageError::Gone)?;
                (copy, String::new())
            }
        };
        let write = Grant::<Write>::internal(copy.resource(), "a fork writes to its copy");
        set_up(&copy, (source, read)).await?;
        for slice in 1_u32.. {
            let from = (!after.is_empty()).then_some(&*after);
            match source.copy_at(read, held.moment, from, (&copy, &write)).await? {
                Next::Done => break,
                Next::Go(last) => after = last,
            }
            held.renew_when_due().await?;
            if slice.is_multiple_of(NOTE_EVERY) {
                note_fork(&copy, &write, &marker, &what, &after).await?;
            }
        }
        copy.delete_local(&write, &marker, None).await?;
        Ok(())
    }
}

/// Opens a copy to the same people, with the same limits.
async fn set_up(
    copy: &Database,
    (source, read): (&Database, &Grant<Read>),
) -> Result<(), ForkError> {
    let admin = Grant::<Administer>::internal(copy.resource(), "a fork sets up its copy");
    if let Some(security) = source.security() {
        copy.set_security(&admin, security).await?;
    }
    copy.set_revs_limit(&admin, source.revs_limit(read)).await?;
    Ok(())
}

/// It was parsed when it was set; a revert that could not tell what to leave out would do harm.
fn append_only_of(json: &[u8]) -> Result<Selector, StorageError> {
    Selector::parse(json).map_err(|error| StorageError::Inconsistent {
        reason: format!("the selector of append-only documents: {error}"),
    })
}

impl Choice {
    /// Keeps of the documents that changed those that are to go back.
    async fn sift(
        &self,
        database: &Database,
        read: &Grant<Read>,
        to: Moment,
        found: Vec<Reversal>,
        planned: &mut PlannedRevert,
    ) -> Result<(), RevertError> {
        if self.selector.is_none() && self.append_only.is_none() {
            planned.reversals.extend(found);
            return Ok(());
        }
        let ids: Vec<String> = found.iter().map(|it| it.id.clone()).collect();
        let mut found = found.into_iter();
        let form = DocumentForm::default();
        while let Some(ids @ [_, ..]) = ids.get(ids.len() - found.len()..) {
            let then = database.look_up_rendered_at(read, to, ids, form).await?;
            let (present, ids) = (Moment::PRESENT, &ids[..then.len()]);
            let now = database.look_up_rendered_at(read, present, ids, form).await?;
            for ((now, then), reversal) in now.into_iter().zip(then).zip(found.by_ref()) {
                let matches = |selector: &Selector| {
                    let mut states = now.iter().chain(&then);
                    states.any(|it| selector.matches(&it.document))
                };
                if !self.selector.as_ref().is_none_or(matches) {
                    continue;
                }
                if self.append_only.as_ref().is_some_and(matches) {
                    planned.left_out.push(reversal.id);
                } else {
                    planned.reversals.push(reversal);
                }
            }
        }
        Ok(())
    }
}

/// What a copy is of, and how far it has come; `None` where the database is something else.
async fn marked(copy: &Database, marker: &LocalId) -> Result<Option<Marker>, ForkError> {
    let read = Grant::<Read>::internal(copy.resource(), "a fork looks at what it has begun");
    match copy.local(&read, marker).await {
        Ok(found) => Ok(serde_json::from_slice(&found.body).ok()),
        Err(LocalError::Missing) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the marker of a copy says.
#[derive(serde::Serialize, serde::Deserialize)]
struct Marker {
    /// Number and sequence of what is copied.
    what: String,
    /// Documents up to this one are there.
    after: String,
}

async fn note_fork(
    copy: &Database,
    write: &Grant<Write>,
    marker: &LocalId,
    what: &str,
    after: &str,
) -> Result<(), ForkError> {
    copy.put_local(write, marker, None, &note(what, after)).await?;
    Ok(())
}

fn note(what: &str, after: &str) -> Vec<u8> {
    let note = Marker { what: what.to_owned(), after: after.to_owned() };
    serde_json::to_vec(&note).expect("texts can be written as JSON")
}
