//! What is told of indexes and of partitions, and what is done about indexes.
//!
//! Source: `chttpd_db:handle_design_info_req/3`, `fabric_db_partition_info.erl`, `chttpd_db:db_req/2`.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use settle_access::{Administer, Read};

use super::partition_of_path;
use crate::{call::Call, error::ApiError, open::open, reply};

#[derive(Serialize)]
struct Info<'a> {
    name: &'a str,
    view_index: Index<'a>,
}

#[derive(Serialize)]
struct Index<'a> {
    updates_pending: Pending,
    waiting_commit: bool,
    waiting_clients: usize,
    updater_running: bool,
    update_seq: u64,
    sizes: Sizes,
    signature: String,
    purge_seq: u64,
    language: &'a str,
    compact_running: bool,
    collator_versions: &'a [String],
}

#[derive(Serialize)]
struct Pending {
    minimum: u64,
    preferred: u64,
    total: u64,
}

#[derive(Serialize)]
struct Sizes {
    file: u64,
    external: u64,
    active: u64,
}

/// `GET /{db}/_design/{name}/_info`
pub(crate) async fn info(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    let name = call.segment(1)?;
    let info = call.app.site.indexes.info(&database, &grant, &name).await?;
    // There is one copy of each index, so all counts of what it lacks are the same.
    let pending = info.updates_pending;
    let body = Info {
        name: &name,
        view_index: Index {
            updates_pending: Pending { minimum: pending, preferred: pending, total: pending },
            waiting_commit: false,
            waiting_clients: info.waiting_clients,
            updater_running: info.updater_running,
            update_seq: info.update_seq,
            sizes: Sizes {
                file: info.sizes.file,
                external: info.sizes.external,
                active: info.sizes.active,
            },
            signature: hex::encode(info.signature),
            purge_seq: info.purge_seq,
            language: &info.language,
            compact_running: info.compact_running,
            collator_versions: &info.collator_versions,
        },
    };
    Ok(reply::json(StatusCode::OK, &body))
}

/// `POST /{db}/_compact/{ddoc}`: indexes are kept compact.
pub(crate) async fn compact(call: Call) -> Result<Response, ApiError> {
    call.require_json()?;
    let (database, grant) = open::<Administer>(&call).await?;
    call.app.site.indexes.compact(&database, &grant, &call.segment(1)?).await?;
    Ok(reply::ok(StatusCode::ACCEPTED))
}

/// `POST /{db}/_view_cleanup`
pub(crate) async fn clean_up(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Administer>(&call).await?;
    call.app.site.indexes.cleanup(&database, &grant).await?;
    Ok(reply::ok(StatusCode::ACCEPTED))
}

#[derive(Serialize)]
struct Partition<'a> {
    db_name: &'a str,
    sizes: PartitionSizes,
    partition: &'a str,
    doc_count: u64,
    doc_del_count: u64,
}

#[derive(Serialize)]
struct PartitionSizes {
    active: u64,
    external: u64,
}

/// `GET /{db}/_partition/{partition}`
pub(crate) async fn partition(call: Call) -> Result<Response, ApiError> {
    let (database, grant) = open::<Read>(&call).await?;
    let name = partition_of_path(&call, &database, &grant).await?;
    let info = database.partition_info(&grant, &name).await?;
    let body = Partition {
        db_name: database.name().local(),
        sizes: PartitionSizes { active: info.active_bytes, external: info.external_bytes },
        partition: &name,
        doc_count: info.doc_count,
        doc_del_count: info.deleted_count,
    };
    Ok(reply::json(StatusCode::OK, &body))
}
