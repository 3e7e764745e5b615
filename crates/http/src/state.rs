//! What all requests of a server share.

use std::{sync::Arc, time::Duration};

use settle_replicator::Replicator;
use settle_site::Site;
use tokio::sync::Semaphore;

use crate::{
    audit::Audit, body::LargeBodies, drills::Drills, limits, metrics::Metrics, rates::Rates,
    request_id::RequestIds, settings::Settings, shutdown::Shutdown, uuids::Uuids,
};

/// What the program brings.
#[derive(Debug)]
pub struct Foundations {
    pub site: Arc<Site>,
    pub replicator: Arc<Replicator>,
    /// Whether `_show` and `_list` can be called.
    pub shows_lists: bool,
    pub settings: Arc<Settings>,
    /// How long records of sign-ins and administrative acts are kept; `None` makes none.
    pub audit: Option<Duration>,
}

/// Made once for a server; handlers reach everything through it.
#[derive(Debug)]
pub struct AppState {
    pub site: Arc<Site>,
    pub replicator: Arc<Replicator>,
    pub(crate) shows_lists: bool,
    pub settings: Arc<Settings>,
    pub metrics: Metrics,
    pub shutdown: Shutdown,
    pub(crate) uuids: Uuids,
    pub(crate) request_ids: RequestIds,
    /// Places for feeds.
    pub(crate) feeds: Arc<Semaphore>,
    pub(crate) drills: Drills,
    /// Places for archives that are read or written.
    pub(crate) archives: Arc<Semaphore>,
    pub(crate) large_bodies: LargeBodies,
    pub(crate) rates: Rates,
    pub(crate) audit: Audit,
}

impl AppState {
    pub fn new(foundations: Foundations) -> Self {
        let Foundations { site, replicator, shows_lists, settings, audit } = foundations;
        let request_ids = RequestIds::new(&*site.entropy);
        let state = Self {
            site,
            replicator,
            shows_lists,
            settings,
            metrics: Metrics::default(),
            shutdown: Shutdown::default(),
            uuids: Uuids::default(),
            request_ids,
            feeds: Arc::new(Semaphore::new(limits::FEEDS_MAX)),
            drills: Drills::default(),
            archives: Arc::new(Semaphore::new(limits::ARCHIVES_MAX)),
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
        self.uuids.make(
            live.uuid_algorithm,
            &live.utc_id_suffix,
            &*self.site.clock,
            &*self.site.entropy,
        )
    }

    /// Hands on the settings that others act on.
    pub(crate) fn settings_changed(&self) {
        let live = self.settings.live();
        self.site.accounts.set_session_timeout(live.session_timeout);
        self.site.accounts.set_password_rules(live.password_rules());
        self.site.accounts.set_account_settings(live.accounts);
    }
}
