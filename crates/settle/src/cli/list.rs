//! `settle config`.

use std::process::ExitCode;

use settle::config::{SETTINGS, Setting, Source, reference};

use super::{flags::SettingFlags, say};

pub(super) fn run(settings: &SettingFlags, reference: bool) -> Result<ExitCode, anyhow::Error> {
    if reference {
        say(self::reference().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let resolved = settings.resolve()?;
    let rows: Vec<_> = SETTINGS
        .iter()
        .zip(&resolved.sources)
        .map(|(setting, source)| (setting.name, shown(setting, source), source.origin.to_string()))
        .collect();
    let names = rows.iter().map(|it| it.0.len()).max().unwrap_or_default();
    let values = rows.iter().map(|it| it.1.len()).max().unwrap_or_default();
    for (name, value, origin) in rows {
        say(&format!("{name:names$}  {value:values$}  {origin}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(setting: &Setting, source: &Source) -> String {
    match source.text.as_str() {
        "" => "-".into(),
        _ if setting.secret => "********".into(),
        text => text.to_owned(),
    }
}
