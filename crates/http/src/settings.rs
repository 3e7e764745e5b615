//! The settings that clients can read and change while the server runs, under CouchDB's names.
//!
//! CouchDB's whole configuration can be changed over HTTP, and more than one hole was that a changed value
//! was executed (CVE-2017-12636, CVE-2018-8007). Here a table says what exists; the rest is refused with a
//! reason. What was changed is kept by a [`ConfigStore`], which the program provides.

mod known;

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::Pin,
    str::FromStr as _,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use settle_accounts::{AccountSettings, PasswordRules};
use thiserror::Error;

use crate::{connection, cors::Cors, limits, uuids::UuidAlgorithm};
use known::find;
pub use known::{KNOWN, Known};

/// Settings by section and key, both as CouchDB writes them.
pub type Values = BTreeMap<(String, String), String>;

/// Where changed settings are kept. Written to whenever a client changes one, read at the start.
pub trait ConfigStore: fmt::Debug + Send + Sync + 'static {
    /// What was saved last.
    fn load(&self) -> Values;

    /// Replaces what was saved; the future ends when it is durable.
    fn save(&self, values: Values) -> Pin<Box<dyn Future<Output = Result<(), SaveError>> + Send>>;
}

#[derive(Debug, Error)]
#[error("could not save the settings: {reason}")]
pub struct SaveError {
    pub reason: String,
}

/// Keeps settings as long as the process lives, for servers that have no folder of their own.
#[derive(Debug, Default)]
pub struct MemoryConfig(Arc<RwLock<Values>>);

/// All settings, as they are at the moment.
#[derive(Debug)]
pub struct Settings {
    store: Arc<dyn ConfigStore>,
    /// One change at a time, from reading the old value to its being saved.
    changing: tokio::sync::Mutex<()>,
    state: RwLock<State>,
    switches: Switches,
}

/// What is asked of every request, so that servers without it pay one load for it.
#[derive(Debug, Default)]
struct Switches {
    cors: AtomicBool,
    rates: AtomicBool,
    strict_transport_seconds: AtomicU32,
}

/// Requests a second, 0 for any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateSettings {
    pub per_account: u32,
    pub per_address: u32,
    /// So much may come at once as comes in this time.
    pub burst: Duration,
}

#[derive(Debug, Default)]
struct State {
    saved: Values,
    /// Changed with `X-Couch-Persist: false`; `None` hides a saved value.
    unsaved: BTreeMap<(String, String), Option<String>>,
    live: Arc<Live>,
}

/// The settings that the server acts on, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    pub uuid_algorithm: UuidAlgorithm,
    pub uuid_count_max: usize,
    pub utc_id_suffix: String,
    pub session_timeout: Duration,
    /// What accounts may keep, and how long deleted ones can be taken back.
    pub accounts: AccountSettings,
    /// Members of user documents that everybody who is signed in may see.
    pub public_fields: Vec<String>,
    /// Whether anybody may make themselves a user.
    pub sign_up_open: bool,
    /// Characters of a new password at least.
    pub password_length_min: usize,
    /// Patterns that each new password must match, and what is said otherwise.
    pub password_patterns: Vec<(String, Option<String>)>,
    /// The attribute of session cookies, as it stands in the header.
    pub same_site: &'static str,
    /// The domain of session cookies; empty for the host that was asked.
    pub cookie_domain: String,
    /// Seconds in which browsers shall come by TLS alone, 0 to say nothing.
    pub strict_transport_seconds: u32,
    pub maintenance: Maintenance,
    /// `None` while it is off or no origin is listed.
    pub cors: Option<Arc<Cors>>,
    /// `None` while there is no limit.
    pub rates: Option<RateSettings>,
    /// Proxies that are believed where a request comes from.
    pub proxies: Vec<IpAddr>,
}

/// What `_up` tells a load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Maintenance {
    #[default]
    Off,
    On,
    /// Requests are answered, but no new clients should be sent here.
    NoLoadBalancer,
}

