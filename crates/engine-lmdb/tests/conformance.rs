//! The embedded engine keeps the contract of all engines.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use settle_engine::{
    Engine,
    conformance::{self, Maker},
};
use settle_engine_lmdb::{LmdbEngine, OpenOptions};

/// Folders live as long as the test.
#[derive(Default)]
struct Lmdb {
    folders: Mutex<Vec<tempfile::TempDir>>,
}

impl Maker for Lmdb {
    fn create(&self) -> Arc<dyn Engine> {
        let folder = tempfile::tempdir().expect("a folder");
        let engine =
            LmdbEngine::open(folder.path(), &OpenOptions::default()).expect("a store opens");
        self.folders.lock().expect("no panic before").push(folder);
        engine
    }

    fn open(&self, checkpoint: &Path) -> Arc<dyn Engine> {
        LmdbEngine::open(checkpoint, &OpenOptions::default()).expect("a store opens")
    }

    fn history_count(&self) -> u32 {
        40
    }
}

#[test]
fn it_keeps_the_contract() {
    conformance::run(&Lmdb::default());
}
