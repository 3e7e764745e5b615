//! What becomes of bytes on their way in. Digests are those that CouchDB 3.5.2 gave for the same
//! attachments.

use std::sync::Arc;

use expect_test::{Expect, expect};
use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;
use settle_database::blobs::{
    BlobDigest, Encoding, Part, Received, StagedBlob, UploadOptions, is_compressible,
};

use crate::world::{BINARY, TEXT, World, noise};

async fn check(bytes: &[u8], content_type: &str, expected: &Expect) {
    let world = World::new().await;
    let staged = world.stage(bytes, Received::Plain { content_type }).await.unwrap();
    expected.assert_eq(&show(&staged));
}

fn show(staged: &StagedBlob) -> String {
    let md5 = base64(&staged.md5());
    let (length, stored) = (staged.length(), staged.stored_length());
    format!("{:?} {length} stored {stored} md5-{md5}", staged.encoding())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..group.len()].copy_from_slice(group);
        let number = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place > group.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

/// The recorded long text: word `k` is a letter some times, then the number.
fn long_text() -> String {
    let word = |k: u64| {
        let letter = char::from(b'a' + u8::try_from(k % 26).unwrap());
        let letters = letter.to_string().repeat(usize::try_from(1 + k % 5).unwrap());
        format!("{letters}{k}")
    };
    let words: Vec<_> = (0..17_000u64).map(|i| word((7 * i * i + 13 * i) % 900)).collect();
    words.join(" ")
}

#[tokio::test]
async fn binary_is_stored_as_it_is() {
    let expected = expect!["Identity 5 stored 5 md5-XUFAKrxLKna5cZ2REBfFkg=="];
    check(b"hello", "application/octet-stream", &expected).await;
    let expected = expect!["Identity 4 stored 4 md5-O9r1lpKFGIrHVsM59p9ceQ=="];
    check(&[0x89, b'P', b'N', b'G'], "image/png", &expected).await;
}

