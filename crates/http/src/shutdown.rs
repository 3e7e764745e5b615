//! The wish to stop, which feeds wait for beside their database.

use tokio_util::sync::CancellationToken;

/// Clones share one wish.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// From now on the server takes no new connections, and feeds end with their last line.
    pub fn begin(&self) {
        self.0.cancel();
    }

    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Ends when the server shall stop. May be dropped and asked for again.
    pub async fn begun(&self) {
        self.0.cancelled().await;
    }
}
