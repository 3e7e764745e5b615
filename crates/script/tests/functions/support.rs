//! A pool, and one `check` for each kind of function.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use expect_test::Expect;
use settle_script::{DocRows, Launcher, Program, ScriptError, ScriptSettings, Scripts};

pub(crate) fn scripts() -> Scripts {
    with(ScriptSettings::default())
}

pub(crate) fn with(settings: ScriptSettings) -> Scripts {
    Scripts::new(Launcher::this_test().unwrap(), settings)
}

/// Functions get a second.
pub(crate) fn hasty() -> ScriptSettings {
    ScriptSettings {
        workers: 2,
        deadline: Duration::from_millis(1_000),
        runtime_bytes_max: 32 << 20,
        ..ScriptSettings::default()
    }
}

/// The design document `_design/d` of database 1.
pub(crate) fn program(source: &str) -> Program {
    program_of(1, source)
}

pub(crate) fn program_of(database: u64, source: &str) -> Program {
    let mut digest = [0_u8; 16];
    for (index, byte) in source.bytes().enumerate() {
        digest[index % 16] = digest[index % 16].rotate_left(3) ^ byte;
    }
    Program {
        database,
        design: "d".into(),
        digest,
        source: Bytes::copy_from_slice(source.as_bytes()),
    }
}

/// One function as the design document's only member under `group.f`.
pub(crate) fn program_with(group: &str, source: &str) -> Program {
    let source = serde_json::json!({ group: { "f": source } });
    program(&source.to_string())
}

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) async fn map(
    scripts: &Scripts,
    source: &str,
    docs: &[&str],
) -> Result<Vec<DocRows>, ScriptError> {
    let docs = docs.iter().map(|doc| bytes(doc)).collect();
    scripts.map(&program("{}"), &[Arc::from(source)], docs).await
}

/// The rows of one map function, a line each.
pub(crate) async fn check_map(source: &str, docs: &[&str], expected: Expect) {
    let scripts = scripts();
    let written = written(map(&scripts, source, docs).await);
    scripts.close().await;
    expected.assert_eq(&written);
}

pub(crate) fn written(mapped: Result<Vec<DocRows>, ScriptError>) -> String {
    let mut out = String::new();
    let docs = match mapped {
        Ok(docs) => docs,
        Err(error) => return format!("{error}"),
    };
    for doc in docs {
        for map in doc.maps {
            match map {
                Ok(rows) => {
                    for row in rows {
                        let (key, value) = (row.key, row.value);
                        let key = String::from_utf8_lossy(&key);
                        writeln!(out, "{key} {}", String::from_utf8_lossy(&value)).unwrap();
                    }
                }
                Err(failure) => writeln!(out, "failed: {}", failure.message).unwrap(),
            }
        }
        out.push_str("--\n");
    }
    out
}
