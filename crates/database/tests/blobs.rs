//! The attachment store, through what it offers: uploads, reads, references, collection, crashes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "blobs/collecting.rs"]
mod collecting;
#[path = "blobs/crashes.rs"]
mod crashes;
#[path = "blobs/damage.rs"]
mod damage;
#[path = "blobs/format.rs"]
mod format;
#[path = "blobs/reading.rs"]
mod reading;
#[path = "blobs/references.rs"]
mod references;
#[path = "blobs/uploading.rs"]
mod uploading;
#[path = "blobs/world.rs"]
mod world;
