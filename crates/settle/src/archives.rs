//! Archives as files: taken from a server, checked, brought back.
//!
//! A file is written beside its place, checked while it comes, and renamed when it is whole and synced: an archive
//! that has its name is one. It is for its owner alone, since it holds all that the database does.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use settle_archive::{BadArchive, Header, Item, Reader, Totals};
use thiserror::Error;

use crate::{
    durable_file,
    limits::ARCHIVE_READ_BYTES,
    load::{Client, RequestError},
};

/// What the names of archives end with: `zstd -d` leaves lines of JSON.
pub const SUFFIX: &str = ".jsonl.zst";

/// What the names of files end with that turned out to be none.
pub(crate) const FAILED: &str = "-failed";

/// Percent-encoded names have none.
const BEFORE_DIGEST: char = '=';

/// Bytes of a name without its endings. File systems take 255 with them.
const NAME_BYTES_MAX: usize = 255 - SUFFIX.len() - FAILED.len();

/// An archive that has been read to its end, and is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub header: Header,
    pub totals: Totals,
    /// Of the file.
    pub bytes: u64,
}

#[derive(Debug, Error)]
pub enum ArchiveFileError {
    #[error(transparent)]
    Bad(#[from] BadArchive),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("read the archive")]
    Read(#[source] io::Error),
    #[error("write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("open {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("the server's answer is not what was expected")]
    Answer,
}

impl ArchiveFileError {
    /// Whether the database was not there at the moment that was asked for.
    pub fn is_not_yet(&self) -> bool {
        matches!(self, Self::Request(RequestError::Refused { error, .. }) if error == "not_yet")
    }
}

/// The name of a database's archive: its own as one name of a file. Of one that is too long for that it has the beginning
/// and a digest.
pub fn file_name(database: &str) -> String {
    const KEPT: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.').remove(b'~').remove(b'+');
    let mut name = utf8_percent_encode(database, KEPT).to_string();
    if name.len() > NAME_BYTES_MAX {
        let digest = blake3::hash(database.as_bytes()).to_hex();
        name.truncate(NAME_BYTES_MAX - 1 - digest.len());
        name.push(BEFORE_DIGEST);
        name.push_str(&digest);
    }
    name + SUFFIX
}

/// The database that a file is named after; `None` where the name is too long for that, and the archive itself says it.
pub fn database_of(file_name: &str) -> Option<String> {
    let name = file_name.strip_suffix(SUFFIX).filter(|name| !name.contains(BEFORE_DIGEST))?;
    percent_decode_str(name).decode_utf8().ok().map(String::from)
}

/// Reads an archive to its end.
pub fn check(from: impl Read) -> Result<Checked, ArchiveFileError> {
    pass(from, |_| Ok(()))
}

/// Reads an archive to its end, and hands on its bytes.
fn pass(
    mut from: impl Read,
    mut take: impl FnMut(&[u8]) -> Result<(), ArchiveFileError>,
) -> Result<Checked, ArchiveFileError> {
    let mut reader = Reader::default();
    let (mut header, mut totals, mut bytes) = (None, None, 0);
    let mut buffer = vec![0; ARCHIVE_READ_BYTES];
    loop {
        let read = from.read(&mut buffer).map_err(ArchiveFileError::Read)?;
        if read == 0 {
            reader.finish();
        } else {
            bytes += read as u64;
            take(&buffer[..read])?;
            reader.feed(&buffer[..read]);
        }
        while let Some(item) = reader.item()? {
            match item {
                Item::Header(it) => header = Some(it),
                Item::End(it) => totals = Some(it),
                Item::Local { .. }
                | Item::Point(_)
                | Item::Purge(_)
                | Item::Document(_)
                | Item::Blob(_)
                | Item::Data(_)
                | Item::BlobEnd => {}
            }
        }
        if read == 0 {
            let header = header.expect("the reader gives it before all else");
            let totals = totals.expect("the reader refuses an archive without an end");
            return Ok(Checked { header, totals, bytes });
        }
    }
}

/// Writes an archive to `path`, in the place of what is there.
pub fn keep(from: impl Read, path: &Path) -> Result<Checked, ArchiveFileError> {
    let write = |source| ArchiveFileError::Write { path: path.into(), source };
    let partial = path.with_extension("partial");
    drop(fs::remove_file(&partial));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
    let mut file = file.map_err(write)?;
    let kept = pass(from, |bytes| file.write_all(bytes).map_err(write)).and_then(|checked| {
        file.sync_all().map_err(write)?;
        fs::rename(&partial, path).map_err(write)?;
        durable_file::sync_folder_of(path).map_err(write)?;
        Ok(checked)
    });
    if kept.is_err() {
        drop(fs::remove_file(&partial));
    }
    kept
}

/// Takes an archive of a database from a server into a folder: as it was at a moment, `None` for the present.
pub fn take(
    client: &Client,
    database: &str,
    at: Option<&str>,
    to: &Path,
) -> Result<Checked, ArchiveFileError> {
    let path = segments(database, "_archive");
    let query: Vec<_> = at.iter().map(|at| ("at", (*at).to_owned())).collect();
    let body = client.stream(&path, &query)?;
    keep(body, &to.join(file_name(database)))
}

/// What the server says of a restore, or of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Answer {
    pub ok: bool,
    #[serde(default)]
    pub seq: String,
    #[serde(default)]
    pub equal: u64,
    #[serde(default)]
    pub differences: Vec<String>,
    #[serde(default)]
    pub unnamed: u64,
}

/// Makes a database what an archive holds.
pub fn restore(
    client: &Client,
    file: &Path,
    database: &str,
    replace: bool,
) -> Result<Answer, ArchiveFileError> {
    let query = [("replace", replace.to_string())];
    let file = open(file)?;
    answer(client.send_file("PUT", &segments(database, "_restore"), &query, &file)?)
}

/// In what a database differs from an archive.
pub fn compare(client: &Client, file: &Path, database: &str) -> Result<Answer, ArchiveFileError> {
    let file = open(file)?;
    answer(client.send_file("POST", &segments(database, "_verify"), &[], &file)?)
}

/// Reads the file of an archive to its end.
pub fn check_file(path: &Path) -> Result<Checked, ArchiveFileError> {
    check(BufReader::new(open(path)?))
}

fn open(path: &Path) -> Result<File, ArchiveFileError> {
    File::open(path).map_err(|source| ArchiveFileError::Open { path: path.into(), source })
}

fn answer(value: Value) -> Result<Answer, ArchiveFileError> {
    serde_json::from_value(value).map_err(|_| ArchiveFileError::Answer)
}

/// The path of something of a database: those of an account stand below it.
fn segments<'a>(database: &'a str, what: &'a str) -> Vec<&'a str> {
    match database.split_once('/') {
        Some((account, name)) if account.starts_with('~') => vec![account, name, what],
        Some(_) | None => vec![database, what],
    }
}

/// The databases of the site itself, or of an account, by the names that they have in the catalog.
pub fn databases(client: &Client, account: Option<&str>) -> Result<Vec<String>, RequestError> {
    let prefix = account.map(|name| format!("~{name}"));
    let path: Vec<&str> = prefix.iter().map(String::as_str).chain(["_all_dbs"]).collect();
    let names = client.call("GET", &path, &[], None)?;
    let names = names.as_array().into_iter().flatten().filter_map(Value::as_str);
    Ok(names
        .map(|name| match &prefix {
            Some(prefix) => format!("{prefix}/{name}"),
            None => name.to_owned(),
        })
        .collect())
}

/// The names of all accounts.
pub fn accounts(client: &Client) -> Result<Vec<String>, RequestError> {
    let mut found = Vec::new();
    let mut start = "org.couchdb.user:".to_owned();
    loop {
        let query = [
            ("startkey", Value::from(start.as_str()).to_string()),
            ("endkey", "\"org.couchdb.user;\"".to_owned()),
            ("limit", ACCOUNTS_A_PAGE.to_string()),
        ];
        let page = client.call("GET", &["_users", "_all_docs"], &query, None)?;
        let rows = page["rows"].as_array().cloned().unwrap_or_default();
        let ids: Vec<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
        let names = ids.iter().filter_map(|id| id.strip_prefix("org.couchdb.user:"));
        found.extend(names.map(str::to_owned));
        let Some(last) = ids.last().filter(|_| ids.len() >= ACCOUNTS_A_PAGE) else {
            return Ok(found);
        };
        start = format!("{last}\0");
    }
}

const ACCOUNTS_A_PAGE: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_leads_back_to_the_database() {
        for name in ["notes", "~alice/notes", "a/b+c$(d)", "_users", "with.dots"] {
            let file = file_name(name);
            assert!(!file.contains('/'));
            assert_eq!(database_of(&file).as_deref(), Some(name));
        }
        assert_eq!(file_name("~alice/notes"), "~alice%2Fnotes.jsonl.zst");
        assert_eq!(database_of("notes.json"), None);
    }

    #[test]
    fn a_name_that_is_too_long_for_a_file_has_a_digest() {
        let longest = "a".repeat(NAME_BYTES_MAX);
        assert_eq!(database_of(&file_name(&longest)).as_deref(), Some(&*longest));
        let dollars = "$".repeat(200);
        let [one, other] = ["one", "other"].map(|end| format!("~{dollars}/a{dollars}{end}"));
        for name in [&one, &other, &format!("a{longest}")] {
            let file = file_name(name);
            assert_eq!(file.len() + FAILED.len(), 255, "{file}");
            assert_eq!(database_of(&file), None);
        }
        assert_ne!(file_name(&one), file_name(&other));
        // No name brings along what stands before a digest.
        assert_eq!(file_name("a=b"), "a%3Db.jsonl.zst");
    }
}
