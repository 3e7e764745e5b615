//! What can be set about a server, and where each value came from.
//!
//! One table ([`SETTINGS`], in `settings.rs`) names every setting with its type, default and
//! meaning. From it are made the [`Config`] struct, the flags, the `SETTLE_*` variables, the keys of
//! the file, `settle config` and the reference in `docs/configuration.md`. A flag beats the
//! environment, which beats the file, which beats the default. A name that is not in the table is
//! refused, with the closest one as a hint, since a misspelt limit that is silently ignored is
//! found on the day it was needed.

mod layers;
mod reference;
mod settings;
mod value;

pub use self::{
    layers::{ConfigError, Origin, Resolved, Source, Sources},
    reference::reference,
    settings::{Config, SETTINGS, Setting},
    value::{ByteCount, LogFormat, Secret, Value, WorkerCount},
};

/// The variable that names the file, as `--config` does. It is no setting.
pub const FILE_VARIABLE: &str = "SETTLE_CONFIG";

/// The file that is read when none is named and it is there.
pub const FILE_DEFAULT: &str = "settle.toml";

const VARIABLE_PREFIX: &str = "SETTLE_";
