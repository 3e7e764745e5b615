//! One running server: configuration in, a listening address out, and a stop that waits.
//!
//! Nothing here is global, so one process can start and stop servers as often as it likes, and run
//! several at once.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use settle_accounts::Accounts;
use settle_database::{
    Store, StoreParts, StoreSettings,
    blobs::{BlobSettings, BlobStore, BlobStoreParts},
};
use settle_engine::{Engine, memory::MemoryEngine};
use settle_engine_lmdb::{LmdbEngine, OpenOptions};
use settle_http::{ConfigStore, Foundations, MemoryConfig, ServerOptions, Settings, StopOutcome};
use settle_index::{IndexParts, IndexSettings, Indexes};
use settle_model::time::{Clock, Entropy};
use settle_replicator::{Replicator, Scheduler, SchedulerParts, SchedulerSettings};
use settle_script::{Launcher, ScriptSettings, Scripts};
use settle_site::{Site, SiteParts};
use thiserror::Error;
use tokio::{net::TcpListener, task::spawn_blocking};

use crate::{
    config::{ByteCount, Config, WorkerCount},
    data_folder::{DataFolder, DataFolderError},
    durable_file,
    kept_config::{KeptConfig, KeptConfigError},
    keys::{self, KeysError},
    limits::{DELETIONS_LOOKED_AT_EVERY, SECRET_LOOKED_AT_EVERY},
    scheduled_archives::{self, Schedule},
    secrets::{self, FirstAdmin, Opened, SecretsError, Wanted},
    system::{SystemClock, SystemEntropy},
    tls::{Tls, TlsError},
};

/// A server that listens. Dropping it without [`stop`](Self::stop) is like a crash: what was
/// acknowledged is safe, nobody is told.
#[derive(Debug)]
pub struct Server {
    http: settle_http::Server,
    /// Where commands of this machine reach a server that speaks TLS to everybody else, since no
    /// certificate names the loopback address.
    local: Option<settle_http::Server>,
    store: Store,
    indexes: Indexes,
    scripts: Scripts,
    replicator: Arc<Replicator>,
    address: SocketAddr,
    encrypted: bool,
    /// Tells commands on the same data folder where we are.
    address_file: Option<PathBuf>,
    first_admin: Option<FirstAdmin>,
    stop_patience: Duration,
}

/// Where documents go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// The data folder.
    Folder,
    /// Memory alone; nothing outlives the server. For tests and trials.
    Memory,
}

/// Who the administrator is.
#[derive(Debug, Clone)]
pub enum Admin {
    /// The one of the configuration, or else of the data folder, kept there.
    Kept,
    /// One that this server has and nobody keeps.
    Passing(FirstAdmin),
}

