//! What all requests of a server share.

use std::{sync::Arc, time::Duration};

use settle_accounts::{Accounts, KeptBeside};
use settle_database::Store;
use settle_index::{Indexes, lane::Lanes};
use settle_model::time::{Clock, Entropy};
use settle_script::Scripts;

use tokio::sync::Semaphore;

use crate::{
    audit::Audit, body::LargeBodies, limits, metrics::Metrics, rates::Rates,
    request_id::RequestIds, settings::Settings, shutdown::Shutdown, uuids::Uuids,
};

/// What the program brings.
#[derive(Debug)]
pub struct Foundations {
    pub store: Store,
    pub indexes: Indexes,
    pub scripts: Scripts,
    /// Whether `_show` and `_list` can be called.
    pub shows_lists: bool,
    pub accounts: Arc<Accounts>,
    pub settings: Arc<Settings>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// How long records of sign-ins and administrative acts are kept; `None` makes none.
    pub audit: Option<Duration>,
}

/// Made once for a server; handlers reach everything through it.
#[derive(Debug)]
pub struct AppState {
    pub store: Store,
    pub indexes: Indexes,
    pub scripts: Scripts,
    pub(crate) shows_lists: bool,
    /// The way of every write of documents.
    pub(crate) lanes: Lanes,
    pub accounts: Arc<Accounts>,
    pub settings: Arc<Settings>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub metrics: Metrics,
    pub shutdown: Shutdown,
    pub(crate) uuids: Uuids,
    pub(crate) request_ids: RequestIds,
    /// Places for feeds.
    pub(crate) feeds: Arc<Semaphore>,
    pub(crate) large_bodies: LargeBodies,
    pub(crate) rates: Rates,
    pub(crate) audit: Audit,
}

impl AppState {
    pub fn new(foundations: Foundations) -> Self {
        let Foundations {
            store,
            indexes,
            scripts,
            shows_lists,
            accounts,
            settings,
            clock,
            entropy,
            audit,
        } = foundations;
        let kept = indexes.clone();
        let beside = KeptBeside::new(move |database| {
            let kept = kept.clone();
            Box::pin(async move { kept.kept_bytes(database).await })
        });
        accounts.attach(store.clone(), beside, Arc::clone(&entropy));
        let request_ids = RequestIds::new(&*entropy);
        let lanes = Lanes::new(indexes.clone());
        let state = Self {
            store,
            lanes,
            indexes,
            scripts,
            shows_lists,
            accounts,
            settings,
            clock,
            entropy,
            metrics: Metrics::default(),
            shutdown: Shutdown::default(),
            uuids: Uuids::default(),
            request_ids,
            feeds: Arc::new(Semaphore::new(limits::FEEDS_MAX)),
            large_bodies: LargeBodies::default(),
            rates: Rates::default(),
            audit: Audit::new(audit),
        };
        state.settings_changed();
        state
    }

    /// An id that no other has, made as the settings say.
    pub fn make_uuid(&self) -> String {
        let live = self.settings.live();
        self.uuids.make(live.uuid_algorithm, &live.utc_id_suffix, &*self.clock, &*self.entropy)
    }

    /// Hands on the settings that others act on.
    pub(crate) fn settings_changed(&self) {
        let live = self.settings.live();
        self.accounts.set_session_timeout(live.session_timeout);
        self.accounts.set_password_rules(live.password_rules());
        self.accounts.set_account_settings(live.accounts);
    }
}
