//! Settings that were changed over HTTP, in a file of their own.
//!
//! Stored as JSON, so that a person can read it: `{"version":1,"settings":{"uuids":{"algorithm":
//! "random"}}}`. The file is replaced whole, and synced before the client hears of it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use settle_http::settings::{ConfigStore, SaveError, Values};
use thiserror::Error;

use crate::durable_file;

const VERSION: u32 = 1;

#[derive(Debug, Clone)]
pub(crate) struct KeptConfig {
    path: PathBuf,
    /// What the file holds.
    values: Arc<Mutex<Values>>,
}

#[derive(Debug, Error)]
pub enum KeptConfigError {
    #[error("read the changed settings in {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("understand the changed settings in {}", path.display())]
    Malformed { path: PathBuf, source: serde_json::Error },
    #[error(
        "understand the changed settings in {}: they have version {version}, this server knows \
         {VERSION}",
        path.display()
    )]
    Newer { path: PathBuf, version: u32 },
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u32,
    #[serde(default)]
    settings: BTreeMap<String, BTreeMap<String, String>>,
}

impl KeptConfig {
    /// A file that is not there holds nothing.
    pub(crate) fn open(path: PathBuf) -> Result<Self, KeptConfigError> {
        let values = read(&path)?;
        Ok(Self { path, values: Arc::new(Mutex::new(values)) })
    }
}

impl ConfigStore for KeptConfig {
    fn load(&self) -> Values {
        self.values.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn save(&self, values: Values) -> Pin<Box<dyn Future<Output = Result<(), SaveError>> + Send>> {
        let kept = self.clone();
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || {
                // Held while writing, so that the file and what is in memory change together.
                let mut present = kept.values.lock().unwrap_or_else(PoisonError::into_inner);
                durable_file::replace(&kept.path, &text(&values))?;
                *present = values;
                Ok::<_, io::Error>(())
            });
            let written = written.await.expect("writing a file does not panic");
            written.map_err(|error| SaveError { reason: error.to_string() })
        })
    }
}

fn read(path: &Path) -> Result<Values, KeptConfigError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Values::new()),
        Err(source) => return Err(KeptConfigError::Unreadable { path: path.into(), source }),
    };
    let Stored { version, settings } = serde_json::from_slice(&text)
        .map_err(|source| KeptConfigError::Malformed { path: path.into(), source })?;
    if version != VERSION {
        return Err(KeptConfigError::Newer { path: path.into(), version });
    }
    let values = settings.into_iter().flat_map(|(section, keys)| {
        keys.into_iter().map(move |(key, value)| ((section.clone(), key), value))
    });
    Ok(values.collect())
}

fn text(values: &Values) -> Vec<u8> {
    let mut stored = Stored { version: VERSION, settings: BTreeMap::new() };
    for ((section, key), value) in values {
        let section = stored.settings.entry(section.clone()).or_default();
        section.insert(key.clone(), value.clone());
    }
    let mut text = serde_json::to_vec_pretty(&stored).expect("text has a JSON form");
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_saved_is_there_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let values = Values::from([(("uuids".into(), "algorithm".into()), "random".into())]);
        let kept = KeptConfig::open(path.clone()).unwrap();
        assert_eq!(kept.load(), Values::new());
        kept.save(values.clone()).await.unwrap();
        assert_eq!(kept.load(), values);
        assert_eq!(KeptConfig::open(path).unwrap().load(), values);
    }

    #[test]
    fn a_file_that_cannot_be_understood_stops_the_start_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for (text, newer) in [("{\"version\":9}", true), ("{", false)] {
            fs::write(&path, text).unwrap();
            let error = KeptConfig::open(path.clone()).unwrap_err();
            assert_eq!(matches!(error, KeptConfigError::Newer { version: 9, .. }), newer);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
