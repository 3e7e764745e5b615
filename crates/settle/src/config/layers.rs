//! Flags over environment over file over defaults.

use std::{fmt, fs, io, path::PathBuf};

use thiserror::Error;

use super::{
    FILE_VARIABLE, VARIABLE_PREFIX,
    settings::{Config, SETTINGS, Setting},
};

/// What the values are gathered from. The caller reads the process's arguments and environment, so
/// that tests pass their own.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// All variables; those of other programs are passed over.
    pub environment: Vec<(String, String)>,
    /// Names of settings, as in the table, with their texts.
    pub flags: Vec<(&'static str, String)>,
}

/// Where one value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    Variable(String),
    Flag(String),
}

/// One value as text, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub text: String,
    pub origin: Origin,
}

/// The configuration, with the source of each value in the order of [`SETTINGS`].
#[derive(Debug, Clone)]
pub struct Resolved {
    pub config: Config,
    pub sources: Vec<Source>,
}

#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("read the configuration file {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("read the configuration file {} as TOML", path.display())]
    NotToml { path: PathBuf, source: toml::de::Error },
    #[error("{origin}: there is no setting {name}{}", did_you_mean(hint.as_deref()))]
    Unknown { name: String, origin: Origin, hint: Option<String> },
    #[error("{origin}: {name} is {text:?}: {reason}")]
    Invalid { name: &'static str, text: String, origin: Origin, reason: String },
}

impl Resolved {
    pub fn new(sources: &Sources) -> Result<Self, ConfigError> {
        let file = sources.file.as_ref().map(read_file).transpose()?.unwrap_or_default();
        let layers = [flags(sources), variables(sources)?, file];
        let pick = |setting: &'static Setting| {
            let found = layers.iter().flatten().find(|(name, _)| *name == setting.name);
            found.map_or_else(|| Source::default_of(setting), |(_, source)| source.clone())
        };
        let config = Config::read(pick)?;
        Ok(Self { config, sources: SETTINGS.iter().map(pick).collect() })
    }
}

/// The settings that one layer has a value for.
type Layer = Vec<(&'static str, Source)>;

fn flags(sources: &Sources) -> Layer {
    let flag = |(name, text): &(&'static str, String)| {
        let flag = name.replace(['.', '_'], "-");
        (*name, Source { text: text.clone(), origin: Origin::Flag(flag) })
    };
    sources.flags.iter().map(flag).collect()
}

fn variables(sources: &Sources) -> Result<Layer, ConfigError> {
    let ours = sources
        .environment
        .iter()
        .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX) && name != FILE_VARIABLE);
    let layer = ours.map(|(variable, text)| {
        let origin = Origin::Variable(variable.clone());
        let setting = SETTINGS.iter().find(|it| it.variable() == *variable);
        let Some(setting) = setting else {
            let hint = closest(variable, SETTINGS.iter().map(Setting::variable));
            return Err(ConfigError::Unknown { name: variable.clone(), origin, hint });
        };
        Ok((setting.name, Source { text: text.clone(), origin }))
    });
    layer.collect()
}

fn read_file(path: &PathBuf) -> Result<Layer, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
    let table =
        text.parse().map_err(|source| ConfigError::NotToml { path: path.clone(), source })?;
    let mut layer = Layer::new();
    flatten("", &table, &Origin::File(path.clone()), &mut layer)?;
    Ok(layer)
}

/// Takes `[log] format = "json"` as `log.format`.
fn flatten(
    prefix: &str,
    table: &toml::Table,
    origin: &Origin,
    layer: &mut Layer,
) -> Result<(), ConfigError> {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        let setting = SETTINGS.iter().find(|it| it.name == name);
        if let Some(setting) = setting {
            let text = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(_)
                | toml::Value::Float(_)
                | toml::Value::Boolean(_)
                | toml::Value::Datetime(_)
                | toml::Value::Array(_)
                | toml::Value::Table(_) => value.to_string(),
            };
            layer.push((setting.name, Source { text, origin: origin.clone() }));
            continue;
        }
        let inner = format!("{name}.");
        let known = SETTINGS.iter().any(|it| it.name.starts_with(&inner));
        let Some(table) = value.as_table().filter(|_| known) else {
            let hint = closest(&name, SETTINGS.iter().map(|it| it.name.to_owned()));
            return Err(ConfigError::Unknown { name, origin: origin.clone(), hint });
        };
        flatten(&inner, table, origin, layer)?;
    }
    Ok(())
}

/// The known name that a misspelt one most likely meant.
fn closest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|it| (strsim::damerau_levenshtein(name, &it), it))
        .min()
        .filter(|(distance, it)| *distance <= it.len() / 2)
        .map(|(_, it)| it)
}

fn did_you_mean(hint: Option<&str>) -> String {
    let list = "settle config lists all of them";
    match hint {
        Some(hint) => format!("; did you mean {hint}? ({list})"),
        None => format!("; {list}"),
    }
}

impl Source {
    pub(super) fn default_of(setting: &'static Setting) -> Self {
        Self { text: setting.default.to_owned(), origin: Origin::Default }
    }
}

impl ConfigError {
    pub(super) fn invalid(setting: &'static Setting, source: Source, reason: String) -> Self {
        let text = if setting.secret { "secret".into() } else { source.text };
        Self::Invalid { name: setting.name, text, origin: source.origin, reason }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}
