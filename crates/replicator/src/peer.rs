//! The two databases of a replication, wherever they are.

mod local;
mod remote;

use std::sync::Arc;

use settle_model::id::LocalId;
use settle_site::Site;
use settle_sync::{
    job::{Endpoint, Job},
    replication::{Document, Failure, Reply, Request},
};

pub(crate) use self::{
    local::LocalPeer,
    remote::{Clients, RemotePeer},
};
use crate::{
    scheduler::AsWhom,
    spool::{AttachmentStream, Spooled},
};

/// Told that a request goes on.
pub(crate) type Progress<'a> = dyn Fn() + Send + Sync + 'a;

/// One end of one job.
#[derive(Debug)]
pub(crate) enum Peer {
    Local(LocalPeer),
    Remote(RemotePeer),
}

/// What peers are made with.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) site: Arc<Site>,
    pub(crate) clients: Clients,
}

impl Peers {
    pub(crate) fn make(
        &self,
        endpoint: &Endpoint,
        as_whom: &AsWhom,
        job: &Arc<Job>,
        checkpoint: LocalId,
    ) -> Result<Peer, Failure> {
        match endpoint {
            Endpoint::Local(name) => {
                LocalPeer::new(&self.site, name, as_whom, job, checkpoint).map(Peer::Local)
            }
            Endpoint::Remote(remote) => {
                RemotePeer::new(&self.clients, remote, job, checkpoint).map(Peer::Remote)
            }
        }
    }
}

impl Peer {
    /// Everything but staging an attachment and writing a document with what was staged. `progress` is
    /// called whenever something shows that the request goes on.
    pub(crate) async fn ask(
        &self,
        request: &Request,
        progress: &Progress<'_>,
    ) -> Result<Reply, Failure> {
        match self {
            Self::Local(peer) => peer.ask(request, progress).await,
            Self::Remote(peer) => peer.ask(request, progress).await,
        }
    }

    /// The content of an attachment of `document`, as the source keeps it, from byte `from` on or from the
    /// start.
    pub(crate) async fn attachment(
        &self,
        document: &Document,
        attachment: usize,
        from: u64,
    ) -> Result<AttachmentStream, Failure> {
        match self {
            Self::Local(peer) => peer.attachment(document, attachment, from).await,
            Self::Remote(peer) => peer.attachment(document, attachment, from).await,
        }
    }

    /// Writes a document with these attachments; the others are stubs of what the target has.
    pub(crate) async fn write_staged(
        &self,
        document: &Document,
        staged: &[Spooled],
        progress: &Progress<'_>,
    ) -> Result<Reply, Failure> {
        match self {
            Self::Local(peer) => peer.write_staged(document, staged).await,
            Self::Remote(peer) => peer.write_staged(document, staged, progress).await,
        }
    }

    /// The code of a filter function; `None` if the design document has no such function.
    pub(crate) async fn filter_code(
        &self,
        design: &str,
        function: &str,
    ) -> Result<Option<String>, Failure> {
        match self {
            Self::Local(peer) => peer.filter_code(design, function).await,
            Self::Remote(peer) => peer.filter_code(design, function).await,
        }
    }
}
