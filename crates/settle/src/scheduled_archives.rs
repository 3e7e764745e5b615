//! Archives that the server makes by itself, now and then, of all its databases, and proves.
//!
//! A *run* is a folder below `archives.folder`, named after the time at which it began, with one file a database.
//! Each file is read back at once and restored beside its database, compared, and taken away again: a *restore
//! drill*. What came of it goes to the metrics and, one record a run, to the audit log. A run that was interrupted
//! keeps the name of one that is not finished, and goes with the next. Where a drill failed, the file is no archive
//! any more by its name, and the run's name says so too. A database that is dropped or replaced while it is archived is
//! passed over. Runs go when they are older than `archives.keep`, but for the newest and the newest without a failure:
//! what is known to be good stays until there is something better.

use std::{
    fs, io,
    ops::Bound,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use settle_archive::{ArchiveError, Archiving, RestoreFailure, Source};
use settle_database::{Database, KeepError, PastError, StorageError};
use settle_http::{AppState, DrillFailure, DrillRun};
use settle_model::time::Timestamp;
use settle_site::Site;
use thiserror::Error;
use tokio::task::spawn_blocking;

use crate::{
    archives::{FAILED, file_name},
    durable_file,
    limits::{ARCHIVE_READ_BYTES, ARCHIVED_NAMES_AT_ONCE, ARCHIVES_LOOKED_AT_EVERY},
};

/// What the names of runs begin with that are not finished. Those in which a database has no good archive end with
/// [`FAILED`].
const UNFINISHED: &str = ".unfinished-";

/// Where archives go, how often, and how long they stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub folder: PathBuf,
    pub every: Duration,
    pub keep: Duration,
}

#[derive(Debug, Error)]
pub enum RunError {
    #[error("use the folder {}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("list the databases")]
    Storage(#[from] StorageError),
}

/// Why a database has no archive that is known to be good.
#[derive(Debug, Error)]
enum OneError {
    #[error("write the archive")]
    Write(#[source] io::Error),
    #[error("read the database")]
    Archive(#[from] ArchiveError),
    #[error("restore the archive")]
    Drill(#[from] RestoreFailure),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl OneError {
    /// Whether there is no such database any more.
    fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Storage(StorageError::Gone)
                | Self::Archive(
                    ArchiveError::Past(PastError::Storage(StorageError::Gone))
                        | ArchiveError::Keep(KeepError::Storage(StorageError::Gone))
                )
        )
    }
}

/// Makes runs until the server stops.
pub(crate) async fn keep_on(state: Arc<AppState>, schedule: Schedule) {
    let tasks = state.site.store.tasks().clone();
    loop {
        let due = run_if_due(&state, &schedule);
        tokio::select! {
            () = tasks.stopping() => return,
            done = due => match done {
                Ok(None) => {}
                Ok(Some(run)) => {
                    let (databases, failed) = (run.databases, run.failed);
                    tracing::info!(databases, failed, "archives were made and restored on trial");
                }
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::error!(error = format!("{error:#}"), "could not make archives");
                    state.note_failed_archives();
                }
            }
        }
        tokio::select! {
            () = tasks.stopping() => return,
            () = tokio::time::sleep(ARCHIVES_LOOKED_AT_EVERY.min(schedule.every)) => {}
        }
    }
}

/// Makes a run, if the newest is old enough.
pub async fn run_if_due(
    state: &Arc<AppState>,
    schedule: &Schedule,
) -> Result<Option<DrillRun>, RunError> {
    let now = state.site.clock.now();
    let folder = schedule.folder.clone();
    let runs = on_files(move || finished(&folder)).await?;
    if let Some(good) = runs.iter().rfind(|run| run.is_good) {
        state.note_proved(good.begun);
    }
    if runs.last().is_some_and(|run| now.since(run.begun) < schedule.every) {
        return Ok(None);
    }
    let run = make_run(state, &schedule.folder, now).await?;
    state.note_drills(&run);
    let (schedule, now) = (schedule.clone(), state.site.clock.now());
    on_files(move || remove_old(&schedule, now)).await?;
    Ok(Some(run))
}

/// Away from the threads that answer requests.
async fn on_files<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("working on files does not panic")
}

