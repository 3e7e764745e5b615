//! What `settle doctor` finds at servers that are well, and at others.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use settle::{
    config::{ByteCount, Config, Secret},
    doctor::{Finding, Level, Patient, examine},
};
use settle_testing::{ADMIN, Method, Store, TestServer};
use tokio::process::Command;

const APP: &str = "https://app.example.org";

fn patient(server: &TestServer) -> Patient {
    Patient {
        url: format!("http://{}/", server.address()).parse().unwrap(),
        origin: None,
        trusted: None,
        config: server.config().clone(),
        admin: Some((ADMIN.0.into(), Secret::new(ADMIN.1))),
        is_here: false,
    }
}

async fn set(server: &TestServer, settings: &[(&str, &str)]) {
    for (key, value) in settings {
        let path = format!("/_node/_local/_config/{key}");
        let body = format!("\"{value}\"");
        let reply = server.admin().request(Method::PUT, &path, &[], body).await;
        assert_eq!(reply.status, 200, "{key}");
    }
}

/// What is not good.
fn complaints(findings: &[Finding]) -> Vec<&str> {
    let bad = findings.iter().filter(|it| it.level > Level::Skipped);
    bad.map(|it| it.what.as_str()).collect()
}

#[tokio::test]
async fn a_server_as_it_comes_is_well() {
    let server = TestServer::start().await;
    let findings = examine(&patient(&server)).await;
    assert_eq!(complaints(&findings), [""; 0], "{findings:#?}");
    assert!(findings.len() >= 6, "{findings:#?}");
    server.stop().await;
}

#[tokio::test]
async fn a_listed_origin_passes_and_another_is_told_why_not() {
    let server = TestServer::start().await;
    let asked = |origin: &str| Patient { origin: Some(origin.into()), ..patient(&server) };
    let before = examine(&asked(APP)).await;
    assert_eq!(
        complaints(&before),
        [
            "a preflight for https://app.example.org does not pass: status 401 Unauthorized",
            "a page of https://app.example.org may not read replies",
        ]
    );
    let on = [("cors/origins", APP), ("cors/credentials", "true"), ("chttpd/enable_cors", "true")];
    set(&server, &on).await;
    let findings = examine(&asked(APP)).await;
    assert_eq!(complaints(&findings), [""; 0], "{findings:#?}");
    assert!(findings.iter().any(|it| it.what.ends_with("may read replies, and sign in")));
    assert_eq!(complaints(&examine(&asked("https://evil.example")).await).len(), 2);

    set(&server, &[("cors/origins", "*")]).await;
    let star = examine(&asked(APP)).await;
    assert!(complaints(&star).iter().any(|it| it.starts_with("pages of any origin may read")));
    server.stop().await;
}

#[tokio::test]
async fn settings_that_are_risky_are_named() {
    let server = TestServer::start().await;
    set(&server, &[("chttpd_auth/timeout", "172800"), ("chttpd/enable_cors", "true")]).await;
    let findings = examine(&patient(&server)).await;
    assert_eq!(
        complaints(&findings),
        [
            "CORS is switched on and no origin is listed, so it is off",
            "a session lives 48 h without a request",
        ]
    );
    let unknown = Patient { admin: Some(("eve".into(), Secret::new("x"))), ..patient(&server) };
    let findings = examine(&unknown).await;
    assert!(findings.iter().any(|it| it.what.starts_with("eve may not read the settings")));
    server.stop().await;
}

#[tokio::test]
async fn a_folder_and_a_start_that_protect_nobody_are_problems() {
    let server = TestServer::start_on(Store::Folder, |_| {}).await;
    let here = || Patient { is_here: true, ..patient(&server) };
    let config = Config {
        bind: "0.0.0.0:5984".parse().unwrap(),
        admin_password: Some(Secret::new("short")),
        audit_keep: std::time::Duration::ZERO,
        store_size_max: ByteCount(1 << 30),
        ..server.config().clone()
    };
    fs::set_permissions(&config.data, fs::Permissions::from_mode(0o755)).unwrap();
    let findings = examine(&Patient { config, ..here() }).await;
    let complaints = complaints(&findings);
    for wanted in
        ["others can read the data folder", "other machines reach", "shorter than 12", "audit.keep"]
    {
        assert!(complaints.iter().any(|it| it.contains(wanted)), "{wanted} {complaints:#?}");
    }
    assert!(findings.iter().any(|it| it.what.contains("free on the disk")));
    server.stop().await;
}

#[tokio::test]
async fn tls_is_good_for_who_trusts_it_and_a_problem_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert_path, key_path) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert_path, cert.pem()).unwrap();
    fs::write(&key_path, signing_key.serialize_pem()).unwrap();
    let server = TestServer::start_on(Store::Memory, |config| {
        config.tls_certificate = Some(cert_path.clone());
        config.tls_key = Some(key_path);
    })
    .await;
    let named = |host: &str| {
        let url = format!("https://{host}:{}/", server.address().port()).parse().unwrap();
        Patient { url, ..patient(&server) }
    };
    let trusting = Patient { trusted: Some(cert_path), ..named("localhost") };
    let findings = examine(&trusting).await;
    assert_eq!(complaints(&findings), [""; 0], "{findings:#?}");
    for wrong in [named("localhost"), named("127.0.0.1"), patient(&server)] {
        let findings = examine(&wrong).await;
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].level, Level::Problem);
        assert!(findings[0].what.starts_with("not reached: "), "{findings:#?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_command_says_what_it_found_and_fails_for_a_problem() {
    let server = TestServer::start().await;
    let url = format!("http://{}/", server.address());
    let run = async |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_settle"));
        command.arg("doctor").args(arguments).env_clear().stdin(Stdio::null());
        let done = command.output().await.unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let (code, said) = run(&[&url, "--data", "/nowhere"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with(&format!("ok       reached {url} in ")), "{said}");
    assert!(said.ends_with("0 problems, 0 warnings\n"), "{said}");
    let (code, said) = run(&[&url, "--origin", APP]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("\n         -> set cors/origins to the exact origin"), "{said}");
    let (code, said) = run(&["http://127.0.0.1:1/"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("problem  not reached: connect to 127.0.0.1:1: "), "{said}");
    server.stop().await;
}
