//! What must hold of any bytes that are written into a database of replications: a line as it is sent, and one that
//! is there already.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a find")]

use settle_model::{
    json::{minify, validate},
    time::SeededEntropy,
};
use settle_sync::{
    document::{Author, DocumentError, Proposed, Stored, asked, may_change, prepare, settled},
    job::{Endpoint, Job},
    sealing::{KEY_BYTES, Sealer},
};

const ADA: Author<'static> = Author { name: "ada", is_server_admin: false, administers: false };
const ADMIN: Author<'static> = Author { name: "admin", is_server_admin: true, administers: true };

pub(crate) fn check(data: &[u8]) {
    let mut lines = data.splitn(2, |&byte| byte == b'\n').map(minify);
    let body = lines.next().and_then(Result::ok).filter(|it| it.first() == Some(&b'{'));
    let before = lines.next().and_then(Result::ok).filter(|it| it.first() == Some(&b'{'));
    let Some(body) = body else { return };
    for by in [ADA, ADMIN] {
        if let Ok(stored) = write(by, &body, before.as_deref()) {
            check_stored(by, &body, &stored);
            let allowed = before.as_ref().is_none_or(|it| may_change(by, it, false).is_ok());
            assert!(allowed, "who may not change a document has changed it");
        }
    }
}

fn sealer() -> Sealer {
    Sealer::new([1; KEY_BYTES], &[])
}

fn write(by: Author<'_>, body: &[u8], before: Option<&[u8]>) -> Result<Vec<u8>, DocumentError> {
    let proposed = Proposed { database: 7, id: "job", deleted: false, body, replicated: false };
    prepare(by, proposed, before, &sealer(), &SeededEntropy::new(1))
}

/// It asks for what was asked for, shows no password, and can be sent back as it was read.
fn check_stored(by: Author<'_>, body: &[u8], stored: &[u8]) {
    assert_eq!(validate(stored), Ok(()));
    let sent = Job::parse(body).unwrap();
    let document = Stored { database: 7, id: "job", body: stored };
    let found = asked(document, &sealer()).unwrap();
    assert!(by.is_server_admin || found.owner == by.name, "{} owns it", found.owner);
    for (sent, kept) in [(&sent.source, &found.job.source), (&sent.target, &found.job.target)] {
        let (Endpoint::Remote(sent), Endpoint::Remote(kept)) = (sent, kept) else {
            assert_eq!(sent, kept);
            continue;
        };
        assert_eq!(sent.url, kept.url);
        // Else they came sealed.
        if sent.credentials.is_some() || !sent.headers.is_empty() {
            assert!(sent == kept, "credentials are lost on the way");
        }
    }
    let again = write(by, stored, Some(stored)).unwrap();
    assert_eq!(settled(&again), settled(stored));
    let again = asked(Stored { body: &again, ..document }, &sealer()).unwrap();
    assert!(again == found, "it asks for something else when it is sent back");
    let other = asked(Stored { id: "other", ..document }, &sealer());
    let has_seals = settle_model::json::members(stored).any(|(name, _)| name == "sealed");
    assert!(!has_seals || other.is_err(), "a seal opens in another document");
}
