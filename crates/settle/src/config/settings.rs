//! The table of settings.

use std::{net::SocketAddr, num::NonZeroU16, path::PathBuf, time::Duration};

use hyper::Uri;
use settle_script::ReduceLimit;
use tracing_subscriber::filter::Targets;

use super::{
    VARIABLE_PREFIX,
    layers::{ConfigError, Source},
    value::{ByteCount, LogFormat, Secret, Value, WorkerCount},
};

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// As in the file, with a dot for each table: `log.format`.
    pub name: &'static str,
    pub doc: &'static str,
    pub default: &'static str,
    /// What its values look like, for people.
    pub kind: &'static str,
    /// Never printed, and no flag, since other users of a machine can see a command's arguments.
    pub secret: bool,
}

impl Setting {
    /// `SETTLE_LOG_FORMAT`.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.replace('.', "_").to_uppercase())
    }

    /// `log-format`; none for secrets.
    pub fn flag(&self) -> Option<String> {
        (!self.secret).then(|| self.name.replace(['.', '_'], "-"))
    }
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:literal $field:ident: $type:ty = $default:literal;)+) => {
        /// Everything that can be set, already right.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        /// Every setting, in the order in which people should read about them.
        pub static SETTINGS: &[Setting] = &[$(Setting {
            name: $name,
            doc: concat!($($doc),+),
            default: $default,
            kind: <$type as Value>::KIND,
            secret: <$type as Value>::SECRET,
        },)+];

        impl Config {
            /// Reads each field from the text that `source` has for it.
            pub(super) fn read(
                source: impl Fn(&'static Setting) -> Source,
            ) -> Result<Self, ConfigError> {
                let mut rows = SETTINGS.iter();
                let mut next = || {
                    let setting = rows.next().expect("the table has a row for each field");
                    (setting, source(setting))
                };
                Ok(Self {
                    $($field: {
                        let (setting, source) = next();
                        <$type as Value>::parse(&source.text)
                            .map_err(|reason| ConfigError::invalid(setting, source, reason))?
                    },)+
                })
            }
        }
    };
}

settings! {
    /// The folder that holds the documents, the attachments and the secrets. One server at a time
    /// opens it.
    "data" data: PathBuf = "./data";
    /// The address to listen on. Port 0 takes any free one. Other machines reach the server only
    /// when this is not a loopback address.
    "bind" bind: SocketAddr = "127.0.0.1:5984";
    /// A file with the server's certificate and those between it and the root, as PEM. With it and
    /// `tls.key` the server speaks TLS alone. Both files are read again when they change.
    "tls.certificate" tls_certificate: Option<PathBuf> = "";
    /// The file with the private key of the certificate, as PEM.
    "tls.key" tls_key: Option<PathBuf> = "";
    /// A file with certificates, as PEM, that are trusted besides those of the system when this server
    /// asks another one, as for `jwt.keys_url`.
    "tls.trusted" tls_trusted: Option<PathBuf> = "";
    /// The name of the administrator.
    "admin.user" admin_user: String = "admin";
    /// The password of the administrator. Where none has ever been set, the first start makes one
    /// and prints it once.
    "admin.password" admin_password: Option<Secret> = "";
    /// How long the records of sign-ins and administrative acts are kept, which the database
    /// `_audit` holds. `0 s` keeps none.
    "audit.keep" audit_keep: Duration = "90 d";
    /// A file with the JSON Web Key Set (RFC 7517) that tokens of others are checked with, read again
    /// when it changes. Without this or `jwt.keys_url`, there is no such sign-in.
    "jwt.keys" jwt_keys: Option<PathBuf> = "";
    /// Where such a set is published by who signs the tokens. It is fetched every ten minutes, and when
    /// a token names a key that is not in it.
    "jwt.keys_url" jwt_keys_url: Option<Uri> = "";
    /// What such a token must say, with commas between: names of claims, or `name=value`.
    "jwt.required_claims" jwt_required_claims: String = "exp";
    /// The members that lead to a token's list of roles, with dots between; a dot inside of a name
    /// stands behind a backslash.
    "jwt.roles_claim" jwt_roles_claim: String = "_couchdb\\.roles";
    /// What a proxy that signs users in proves itself with. Without one, there is no such sign-in.
    "proxy.secret" proxy_secret: Option<Secret> = "";
    /// How log lines are written.
    "log.format" log_format: LogFormat = "text";
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels of parts, as
    /// in `warn,settle_http=debug`.
    "log.filter" log_filter: Targets = "info";
    /// How long a stop waits for the requests under way. Feeds end at once, with their last line.
    "stop.patience" stop_patience: Duration = "10 s";
    /// The size that the file of documents may grow to. It occupies only what it holds; the
    /// address space is taken at the start.
    "store.size_max" store_size_max: ByteCount = "1 TiB";
    /// How long a revision that an update replaced can still be read, in databases created from
    /// now on. Compaction takes it away earlier.
    "revisions.keep" revisions_keep: Duration = "1 h";
    /// How long an attachment that no document refers to any more is kept before it is removed.
    "attachments.keep" attachments_keep: Duration = "10 min";
    /// The folder that archives of all databases go to, those of accounts too. Without one, none are made.
    "archives.folder" archives_folder: Option<PathBuf> = "";
    /// How often all databases are archived. Each archive is restored beside its database, compared, and
    /// taken away again; the audit log and the metrics say what came of it.
    "archives.every" archives_every: Duration = "1 d";
    /// How long archives are kept. The newest ones stay in any case.
    "archives.keep" archives_keep: Duration = "30 d";
    /// The memory in which one build of an index sorts its rows, at least 1 MiB; what has no room
    /// goes to files. Two indexes are built in the background at a time, and each that a request
    /// waits for.
    "indexes.sort_memory" indexes_sort_memory: ByteCount = "64 MiB";
    /// How many processes run the JavaScript functions of design documents. `auto` is one for each
    /// core, and at least two, since one is kept free of index builds.
    "scripts.workers" scripts_workers: WorkerCount = "auto";
    /// How long one JavaScript function may run on one document. Then it is stopped, and whoever
    /// waits for it gets an error.
    "scripts.deadline" scripts_deadline: Duration = "5 s";
    /// The memory that the functions of one design document may take in one process.
    "scripts.memory" scripts_memory: ByteCount = "64 MiB";
    /// The memory that all functions in one process may take. Design documents that were not used
    /// for the longest time are forgotten first.
    "scripts.process_memory" scripts_process_memory: ByteCount = "256 MiB";
    /// What happens where a reduce function's result is not clearly smaller than its rows: the
    /// query is refused, a line is logged, or nothing.
    "scripts.reduce_limit" scripts_reduce_limit: ReduceLimit = "refuse";
    /// Whether show and list functions, `_show` and `_list`, can be called. CouchDB has announced
    /// their end; old applications need them.
    "scripts.shows_lists" scripts_shows_lists: bool = "on";
    /// How many replications run at a time. Others wait for their turn, and those between databases
    /// of this server that have nothing to copy do not count.
    "replicator.max_jobs" replicator_max_jobs: NonZeroU16 = "1000";
}

impl Default for Config {
    fn default() -> Self {
        Self::read(Source::default_of).expect("a test reads every default")
    }
}
