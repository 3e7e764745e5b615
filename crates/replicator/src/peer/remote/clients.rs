//! The connections to peers, which jobs share.
//!
//! One client, which is a pool of connections, serves all jobs that reach their peers the same way:
//! directly, or through one proxy as one user. Who a request is made for is said in the request alone, so a
//! connection is nobody's.
//!
//! A rule about where jobs may connect to belongs into [`Clients::build`], as the client's resolver: there
//! all addresses come by before a connection is made, those of redirects too.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use reqwest::{Client, Proxy, redirect, retry};
use rustls::{ClientConfig, crypto::ring, pki_types::CertificateDer};
use settle_model::time::{Clock, Entropy};
use settle_sync::{
    job::{Credentials, Remote},
    replication::Failure,
};

use super::{failure, tls};
use crate::limits::{CONNECTION_IDLE_MAX, CONNECTIONS_IDLE_MAX};

/// All clients of a site.
pub(crate) struct Clients {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    tls: ClientConfig,
    /// By the proxy. Those that no job uses any more go when the next is made.
    shared: Mutex<HashMap<Option<ProxyKey>, Weak<Client>>>,
}

/// The URL, the user and the password.
type ProxyKey = (String, Option<(String, String)>);

impl Clients {
    /// `more_roots` are certificates of authorities that are trusted beside those of the system.
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        more_roots: Vec<CertificateDer<'static>>,
    ) -> Self {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites of both versions")
            .dangerous() // the verifier is the system's, only later
            .with_custom_certificate_verifier(Arc::new(tls::LateVerifier::new(more_roots)))
            .with_no_client_auth();
        Self { clock, entropy, tls, shared: Mutex::default() }
    }

    pub(super) fn for_remote(&self, remote: &Remote) -> Result<Arc<Client>, Failure> {
        let credentials = remote.proxy_credentials.as_ref();
        let key = remote.proxy.as_ref().map(|proxy| {
            let pair = credentials.map(|it| (it.username.clone(), it.password.clone()));
            (proxy.to_string(), pair)
        });
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = shared.get(&key).and_then(Weak::upgrade) {
            return Ok(client);
        }
        let client = self.build(key.as_ref().map(|(url, _)| url.as_str()), credentials);
        let client = Arc::new(client.map_err(failure::of_network)?);
        shared.retain(|_, client| client.strong_count() > 0);
        shared.insert(key, Arc::downgrade(&client));
        Ok(client)
    }

    fn build(
        &self,
        proxy: Option<&str>,
        credentials: Option<&Credentials>,
    ) -> Result<Client, reqwest::Error> {
        let mut builder = Client::builder()
            .user_agent(concat!("Settle/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(self.tls.clone())
            // Redirects are followed where it is known what they may be told; see `exchange`.
            .redirect(redirect::Policy::none())
            // The replication decides what is tried again.
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .pool_idle_timeout(CONNECTION_IDLE_MAX)
            .pool_max_idle_per_host(CONNECTIONS_IDLE_MAX);
        if let Some(url) = proxy {
            // Names are looked up by the proxy, as CouchDB has it.
            let url = match url.strip_prefix("socks5://") {
                Some(rest) => format!("socks5h://{rest}"),
                None => url.to_owned(),
            };
            let mut proxy = Proxy::all(url)?;
            if let Some(Credentials { username, password }) = credentials {
                proxy = proxy.basic_auth(username, password);
            }
            builder = builder.proxy(proxy);
        }
        builder.build()
    }
}

/// Without proxies, which have credentials.
impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}