#[tokio::test]
async fn text_has_the_bytes_that_couchdb_makes_of_it() {
    let expected = expect!["Gzip 5 stored 25 md5-iMaiC8wqiFlD2NjLTemvCQ=="];
    check(b"hello", "text/plain", &expected).await;
    let expected = expect!["Gzip 17 stored 28 md5-qNrBkhqJKbpEsRPjCqGZog=="];
    check(b"plain plain plain", "text/plain", &expected).await;
    let expected = expect!["Gzip 7 stored 27 md5-TRLVIP5eD2weIbIYDVFsLA=="];
    check(br#"{"a":1}"#, "application/json", &expected).await;
}

#[tokio::test]
async fn long_text_has_the_bytes_that_couchdb_makes_of_it() {
    let text = long_text();
    assert_eq!(text.len(), 116_205);
    let expected = expect!["Gzip 116205 stored 2682 md5-e7i0SrEivQdHxEcUELdcgA=="];
    check(text.as_bytes(), "text/plain; charset=utf-8", &expected).await;

    let json = format!("[\"{text}\", \"{text}\", \"{text}\"]");
    let expected = expect!["Gzip 348627 stored 4237 md5-5/O+8ay9UYZa02nptwgGvg=="];
    check(json.as_bytes(), "application/json", &expected).await;
}

#[test]
fn types_are_compressed_as_in_couchdbs_default_list() {
    for yes in [
        "text/plain",
        "text/",
        " TEXT/html; charset=utf-8",
        "application/json",
        "Application/JSON ; a=b",
        "application/javascript;",
        "\tapplication/xml  ",
    ] {
        assert!(is_compressible(yes), "{yes:?}");
    }
    for no in [
        "",
        "text",
        "textual/plain",
        "x-text/plain",
        "application/json5",
        "application/jso",
        "application/json x",
        "application/xhtml+xml",
        "image/svg+xml",
        "é/text/",
    ] {
        assert!(!is_compressible(no), "{no:?}");
    }
}

#[tokio::test]
async fn what_comes_gzipped_is_stored_as_it_came_and_its_length_is_learnt() {
    let world = World::new().await;
    for (text, packed) in [
        (&b"hello"[..], gzip(b"hello")),
        (b"", gzip(b"")),
        (b"one two", [gzip(b"one "), gzip(b""), gzip(b"two")].concat()),
    ] {
        let staged = world.stage(&packed, Received::Gzip).await.unwrap();
        assert_eq!(staged.digest(), BlobDigest::of(&packed));
        assert_eq!(staged.encoding(), Encoding::Gzip);
        assert_eq!(staged.length(), text.len() as u64);
        assert_eq!(staged.stored_length(), packed.len() as u64);
        world.refer(7, "x 1-a", staged.digest(), Some(&staged)).await.unwrap();
        assert_eq!(world.read(staged.digest(), Part::Identity).await.unwrap(), text);
        assert_eq!(world.read(staged.digest(), Part::Stored).await.unwrap(), packed);
    }
}

#[tokio::test]
async fn what_is_not_gzip_is_refused_as_gzip() {
    let world = World::new().await;
    let packed = gzip(&noise(1, 300_000));
    let mut flipped = packed.clone();
    flipped[200_000] ^= 1;
    for bytes in [
        &b""[..],
        b"hello, this is plain text",
        &packed[..packed.len() - 1],
        &packed[..100_000],
        &[&packed[..], b"and more"].concat(),
        &flipped,
    ] {
        let error = world.stage(bytes, Received::Gzip).await.unwrap_err();
        assert_eq!(error.to_string(), "the attachment was announced as gzip");
    }
    until(|| world.files().is_empty()).await;
}

#[tokio::test]
async fn what_was_announced_is_held_against_what_came() {
    let world = World::new().await;
    let md5 = |hex: u128| Some(hex.to_be_bytes());
    let hello = md5(0x5d41_402a_bc4b_2a76_b971_9d91_1017_c592);
    let options = UploadOptions::new(TEXT);
    let mut seen = String::new();
    for options in [
        UploadOptions { md5: hello, length: Some(5), length_max: 5, ..options.clone() },
        UploadOptions { md5: hello, ..UploadOptions::new(BINARY) },
        UploadOptions { md5: md5(1), ..options.clone() },
        UploadOptions { md5: md5(1), ..UploadOptions::new(BINARY) },
        UploadOptions { length: Some(4), ..options.clone() },
        UploadOptions { length: Some(6), ..options.clone() },
        UploadOptions { length_max: 4, ..options },
    ] {
        match world.store.stage(b"hello", &options).await {
            Ok(staged) => seen += &show(&staged),
            Err(error) => seen += &error.to_string(),
        }
        seen.push('\n');
    }
    expect![[r#"
        Gzip 5 stored 25 md5-iMaiC8wqiFlD2NjLTemvCQ==
        Identity 5 stored 5 md5-XUFAKrxLKna5cZ2REBfFkg==
        the attachment's md5 is not the one that was announced
        the attachment's md5 is not the one that was announced
        the attachment was announced with 4 bytes, 5 came
        the attachment was announced with 6 bytes, 5 came
        the attachment has more than the 4 bytes allowed
    "#]]
    .assert_eq(&seen);
}

#[tokio::test]
async fn a_small_upload_may_not_unpack_to_more_than_is_allowed() {
    let world = World::new().await;
    let bomb = gzip(&vec![0; 5_000_000]);
    let options = UploadOptions { length_max: 1_000_000, ..UploadOptions::new(Received::Gzip) };
    let error = world.store.stage(&bomb, &options).await.unwrap_err();
    assert_eq!(error.to_string(), "the attachment has more than the 1000000 bytes allowed");
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing() {
    let world = World::new().await;
    let mut writer = world.store.upload(&UploadOptions::new(BINARY));
    writer.write(&noise(1, 300_000)).await.unwrap();
    // The next batch waits for the one before it, so that one has begun its file by now.
    writer.write(&noise(1, 300_000)).await.unwrap();
    assert_eq!(world.files().len(), 1);
    drop(writer);
    until(|| world.files().is_empty()).await;

    let staged = world.stage(&noise(2, 300_000), BINARY).await.unwrap();
    assert_eq!(world.files().len(), 1);
    drop(staged);
    until(|| world.files().is_empty()).await;
}

#[tokio::test]
async fn an_upload_goes_on_after_no_error() {
    let world = World::new().await;
    let options = UploadOptions { length_max: 10, ..UploadOptions::new(BINARY) };
    let mut writer = world.store.upload(&options);
    writer.write(&[0; 11]).await.unwrap_err();
    let error = writer.finish().await.unwrap_err();
    assert_eq!(error.to_string(), "the upload has already failed");
}

#[tokio::test]
async fn uploads_wait_for_each_other_and_all_end() {
    let world = Arc::new(World::new().await);
    let mut uploads = tokio::task::JoinSet::new();
    for seed in 0..40 {
        let world = world.clone();
        uploads.spawn(async move {
            let bytes = noise(seed, 400_000);
            let staged = world.stage(&bytes, BINARY).await.unwrap();
            assert_eq!(staged.digest(), BlobDigest::of(&bytes));
        });
    }
    while let Some(result) = uploads.join_next().await {
        result.unwrap();
    }
}

/// Waits for work that goes on behind our back.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut zlib = Compress::new_gzip(Compression::new(6), 15);
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 100 + 1_000);
    zlib.compress_vec(bytes, &mut out, FlushCompress::Finish).unwrap();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Neither the pieces that a network makes nor the threads change what is stored.
    #[test]
    fn how_an_upload_is_cut_does_not_matter(
        seed: u64,
        length in prop_oneof![0usize..300, 60_000usize..140_000, 250_000usize..400_000],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        is_text: bool,
    ) {
        let mut bytes = noise(seed, length);
        if is_text {
            bytes.iter_mut().for_each(|byte| *byte = b"abcdefgh "[usize::from(*byte % 9)]);
        }
        let received = if is_text { TEXT } else { BINARY };
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
        cuts.extend([0, length]);
        cuts.sort_unstable();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let whole = world.stage(&bytes, received).await.unwrap();
            let mut writer = world.store.upload(&UploadOptions::new(received));
            for piece in cuts.windows(2) {
                writer.write(&bytes[piece[0]..piece[1]]).await.unwrap();
            }
            let staged = Arc::new(writer.finish().await.unwrap());
            assert_eq!(show(&staged), show(&whole));
            assert_eq!(staged.digest(), whole.digest());
            world.refer(7, "x 1-a", staged.digest(), Some(&staged)).await.unwrap();
            assert_eq!(world.read(staged.digest(), Part::Identity).await.unwrap(), bytes);
        });
    }
}