#[derive(Debug, Error)]
pub enum StartError {
    #[error("listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("open the data folder")]
    Folder(#[from] DataFolderError),
    #[error("open the documents")]
    Engine(#[from] settle_engine_lmdb::OpenError),
    #[error("open the attachments")]
    Blobs(#[from] settle_database::blobs::OpenError),
    #[error("open the databases")]
    Store(#[from] settle_database::OpenError),
    #[error("make the database of users")]
    Users(#[from] settle_database::CreateError),
    #[error("open the folder of attachments on their way")]
    Spool(#[source] io::Error),
    #[error("make the database of replications")]
    Replications(#[source] settle_database::CreateError),
    #[error("look for documents of replications")]
    Documents(#[source] settle_database::StorageError),
    #[error("open the environment of indexes")]
    IndexEngine(#[source] settle_engine_lmdb::OpenError),
    #[error("open the indexes")]
    Indexes(#[from] settle_index::OpenError),
    #[error("check tokens of others")]
    Keys(#[from] KeysError),
    #[error("find the program that is running, to run JavaScript in processes of it")]
    Program(#[source] io::Error),
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error(transparent)]
    KeptConfig(#[from] KeptConfigError),
    #[error("open the audit log")]
    Audit(#[source] settle_database::StorageError),
    #[error("set up TLS")]
    Tls(#[from] TlsError),
    #[error("write the address to {}", path.display())]
    AddressFile { path: PathBuf, source: io::Error },
}

impl StartError {
    /// Whether another server has the data folder open.
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Engine(settle_engine_lmdb::OpenError::Locked { .. }))
    }
}

#[derive(Debug, Error)]
pub enum StopError {
    #[error("remove the address in {}", path.display())]
    AddressFile { path: PathBuf, source: io::Error },
}

impl Server {
    /// Opens the data folder of `config`, or makes one, and listens.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_as(config, Storage::Folder, Admin::Kept).await
    }

    /// Functions of design documents run in processes of the program that is running.
    pub async fn start_as(
        config: Config,
        storage: Storage,
        admin: Admin,
    ) -> Result<Self, StartError> {
        let launcher = Launcher::this_program().map_err(StartError::Program)?;
        Self::start_with(config, storage, admin, launcher).await
    }

    /// The same, with another program for functions: a test is not the server's binary.
    ///
    /// The address is taken first and the folder's lock next: a start that fails on either has
    /// changed nothing.
    pub async fn start_with(
        config: Config,
        storage: Storage,
        admin: Admin,
        launcher: Launcher,
    ) -> Result<Self, StartError> {
        let listen = |source| StartError::Listen { address: config.bind, source };
        let listener = TcpListener::bind(config.bind).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let files = (config.tls_certificate.clone(), config.tls_key.clone());
        let tls = spawn_blocking(|| Tls::of(files.0, files.1)).await;
        let tls = tls.expect("reading files does not panic")?;
        let local = match &tls {
            Some(_) => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let listen = |source| StartError::Listen { address, source };
                let listener = TcpListener::bind(address).await.map_err(listen)?;
                Some((listener.local_addr().map_err(listen)?, listener))
            }
            None => None,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let folder = match storage {
            Storage::Folder => Some(DataFolder::open(&config.data)?),
            Storage::Memory => None,
        };
        // A command does not wait for a server to go away: it asks it.
        let lock_wait = match admin {
            Admin::Kept => OpenOptions::default().lock_wait,
            Admin::Passing(_) => Duration::ZERO,
        };
        let options = OpenOptions { map_bytes: config.store_size_max.0, lock_wait };
        let (engine, identity) = open_engine(options.clone(), folder.as_ref()).await?;
        let index_engine = open_index_engine(options, folder.as_ref()).await?;
        let Opened { accounts, first_admin, sealer } =
            open_secrets(&config, folder.as_ref(), &admin, &clock, &*entropy).await?;
        let settings: Arc<dyn ConfigStore> = match &folder {
            Some(folder) => Arc::new(KeptConfig::open(folder.kept_config())?),
            None => Arc::new(MemoryConfig::default()),
        };
        let blobs = BlobStore::open(BlobStoreParts {
            engine: engine.clone(),
            folder: folder.as_ref().map(DataFolder::blobs),
            clock: clock.clone(),
            entropy: entropy.clone(),
            settings: BlobSettings { condemned_for: config.attachments_keep },
        })
        .await?;
        let address_file = folder.as_ref().map(DataFolder::address);
        if let Some(path) = &address_file {
            let local = local.as_ref().map_or(address, |(address, _)| *address);
            let line = format!("{}\n", url_of("http", local));
            durable_file::replace(path, line.as_bytes())
                .map_err(|source| StartError::AddressFile { path: path.clone(), source })?;
        }
        let store = Store::open(StoreParts {
            engine,
            blobs,
            clock: clock.clone(),
            entropy: entropy.clone(),
            settings: StoreSettings { identity, grace: config.revisions_keep },
        })
        .await?;
        let scripts = Scripts::new(launcher, script_settings(&config));
        let indexes = Indexes::open(IndexParts {
            engine: index_engine,
            store: store.clone(),
            scripts: scripts.clone(),
            folder: folder.as_ref().map(DataFolder::builds),
            clock: clock.clone(),
            entropy: entropy.clone(),
            settings: index_settings(&config),
        })
        .await?;
        let site = Arc::new(Site::new(SiteParts {
            store: store.clone(),
            indexes: indexes.clone(),
            scripts: scripts.clone(),
            accounts: Arc::new(accounts),
            sealer: Arc::new(sealer),
            clock,
            entropy,
        }));
        let scheduler = Scheduler::start(SchedulerParts {
            site: Arc::clone(&site),
            spool: folder.as_ref().map(DataFolder::spool),
            settings: scheduler_settings(&config),
        });
        let scheduler = Arc::new(scheduler.await.map_err(StartError::Spool)?);
        let replicator = Arc::new(Replicator::new(Arc::clone(&site), scheduler));
        let state = settle_http::AppState::new(Foundations {
            site,
            replicator: Arc::clone(&replicator),
            shows_lists: config.scripts_shows_lists,
            settings: Arc::new(Settings::load(settings)),
            audit: (!config.audit_keep.is_zero()).then_some(config.audit_keep),
        });
        state.site.accounts.ensure_users().await?;
        replicator.ensure_database().await.map_err(StartError::Replications)?;
        if let Admin::Kept = admin {
            // A command on the folder has something else to do.
            replicator.follow_documents().await.map_err(StartError::Documents)?;
        }
        let secret = config.proxy_secret.as_ref().map(|it| it.reveal().as_bytes().to_vec());
        state.site.accounts.set_proxy_secret(secret);
        keys::watch(&config, &state.site.accounts, &state.site.clock, store.tasks())?;
        spawn_deletions(&state.site.accounts, &store);
        if let (Some(folder), Admin::Kept) = (&folder, &admin) {
            spawn_rotation(folder.secrets(), &state, &store);
        }
        state.open_audit().await.map_err(StartError::Audit)?;
        let state = Arc::new(state);
        if let (Some(schedule), Admin::Kept) = (schedule(&config), &admin) {
            store.tasks().spawn(scheduled_archives::keep_on(Arc::clone(&state), schedule));
        }
        let encrypted = tls.is_some();
        let options = ServerOptions { encryption: tls.map(Tls::encryption), ..Default::default() };
        let local = local.map(|(_, listener)| settle_http::Server::start(listener, state.clone()));
        let local = local.transpose().map_err(listen)?;
        let http = settle_http::Server::start_with(listener, state, options).map_err(listen)?;
        let stop_patience = config.stop_patience;
        Ok(Self {
            http,
            local,
            store,
            indexes,
            scripts,
            replicator,
            address,
            encrypted,
            address_file,
            first_admin,
            stop_patience,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How programs on this machine reach it.
    pub fn url(&self) -> String {
        url_of(if self.encrypted { "https" } else { "http" }, self.address)
    }

    /// Whether TLS protects it.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// The administrator that this start has made up; shown to a person once.
    pub fn first_admin(&self) -> Option<&FirstAdmin> {
        self.first_admin.as_ref()
    }

    /// Takes no more connections, ends feeds with their last line, waits for the requests under
    /// way as long as the configuration says, and for every write that was taken on.
    pub async fn stop(self) -> Result<(), StopError> {
        let patience = self.stop_patience;
        let local = async {
            match self.local {
                Some(local) => local.stop_within(patience).await,
                None => StopOutcome::Complete,
            }
        };
        let (http, local) = tokio::join!(self.http.stop_within(patience), local);
        if http == StopOutcome::Cut || local == StopOutcome::Cut {
            tracing::warn!(patience = ?self.stop_patience, "cut replies that took too long");
        }
        // They write with the help of all the others.
        self.replicator.close().await;
        // Functions first, lest an update wait for one that takes long.
        self.scripts.close().await;
        self.indexes.close().await;
        self.store.close().await;
        if let Some(path) = self.address_file {
            // Before the lock goes, lest it be the next server's.
            fs::remove_file(&path).map_err(|source| StopError::AddressFile { path, source })?;
        }
        Ok(())
    }
}

fn index_settings(config: &Config) -> IndexSettings {
    let sort_memory = usize::try_from(config.indexes_sort_memory.0).unwrap_or(usize::MAX);
    let build_bytes_max = sort_memory.max(settle_index::limits::BUILD_BYTES_MIN);
    IndexSettings { build_bytes_max, ..IndexSettings::default() }
}

fn script_settings(config: &Config) -> ScriptSettings {
    let default = ScriptSettings::default();
    let bytes = |count: ByteCount| usize::try_from(count.0).unwrap_or(usize::MAX);
    ScriptSettings {
        workers: match config.scripts_workers {
            WorkerCount::Auto => default.workers,
            WorkerCount::Exactly(count) => usize::from(count.get()),
        },
        runtime_bytes_max: bytes(config.scripts_memory),
        worker_bytes_max: bytes(config.scripts_process_memory),
        deadline: config.scripts_deadline,
        reduce_limit: config.scripts_reduce_limit,
    }
}

fn scheduler_settings(config: &Config) -> SchedulerSettings {
    let running_max = usize::from(config.replicator_max_jobs.get());
    SchedulerSettings { running_max, ..SchedulerSettings::default() }
}

fn schedule(config: &Config) -> Option<Schedule> {
    let folder = config.archives_folder.clone()?;
    Some(Schedule { folder, every: config.archives_every, keep: config.archives_keep })
}

/// Seals sessions with a new secret now and then.
fn spawn_rotation(path: PathBuf, state: &settle_http::AppState, store: &Store) {
    let (accounts, tasks) = (Arc::clone(&state.site.accounts), store.tasks().clone());
    let (clock, entropy) = (Arc::clone(&state.site.clock), Arc::clone(&state.site.entropy));
    store.tasks().spawn(async move {
        loop {
            if let Err(error) = secrets::rotate_if_due(&path, &accounts, &*clock, &*entropy) {
                tracing::warn!(%error, "could not replace the secret of sessions");
            }
            tokio::select! {
                () = tasks.stopping() => return,
                () = tokio::time::sleep(SECRET_LOOKED_AT_EVERY) => {}
            }
        }
    });
}

/// Takes accounts away whose time has come.
fn spawn_deletions(accounts: &Arc<Accounts>, store: &Store) {
    let (accounts, tasks) = (Arc::clone(accounts), store.tasks().clone());
    store.tasks().spawn(async move {
        loop {
            match accounts.carry_out_deletions().await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "took deleted accounts away"),
                Err(error) => tracing::warn!(%error, "could not take deleted accounts away"),
            }
            tokio::select! {
                () = tasks.stopping() => return,
                () = tokio::time::sleep(DELETIONS_LOOKED_AT_EVERY) => {}
            }
        }
    });
}

async fn open_engine(
    options: OpenOptions,
    folder: Option<&DataFolder>,
) -> Result<(Arc<dyn Engine>, Option<[u8; 16]>), StartError> {
    let Some(folder) = folder else { return Ok((Arc::new(MemoryEngine::new()), None)) };
    let documents = folder.documents();
    let opening = spawn_blocking(move || LmdbEngine::open(&documents, &options));
    let engine = opening.await.expect("opening the engine does not panic")?;
    let identity = engine.identity().0;
    Ok((engine, Some(identity)))
}

/// Indexes stand in an environment of their own, so that building one never holds the documents'
/// write lock.
async fn open_index_engine(
    options: OpenOptions,
    folder: Option<&DataFolder>,
) -> Result<Arc<dyn Engine>, StartError> {
    let Some(folder) = folder else { return Ok(Arc::new(MemoryEngine::new())) };
    let indexes = folder.indexes();
    let opening = spawn_blocking(move || LmdbEngine::open(&indexes, &options));
    let opened = opening.await.expect("opening the engine does not panic");
    Ok(opened.map_err(StartError::IndexEngine)?)
}

async fn open_secrets(
    config: &Config,
    folder: Option<&DataFolder>,
    admin: &Admin,
    clock: &Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<Opened, SecretsError> {
    let (path, wanted) = match admin {
        Admin::Kept => {
            let password = config.admin_password.as_ref();
            (folder.map(DataFolder::secrets), Wanted { name: &config.admin_user, password })
        }
        Admin::Passing(FirstAdmin { name, password }) => {
            (None, Wanted { name, password: Some(password) })
        }
    };
    let mut opened = secrets::open(path.as_deref(), wanted, clock.clone(), entropy).await?;
    // What a command writes, the server that comes after it reads.
    if let (Admin::Passing(_), Some(folder)) = (admin, folder)
        && let Some(sealer) = secrets::kept_sealer(&folder.secrets())?
    {
        opened.sealer = sealer;
    }
    Ok(opened)
}

/// An address that stands for all of a machine's is reached on its own.
fn url_of(scheme: &str, address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}
