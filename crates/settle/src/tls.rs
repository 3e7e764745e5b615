//! TLS, with a certificate and its key from files that are read again when they change.
//!
//! Each handshake looks whether the files are those that were read last, so a renewed certificate counts
//! from the next connection on, and the others go on as they are. Files that cannot be used while the
//! server runs leave the last good ones in force, with a warning: those who renew certificates replace
//! two files, and not in one instant.
//!
//! TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN. The cryptography is `ring`, which builds in seconds
//! where `aws-lc-rs` takes minutes.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use settle_http::{Duplex, Encryption};
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsAcceptor;

/// The files, and what was made of them.
#[derive(Debug)]
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    present: Mutex<Present>,
}

#[derive(Debug)]
struct Present {
    /// Of the files that were looked at last, whether or not they could be used.
    stamp: Option<[Stamp; 2]>,
    config: Arc<ServerConfig>,
}

/// What differs when a file has been replaced or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    changed_ns: (i64, i64),
}

#[derive(Debug, Error)]
pub enum TlsError {
    #[error("tls.certificate is set and tls.key is not; TLS needs both")]
    NoKeyFile,
    #[error("tls.key is set and tls.certificate is not; TLS needs both")]
    NoCertificateFile,
    #[error("read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} holds no certificate; expected PEM with BEGIN CERTIFICATE", path.display())]
    NoCertificate { path: PathBuf },
    #[error(
        "{} holds no private key that can be used; expected PEM with BEGIN PRIVATE KEY, without a \
         passphrase",
        path.display()
    )]
    NoKey { path: PathBuf },
    #[error("use the key in {} with the certificate in {}", key.display(), certificate.display())]
    Unusable { certificate: PathBuf, key: PathBuf, source: rustls::Error },
}

impl Tls {
    /// `None` where neither file is named.
    pub(crate) fn of(
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
    ) -> Result<Option<Self>, TlsError> {
        let (certificate, key) = match (certificate, key) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(TlsError::NoKeyFile),
            (None, Some(_)) => return Err(TlsError::NoCertificateFile),
            (Some(certificate), Some(key)) => (certificate, key),
        };
        // The stamp first: what changes in between is read once too often, not once too rarely.
        let stamp = stamps(&certificate, &key);
        let config = read(&certificate, &key)?;
        Ok(Some(Self { certificate, key, present: Mutex::new(Present { stamp, config }) }))
    }

    pub(crate) fn encryption(self) -> Encryption {
        let tls = Arc::new(self);
        Encryption(Arc::new(move |stream| {
            let tls = Arc::clone(&tls);
            Box::pin(async move {
                let config = spawn_blocking(move || tls.config()).await;
                let config = config.expect("reading files does not panic");
                let stream = TlsAcceptor::from(config).accept(stream).await?;
                Ok(Box::new(stream) as Box<dyn Duplex>)
            })
        }))
    }

    /// Of the files as they are now, if they can be used.
    fn config(&self) -> Arc<ServerConfig> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamps(&self.certificate, &self.key);
        if stamp != present.stamp {
            present.stamp = stamp;
            match read(&self.certificate, &self.key) {
                Ok(config) => {
                    tracing::info!(certificate = %self.certificate.display(), "certificate read again");
                    present.config = config;
                }
                Err(error) => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::warn!(
                        error,
                        "the changed certificate cannot be used; the one before stays in force"
                    );
                }
            }
        }
        Arc::clone(&present.config)
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let file = |path: &Path| {
        fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&file(certificate)?)
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: certificate.to_owned() });
    }
    let private = PrivateKeyDer::from_pem_slice(&file(key)?)
        .map_err(|_| TlsError::NoKey { path: key.to_owned() })?;
    let unusable = |source| TlsError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// `None` while one of the files is not there.
fn stamps(certificate: &Path, key: &Path) -> Option<[Stamp; 2]> {
    let of = |path| fs::metadata(path).ok().map(|it| Stamp::of(&it));
    Some([of(certificate)?, of(key)?])
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            inode: file.ino(),
            bytes: file.size(),
            changed_ns: (file.ctime(), file.ctime_nsec()),
        }
    }
}
