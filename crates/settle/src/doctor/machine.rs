//! What a server stands on: its folder, its disk, what it was started with.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use rustix::{fs::statvfs, process::geteuid};

use super::Finding;
use crate::{
    config::{ByteCount, Config},
    data_folder::DataFolder,
    limits::{DOCTOR_DISK_FREE_MIN, DOCTOR_DISK_FREE_PERCENT_MIN},
};

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let folder = DataFolder::at(&config.data);
    let mut findings = Vec::new();
    match fs::metadata(folder.root()) {
        Ok(_) => {
            findings.extend(disk(folder.root()));
            findings.extend(folder_mode(&folder));
        }
        Err(error) => {
            let what =
                format!("the data folder {} was not looked at: {error}", config.data.display());
            findings.push(Finding::skipped(what, "name the server's data folder with --data"));
        }
    }
    if let Some(key) = &config.tls_key {
        findings.push(private("the key of the certificate", key));
    }
    findings.extend(settings(config));
    findings
}

fn disk(folder: &Path) -> Option<Finding> {
    let disk = statvfs(folder).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let total = disk.f_blocks.saturating_mul(disk.f_frsize).max(1);
    let percent = free.saturating_mul(100) / total;
    let what =
        format!("{} free on the disk of the data folder, {percent} %", ByteCount(free >> 20 << 20));
    if free < DOCTOR_DISK_FREE_MIN || percent < DOCTOR_DISK_FREE_PERCENT_MIN {
        let advice = "make room: with a full disk writes get 507, and reading goes on";
        return Some(Finding::warning(what, advice));
    }
    Some(Finding::good(what))
}

fn folder_mode(folder: &DataFolder) -> Vec<Finding> {
    let mut findings = vec![private("the data folder", folder.root())];
    let secrets = folder.secrets();
    if secrets.exists() {
        findings.push(private("the file of secrets", &secrets));
    }
    findings
}

/// Whether others than the owner can read or change it.
fn private(what: &str, path: &Path) -> Finding {
    let shown = path.display();
    let file = match fs::metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Finding::good(format!("{what} ({shown}) is closed to others"));
        }
        Err(error) => {
            return Finding::problem(format!("{what} ({shown}): {error}"), "see that it is there");
        }
    };
    let mode = file.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let what = format!("others can read {what} ({shown}, mode {mode:03o})");
        return Finding::problem(what, "take their rights away: chmod go= on it");
    }
    if file.uid() != geteuid().as_raw() && !geteuid().is_root() {
        return Finding::warning(
            format!("{what} ({shown}) belongs to another user"),
            "run this as the user that the server runs as",
        );
    }
    Finding::good(format!("{what} ({shown}) is its owner's alone"))
}

/// Those that a server is started with.
fn settings(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !config.bind.ip().is_loopback() && config.tls_certificate.is_none() {
        findings.push(Finding::warning(
            format!("other machines reach {} without TLS", config.bind),
            "set tls.certificate and tls.key, or let only a proxy on this machine reach it",
        ));
    }
    let short = config.admin_password.as_ref().is_some_and(|it| it.reveal().chars().count() < 12);
    if short {
        findings.push(Finding::warning(
            "the administrator's password is shorter than 12 characters",
            "set a longer one with SETTLE_ADMIN_PASSWORD",
        ));
    }
    if config.audit_keep.is_zero() {
        findings.push(Finding::warning(
            "there is no record of sign-ins and administrative acts (audit.keep is 0 s)",
            "set audit.keep to as long as you want to be able to look back",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::good("no setting that the server is started with is risky"));
    }
    findings
}
