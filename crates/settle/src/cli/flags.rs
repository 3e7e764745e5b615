//! The flags for settings, made from their table.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};
use settle::config::{FILE_VARIABLE, Resolved, SETTINGS};

/// The flags that were given.
#[derive(Debug, Default)]
pub(super) struct SettingFlags {
    file: Option<PathBuf>,
    given: Vec<(&'static str, String)>,
}

const FILE: &str = "config";

impl SettingFlags {
    pub(super) fn resolve(&self) -> Result<Resolved, anyhow::Error> {
        super::resolve(self.file.as_deref(), self.given.clone())
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE)
            .long(FILE)
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(format!("The file that settings are read from [env: {FILE_VARIABLE}]"));
        SETTINGS.iter().fold(command.arg(file), |command, setting| {
            let Some(flag) = setting.flag() else { return command };
            let help = format!(
                "{} [default: {}] [env: {}]",
                setting.doc.trim(),
                setting.default,
                setting.variable()
            );
            let value = setting.name.rsplit('.').next().unwrap_or(setting.name);
            let value = value.to_uppercase();
            command.arg(Arg::new(setting.name).long(flag).value_name(value).help(help))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<PathBuf>(FILE).cloned();
        let flags = SETTINGS.iter().filter(|it| it.flag().is_some());
        self.given = flags
            .filter_map(|it| Some((it.name, matches.get_one::<String>(it.name)?.clone())))
            .collect();
        Ok(())
    }
}
