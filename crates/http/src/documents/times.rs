//! When the server stored a document first and last: told of databases whose design documents say so.

use settle_database::{Database, Times};

use crate::{call::Call, error::ApiError};

/// Whether a design document has `options.timestamps`.
pub(crate) async fn has_timestamps(call: &Call, database: &Database) -> Result<bool, ApiError> {
    if database.epochs().design == 0 {
        return Ok(false);
    }
    let designs = call.app.site.indexes.designs(database).await?;
    Ok(designs.usable().any(|entry| entry.design.options.timestamps))
}

/// `{"created":"…","updated":"…"}`
pub(crate) fn write_times(out: &mut Vec<u8>, times: Times) {
    out.extend_from_slice(b"{\"created\":\"");
    out.extend_from_slice(settle_model::date::iso(times.created).as_bytes());
    out.extend_from_slice(b"\",\"updated\":\"");
    out.extend_from_slice(settle_model::date::iso(times.updated).as_bytes());
    out.extend_from_slice(b"\"}");
}
