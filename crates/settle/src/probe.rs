//! Single requests, each on a connection of its own, so that every answer is the server's and none is
//! remembered.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    client::conn::http1,
    header::{AUTHORIZATION, HOST},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName, pem::PemObject as _},
};
use settle_http::Duplex;
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::config::Secret;

/// Where systems keep the certificates that they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Asks one server.
#[derive(Debug)]
pub(crate) struct Probe {
    bounds: Bounds,
    host: String,
    port: u16,
    /// `None` without TLS.
    tls: Option<Arc<ClientConfig>>,
}

/// What an answer may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// From connecting to the last byte.
    pub(crate) patience: Duration,
    pub(crate) body_bytes_max: usize,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Debug, Error)]
pub enum ProbeError {
    #[error("{url} is not the URL of a server: expected http://host:port or https://host:port")]
    Url { url: String },
    #[error("read the certificates in {path}")]
    Trusted { path: String, source: io::Error },
    #[error("connect to {host}:{port}")]
    Connect { host: String, port: u16, source: io::Error },
    #[error("agree on TLS")]
    Tls(#[source] io::Error),
    #[error("use the name of the host for TLS")]
    Name(#[from] InvalidDnsNameError),
    #[error("exchange a request for an answer")]
    Exchange(#[from] hyper::Error),
    #[error("read the answer")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("there was no answer within {limit:?}")]
    Late { limit: Duration },
}

impl Probe {
    /// `trusted` names a file of certificates to trust beside those of the system.
    pub(crate) fn new(
        url: &Uri,
        trusted: Option<&Path>,
        bounds: Bounds,
    ) -> Result<Self, ProbeError> {
        let wrong = || ProbeError::Url { url: url.to_string() };
        let host = url.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
        let (tls, port) = match url.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => (Some(client(trusted)?), 443),
            Some(_) | None => return Err(wrong()),
        };
        Ok(Self { bounds, host, port: url.port_u16().unwrap_or(port), tls })
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        admin: Option<&(String, Secret)>,
    ) -> Result<Answer, ProbeError> {
        let limit = self.bounds.patience;
        let asked = timeout(limit, self.exchange(method, path, headers, admin)).await;
        asked.unwrap_or(Err(ProbeError::Late { limit }))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        admin: Option<&(String, Secret)>,
    ) -> Result<Answer, ProbeError> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(HOST, format!("{}:{}", self.host, self.port));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some((name, password)) = admin {
            let pair = BASE64_STANDARD.encode(format!("{name}:{}", password.reveal()));
            request = request.header(AUTHORIZATION, format!("Basic {pair}"));
        }
        let request = request.body(Empty::<Bytes>::new());
        let request = request.map_err(|error| ProbeError::Body(error.into()))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(self.connect().await?)).await?;
        let bytes_max = self.bounds.body_bytes_max;
        let exchange = async move {
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, bytes_max).collect().await;
            let body = body.map_err(ProbeError::Body)?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        // How the connection ends is of no interest once there is an answer.
        let (answer, _) = tokio::join!(exchange, connection);
        answer
    }

    async fn connect(&self) -> Result<Box<dyn Duplex>, ProbeError> {
        let (host, port) = (self.host.clone(), self.port);
        let stream = TcpStream::connect((host.as_str(), port)).await;
        let stream = stream.map_err(|source| ProbeError::Connect { host, port, source })?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone())?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        Ok(Box::new(stream.map_err(ProbeError::Tls)?))
    }
}

/// How connections by TLS are made. `trusted` names a file of certificates to trust beside those of the system.
pub(crate) fn client(trusted: Option<&Path>) -> Result<Arc<ClientConfig>, ProbeError> {
    let mut roots = RootCertStore::empty();
    if let Some(bundle) = BUNDLES.iter().find_map(|path| fs::read(path).ok()) {
        add(&mut roots, &bundle);
    }
    if let Some(path) = trusted {
        let bundle = fs::read(path)
            .map_err(|source| ProbeError::Trusted { path: path.display().to_string(), source })?;
        add(&mut roots, &bundle);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the versions of TLS that are safe")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// One that cannot be read is trusted by nobody.
fn add(roots: &mut RootCertStore, bundle: &[u8]) {
    let all = CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok);
    roots.add_parsable_certificates(all);
}