fn folder_error(path: &Path) -> impl FnOnce(io::Error) -> RunError {
    let path = path.to_owned();
    |source| RunError::Folder { path, source }
}

/// A run that is finished.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    begun: Timestamp,
    /// Whether all of its archives have been restored on trial.
    is_good: bool,
    path: PathBuf,
}

/// The runs that are finished, oldest first.
fn finished(folder: &Path) -> Result<Vec<Run>, RunError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(folder_error(folder))?;
    let mut runs = Vec::new();
    for entry in fs::read_dir(folder).map_err(folder_error(folder))? {
        let entry = entry.map_err(folder_error(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path()).map_err(folder_error(&entry.path()))?;
        } else if let Some((begun, is_good)) = told_by(&name) {
            runs.push(Run { begun, is_good, path: entry.path() });
        }
    }
    runs.sort();
    Ok(runs)
}

/// Seconds since 1970 stand behind the time that people read.
fn run_name(begun: Timestamp) -> String {
    let time = settle_model::date::rfc3339(begun);
    let readable = time.get(..19).unwrap_or(&time).replace(':', "-");
    format!("{readable}Z-{}", begun.seconds())
}

/// When a run of this name began, and whether it is good.
fn told_by(name: &str) -> Option<(Timestamp, bool)> {
    let (_, rest) = name.rsplit_once("Z-")?;
    let seconds = rest.strip_suffix(FAILED);
    let begun = Timestamp::from_seconds(seconds.unwrap_or(rest).parse().ok()?);
    Some((begun, seconds.is_none()))
}

async fn make_run(
    state: &Arc<AppState>,
    folder: &Path,
    begun: Timestamp,
) -> Result<DrillRun, RunError> {
    let mut name = run_name(begun);
    let unfinished = folder.join(format!("{UNFINISHED}{name}"));
    fs::DirBuilder::new().mode(0o700).create(&unfinished).map_err(folder_error(&unfinished))?;
    let mut run = DrillRun::default();
    let mut after = Bound::Unbounded;
    loop {
        let names = state.site.names_to_archive(after, ARCHIVED_NAMES_AT_ONCE).await?;
        let Some(last) = names.last() else { break };
        after = Bound::Excluded(last.clone());
        for name in names {
            one(&state.site, &unfinished, &name, &mut run).await;
        }
    }
    if run.failed > 0 {
        name.push_str(FAILED);
    }
    let place = folder.join(&name);
    run.folder = name;
    fs::rename(&unfinished, &place).map_err(folder_error(&place))?;
    durable_file::sync_folder_of(&place).map_err(folder_error(&place))?;
    Ok(run)
}

/// Archives a database, and restores it on trial.
async fn one(site: &Site, folder: &Path, name: &str, run: &mut DrillRun) {
    let path = folder.join(file_name(name));
    match archive_and_drill(site, &path, name).await {
        Ok(None) => {}
        Ok(Some(documents)) => {
            run.databases += 1;
            run.documents += documents;
        }
        Err(error) => {
            run.databases += 1;
            let mut failed = path.clone().into_os_string();
            failed.push(FAILED);
            // There may be none; and if it cannot be renamed, the name of the run still says it.
            drop(on_files(move || fs::rename(path, failed)).await);
            let reason = format!("{:#}", anyhow::Error::from(error));
            tracing::error!(database = name, reason, "a database has no archive that is good");
            run.fail(DrillFailure { database: name.to_owned(), reason });
        }
    }
}