#[derive(Debug, Error)]
pub enum SettingError {
    /// The section decides what is executed, or what code is loaded.
    #[error("Config section blacklisted for modification over HTTP API.")]
    Executes,
    #[error("{section}/{key} is set when the server starts and cannot be changed over HTTP")]
    Fixed { section: String, key: String },
    #[error("{section}/{key} is not a setting that this server has")]
    Unknown { section: String, key: String },
    #[error("{section}/{key}: {reason}")]
    Invalid { section: String, key: String, reason: String },
    #[error("the setting could not be kept")]
    NotSaved(#[source] SaveError),
}

impl Settings {
    /// What was saved and is no longer known or valid is left alone and has no effect.
    pub fn load(store: Arc<dyn ConfigStore>) -> Self {
        let mut state = State { saved: store.load(), ..State::default() };
        state.refresh();
        let switches = Switches::default();
        switches.set(&state.live);
        Self { store, changing: tokio::sync::Mutex::default(), state: RwLock::new(state), switches }
    }

    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.read().live)
    }

    /// Asked once a request.
    pub(crate) fn cors(&self) -> Option<Arc<Cors>> {
        if !self.switches.cors.load(Ordering::Relaxed) {
            return None;
        }
        self.read().live.cors.clone()
    }

    /// Asked once a request: the settings if there is a rate.
    pub(crate) fn rates(&self) -> Option<(RateSettings, Arc<Live>)> {
        if !self.switches.rates.load(Ordering::Relaxed) {
            return None;
        }
        let live = self.live();
        Some((live.rates?, live))
    }

    /// Asked once a request.
    pub(crate) fn strict_transport_seconds(&self) -> u32 {
        self.switches.strict_transport_seconds.load(Ordering::Relaxed)
    }

    /// Every setting of a section.
    pub fn section(&self, section: &str) -> BTreeMap<String, String> {
        let mut all = self.all();
        all.remove(section).unwrap_or_default()
    }

    /// Every setting, by section.
    pub fn all(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let state = self.read();
        let mut all: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for known in KNOWN {
            let value = state.value(known);
            all.entry(known.section.to_owned())
                .or_default()
                .insert(known.key.to_owned(), value.to_owned());
        }
        all
    }

    pub fn get(&self, section: &str, key: &str) -> Option<String> {
        find(section, key).map(|known| self.read().value(known).to_owned())
    }

    /// Changes a setting, and returns what it was.
    pub async fn set(
        &self,
        section: &str,
        key: &str,
        value: &str,
        persist: bool,
    ) -> Result<String, SettingError> {
        let known = changeable(section, key)?;
        let invalid = |reason| SettingError::Invalid {
            section: section.to_owned(),
            key: key.to_owned(),
            reason,
        };
        if value.len() > limits::SETTING_MAX {
            return Err(invalid(format!("at most {} bytes", limits::SETTING_MAX)));
        }
        (known.check)(value).map_err(invalid)?;
        self.change(known, Some(value), persist).await
    }

    /// Puts a setting back to what it is by default, and returns what it was.
    pub async fn reset(
        &self,
        section: &str,
        key: &str,
        persist: bool,
    ) -> Result<String, SettingError> {
        self.change(changeable(section, key)?, None, persist).await
    }

    async fn change(
        &self,
        known: &'static Known,
        value: Option<&str>,
        persist: bool,
    ) -> Result<String, SettingError> {
        let _turn = self.changing.lock().await;
        let id = (known.section.to_owned(), known.key.to_owned());
        let (old, saved) = {
            let state = self.read();
            let mut saved = state.saved.clone();
            if persist {
                match value {
                    Some(value) => saved.insert(id.clone(), value.to_owned()),
                    None => saved.remove(&id),
                };
            }
            (state.value(known).to_owned(), saved)
        };
        if persist {
            self.store.save(saved.clone()).await.map_err(SettingError::NotSaved)?;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.saved = saved;
        if persist {
            state.unsaved.remove(&id);
        } else {
            state.unsaved.insert(id, value.map(str::to_owned));
        }
        self.refresh(&mut state);
        Ok(old)
    }

    /// Forgets changes that were not kept.
    pub fn reload(&self) {
        let saved = self.store.load();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *state = State { saved, ..State::default() };
        self.refresh(&mut state);
    }

    fn refresh(&self, state: &mut State) {
        state.refresh();
        self.switches.set(&state.live);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Switches {
    fn set(&self, live: &Live) {
        self.cors.store(live.cors.is_some(), Ordering::Relaxed);
        self.rates.store(live.rates.is_some(), Ordering::Relaxed);
        self.strict_transport_seconds.store(live.strict_transport_seconds, Ordering::Relaxed);
    }
}

/// Sections whose values CouchDB executes or loads as code.
const EXECUTES: [&str; 10] = [
    "daemons",
    "external",
    "feature_flags",
    "httpd_db_handlers",
    "httpd_design_handlers",
    "httpd_global_handlers",
    "native_query_servers",
    "os_daemons",
    "query_servers",
    "update_notification",
];

fn changeable(section: &str, key: &str) -> Result<&'static Known, SettingError> {
    if EXECUTES.contains(&section) {
        return Err(SettingError::Executes);
    }
    let (section_owned, key_owned) = (section.to_owned(), key.to_owned());
    match find(section, key) {
        None => Err(SettingError::Unknown { section: section_owned, key: key_owned }),
        Some(known) if known.fixed => {
            Err(SettingError::Fixed { section: section_owned, key: key_owned })
        }
        Some(known) => Ok(known),
    }
}

impl State {
    fn value(&self, known: &Known) -> &str {
        let id = (known.section.to_owned(), known.key.to_owned());
        let changed = match self.unsaved.get(&id) {
            Some(unsaved) => unsaved.as_deref(),
            None => self.saved.get(&id).map(String::as_str),
        };
        changed.filter(|value| (known.check)(value).is_ok()).unwrap_or(known.default)
    }

    fn refresh(&mut self) {
        let get = |section: &str, key: &str| {
            self.value(find(section, key).expect("the server acts on known settings alone"))
        };
        let number = |section, key| {
            get(section, key).parse().expect("values that are not numbers are filtered out")
        };
        let is_true = |section, key| get(section, key) == "true";
        let has_cors = is_true("chttpd", "enable_cors") || is_true("httpd", "enable_cors");
        let cors = has_cors.then(|| {
            Cors::new(
                get("cors", "origins"),
                is_true("cors", "credentials"),
                get("cors", "methods"),
                get("cors", "headers"),
                number("cors", "max_age"),
            )
        });
        let rate = |key| u32::try_from(number("rate_limits", key)).unwrap_or(u32::MAX);
        let rates = RateSettings {
            per_account: rate("per_account"),
            per_address: rate("per_address"),
            burst: Duration::from_secs(number("rate_limits", "burst")),
        };
        let live = Live {
            uuid_algorithm: UuidAlgorithm::from_str(get("uuids", "algorithm"))
                .expect("other values are filtered out"),
            uuid_count_max: usize::try_from(number("uuids", "max_count"))
                .unwrap_or(limits::UUIDS_MAX),
            utc_id_suffix: get("uuids", "utc_id_suffix").to_owned(),
            session_timeout: Duration::from_secs(number("chttpd_auth", "timeout")),
            accounts: AccountSettings {
                databases_max: number("accounts", "databases_max"),
                bytes_max: number("accounts", "bytes_max"),
                deletion_grace: Duration::from_secs(
                    number("accounts", "deletion_grace_days") * 24 * 3_600,
                ),
            },
            public_fields: known::list(get("chttpd_auth", "public_fields")),
            sign_up_open: get("chttpd_auth", "sign_up") == "open",
            password_length_min: usize::try_from(number("chttpd_auth", "password_length_min"))
                .unwrap_or(usize::MAX),
            password_patterns: known::patterns(get("chttpd_auth", "password_regexp"))
                .expect("what is no list of patterns is filtered out"),
            same_site: match get("chttpd_auth", "same_site") {
                "strict" => "Strict",
                "none" => "None",
                _ => "Lax",
            },
            cookie_domain: get("chttpd_auth", "cookie_domain").to_owned(),
            strict_transport_seconds: u32::try_from(number("chttpd", "strict_transport_security"))
                .unwrap_or(u32::MAX),
            maintenance: match get("couchdb", "maintenance_mode") {
                "true" => Maintenance::On,
                "nolb" => Maintenance::NoLoadBalancer,
                _ => Maintenance::Off,
            },
            cors: cors.flatten().map(Arc::new),
            rates: (rates.per_account > 0 || rates.per_address > 0).then_some(rates),
            proxies: connection::proxies(get("proxies", "trusted"))
                .filter_map(|it| it.parse().ok())
                .collect(),
        };
        self.live = Arc::new(live);
    }
}

impl Live {
    pub(crate) fn password_rules(&self) -> PasswordRules {
        let compiled = self.password_patterns.iter().filter_map(|(pattern, reason)| {
            Some((regex::Regex::new(pattern).ok()?, reason.clone()))
        });
        PasswordRules { length_min: self.password_length_min, patterns: compiled.collect() }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self {
            uuid_algorithm: UuidAlgorithm::default(),
            uuid_count_max: limits::UUIDS_MAX,
            utc_id_suffix: String::new(),
            session_timeout: settle_accounts::limits::SESSION_TIMEOUT_DEFAULT,
            accounts: AccountSettings::default(),
            public_fields: Vec::new(),
            sign_up_open: false,
            password_length_min: limits::PASSWORD_LENGTH_MIN_DEFAULT,
            password_patterns: Vec::new(),
            same_site: "Lax",
            cookie_domain: String::new(),
            strict_transport_seconds: 0,
            maintenance: Maintenance::Off,
            cors: None,
            rates: None,
            proxies: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        }
    }
}

impl ConfigStore for MemoryConfig {
    fn load(&self) -> Values {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn save(&self, values: Values) -> Pin<Box<dyn Future<Output = Result<(), SaveError>> + Send>> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = values;
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests;
