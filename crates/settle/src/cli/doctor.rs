//! `settle doctor`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use hyper::Uri;
use settle::{
    config::Config,
    doctor::{Level, Patient, examine},
};

use super::{flags::SettingFlags, say, serve};

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// How clients reach the server. Without it, the server of these settings on this machine.
    url: Option<Uri>,
    /// An origin whose pages shall be able to use the server, such as `https://app.example.org`.
    #[arg(long)]
    origin: Option<String>,
    /// A file of certificates to trust beside the system's, as PEM.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingFlags,
}

impl Doctor {
    pub(super) fn run(&self) -> Result<ExitCode, anyhow::Error> {
        let config = self.settings.resolve()?.config;
        serve::log_warnings()?;
        let admin = config.admin_password.clone().map(|it| (config.admin_user.clone(), it));
        let patient = Patient {
            url: self.url.clone().map_or_else(|| usual(&config), Ok)?,
            origin: self.origin.clone(),
            trusted: self.trust.clone(),
            is_here: self.url.is_none() || config.data.exists(),
            config,
            admin,
        };
        let findings = serve::runtime()?.block_on(examine(&patient));
        for finding in &findings {
            say(&format!("{:8} {}", word(finding.level), finding.what))?;
            if let Some(advice) = finding.advice {
                say(&format!("         -> {advice}"))?;
            }
        }
        let count = |level| findings.iter().filter(|it| it.level == level).count();
        let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
        say(&format!("{problems} problems, {warnings} warnings"))?;
        Ok(if problems > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Where the server of these settings is. A certificate names a host, not an address.
fn usual(config: &Config) -> Result<Uri, anyhow::Error> {
    let (address, port) = (config.bind.ip(), config.bind.port());
    let host = if address.is_unspecified()
        || (config.tls_certificate.is_some() && address.is_loopback())
    {
        "localhost".to_owned()
    } else if address.is_ipv6() {
        format!("[{address}]")
    } else {
        address.to_string()
    };
    let scheme = if config.tls_certificate.is_some() { "https" } else { "http" };
    Ok(format!("{scheme}://{host}:{port}/").parse()?)
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Good => "ok",
        Level::Skipped => "skipped",
        Level::Warning => "warning",
        Level::Problem => "problem",
    }
}
