//! What a database says of itself, as JSON.

use serde::Serialize;
use settle_database::{Database, Info};

/// Information on a database, as `GET /{db}` and `_dbs_info` send it.
///
/// `conflict_count` is not CouchDB's: how many documents have a live leaf beside their live winner; null while a
/// database from before they were counted is looked through.
///
/// `sizes` are of documents: as JSON with attachments before compression (`external`), as they are stored with all
/// attachments (`active`), and with what only the past needs (`file`). Local documents and indexes are not among them.
///
/// There is one shard and one copy, which is what `cluster` says. `instance_start_time` is when the
/// database was created, in seconds since 1970: replicators take a new value for a new database.
#[derive(Debug, Serialize)]
pub struct DatabaseInfo<'a> {
    instance_start_time: String,
    db_name: &'a str,
    purge_seq: String,
    update_seq: String,
    sizes: Sizes,
    props: Props,
    doc_del_count: u64,
    doc_count: u64,
    conflict_count: Option<u64>,
    disk_format_version: u32,
    compact_running: bool,
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
struct Sizes {
    file: u64,
    external: u64,
    active: u64,
}

#[derive(Debug, Serialize)]
struct Props {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partitioned: bool,
}

#[derive(Debug, Serialize)]
struct Cluster {
    q: u32,
    n: u32,
    w: u32,
    r: u32,
}

impl<'a> DatabaseInfo<'a> {
    pub fn new(database: &'a Database, info: &Info) -> Self {
        Self {
            instance_start_time: info.instance_start_time(),
            db_name: database.name().local(),
            purge_seq: database.token(info.purge_sequence).to_string(),
            update_seq: database.token(info.sequence).to_string(),
            sizes: Sizes {
                file: info.file_bytes,
                external: info.external_bytes,
                active: info.active_bytes,
            },
            props: Props { partitioned: info.partitioned },
            doc_del_count: info.deleted_count,
            doc_count: info.doc_count,
            conflict_count: info.conflict_count,
            disk_format_version: 8,
            compact_running: info.compacting,
            cluster: Cluster { q: 1, n: 1, w: 1, r: 1 },
        }
    }
}