/// How many documents it has; `None` if there is no such database.
async fn archive_and_drill(site: &Site, path: &Path, name: &str) -> Result<Option<u64>, OneError> {
    // It may have been dropped since its name was read.
    let Some((database, archiving)) = site.archive_by_itself(name).await? else { return Ok(None) };
    let error = match write_and_drill(site, path, &database, archiving).await {
        Ok(documents) => return Ok(Some(documents)),
        Err(error) => error,
    };
    if !database.is_dropped() && !error.is_gone() {
        return Err(error);
    }
    // It has been dropped or replaced meanwhile, and what there is of its archive is none.
    let path = path.to_owned();
    on_files(move || fs::remove_file(path)).await.map_err(OneError::Write)?;
    Ok(None)
}

async fn write_and_drill(
    site: &Site,
    path: &Path,
    database: &Database,
    mut archiving: Archiving,
) -> Result<u64, OneError> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(OneError::Write)?;
    while let Some(block) = archiving.next().await? {
        let (back, written) = on_files(move || {
            let written = io::Write::write_all(&mut file, &block);
            (file, written)
        })
        .await;
        written.map_err(OneError::Write)?;
        file = back;
    }
    on_files(move || file.sync_all()).await.map_err(OneError::Write)?;
    let totals = Box::pin(site.restore_drill(database, source(path)?)).await?;
    Ok(totals.documents)
}

/// A file as an archive is read from.
fn source(path: &Path) -> Result<Source, OneError> {
    let file = fs::File::open(path).map_err(OneError::Write)?;
    Ok(Box::pin(stream::unfold(Some(file), |file| async {
        let mut file = file?;
        let (file, mut piece, read) = on_files(move || {
            let mut piece = vec![0; ARCHIVE_READ_BYTES];
            let read = io::Read::read(&mut file, &mut piece);
            (file, piece, read)
        })
        .await;
        match read {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some((Ok(Bytes::from(piece)), Some(file)))
            }
            Err(error) => Some((Err(error), None)),
        }
    })))
}

/// Removes the runs that have been kept long enough, but for the newest and the newest that is good.
fn remove_old(schedule: &Schedule, now: Timestamp) -> Result<(), RunError> {
    let runs = finished(&schedule.folder)?;
    let newest_good = runs.iter().rposition(|run| run.is_good);
    for (at, Run { begun, path, .. }) in runs.iter().enumerate() {
        let stays = at + 1 == runs.len() || Some(at) == newest_good;
        if !stays && now.since(*begun) > schedule.keep {
            fs::remove_dir_all(path).map_err(folder_error(path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_run_tells_when_it_began() {
        let begun = Timestamp::from_seconds(1_767_225_600);
        assert_eq!(run_name(begun), "2026-01-01T00-00-00Z-1767225600");
        assert_eq!(told_by(&run_name(begun)), Some((begun, true)));
        assert_eq!(told_by("2026-01-01T00-00-00Z-1767225600-failed"), Some((begun, false)));
        assert_eq!(told_by("notes"), None);
    }
    #[test]
    fn the_newest_run_that_is_good_stays_whatever_comes_after_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let schedule = Schedule {
            folder: folder.path().to_owned(),
            every: Duration::from_secs(1),
            keep: Duration::from_secs(10),
        };
        let at = |seconds| run_name(Timestamp::from_seconds(seconds));
        let left = |runs: &[String]| {
            for run in runs {
                fs::create_dir(folder.path().join(run)).unwrap();
            }
            remove_old(&schedule, Timestamp::from_seconds(100)).unwrap();
            let runs = finished(folder.path()).unwrap();
            let seconds = runs.iter().map(|run| run.begun.seconds()).collect::<Vec<_>>();
            for run in runs {
                fs::remove_dir(run.path).unwrap();
            }
            seconds
        };
        let failed = |seconds| at(seconds) + FAILED;
        assert_eq!(left(&[at(1), at(2), failed(3), failed(4)]), [2, 4]);
        assert_eq!(left(&[at(1), failed(2), at(3)]), [3]);
        assert_eq!(left(&[failed(1), failed(2)]), [2]);
        assert_eq!(left(&[at(1), at(95), failed(96), failed(97)]), [95, 96, 97]);
    }
}
