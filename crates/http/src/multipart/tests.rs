use expect_test::expect;
use proptest::prelude::*;
use settle_model::time::SeededEntropy;

use super::*;

const RELATED: &str = "--bnd\r\nContent-Type: application/json\r\n\r\n{\"m\":1}\r\n\
                       --bnd\r\n\r\nfirst\r\n--bnd  \r\nX: y\r\n\r\na\r\nb\r\n--bnd\r\n\r\n\r\n--bnd--end";

/// Every event, pieces of data joined, so that how the body was cut does not show.
fn events(boundary: &str, pieces: &[&[u8]]) -> Result<Vec<String>, MultipartError> {
    let content_type = format!("multipart/related; boundary=\"{boundary}\"");
    let mut parser = Parser::new(&Boundary::of_content_type(&content_type)?);
    let (mut events, mut data) = (Vec::new(), Vec::new());
    for piece in pieces {
        parser.feed(Bytes::copy_from_slice(piece));
        while let Some(event) = parser.event()? {
            match event {
                Event::Part(headers) => events.push(format!("part {headers:?}")),
                Event::Data(bytes) => data.extend_from_slice(&bytes),
                Event::PartEnd => {
                    events.push(format!("{:?}", String::from_utf8_lossy(&data)));
                    data.clear();
                }
                Event::End => {
                    events.push("end".to_owned());
                    return Ok(events);
                }
            }
        }
    }
    Err(MultipartError::Truncated)
}

#[test]
fn parts_are_found_with_and_without_headers() {
    let found = events("bnd", &[RELATED.as_bytes()]).unwrap();
    expect![[r#"
        part PartHeaders { headers: [("content-type", "application/json")] }
        "{\"m\":1}"
        part PartHeaders { headers: [] }
        "first"
        part PartHeaders { headers: [("x", "y")] }
        "a\r\nb"
        part PartHeaders { headers: [] }
        ""
        end"#]]
    .assert_eq(&found.join("\n"));
}

#[test]
fn text_before_the_first_boundary_and_behind_the_last_has_no_meaning() {
    let body = format!("for old mail programs\r\n--bn\r\n{RELATED}\r\n--bnd\r\n\r\nmore");
    let plain = events("bnd", &[RELATED.as_bytes()]);
    // The first boundary needs a line of its own.
    assert_eq!(events("bnd", &[body.replacen("--bnd", "\r\n--bnd", 1).as_bytes()]), plain);
}

#[test]
fn headers_without_end_are_refused_and_not_gathered() {
    let long = format!("--bnd\r\nX: {}", "y".repeat(limits::PART_HEADERS_MAX));
    assert_eq!(events("bnd", &[long.as_bytes()]), Err(MultipartError::LongPartHeaders));
    let ended = format!("{long}\r\n\r\nz\r\n--bnd--");
    assert_eq!(events("bnd", &[ended.as_bytes()]), Err(MultipartError::LongPartHeaders));
    let bad = b"--bnd\r\nno colon\r\n\r\nz\r\n--bnd--";
    assert_eq!(events("bnd", &[bad]), Err(MultipartError::BadPartHeader));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_body() {
    let cut = &RELATED[..RELATED.len() - 8];
    let mut body = Multipart::new("multipart/related; boundary=bnd", Body::from(cut)).unwrap();
    let error = body.drain().await.unwrap_err();
    assert_eq!(error.reason(), "the body ends before its last boundary");
}

#[tokio::test]
async fn what_is_not_read_of_a_part_is_passed_over() {
    let mut body = Multipart::new("multipart/related; boundary=bnd", Body::from(RELATED)).unwrap();
    assert!(body.chunk().await.unwrap().is_none());
    assert_eq!(body.next_part().await.unwrap().unwrap().content_type(), Some("application/json"));
    assert!(body.next_part().await.unwrap().unwrap().content_type().is_none());
    assert_eq!(body.collect(5).await.unwrap(), "first");
    body.next_part().await.unwrap();
    let error = body.collect(3).await.unwrap_err();
    assert_eq!(error.code().as_str(), "too_large");
    body.next_part().await.unwrap();
    assert!(body.next_part().await.unwrap().is_none());
    assert!(body.next_part().await.unwrap().is_none());
}

#[test]
fn what_is_written_has_couchdbs_form_and_the_length_that_was_announced() {
    let entropy = SeededEntropy::new(1);
    let mut writer = Writer::new(Boundary::generate(&entropy));
    let parts = [
        RelatedPart {
            name: "dir/u.bin".to_owned(),
            content_type: "application/octet-stream".to_owned(),
            length: 3,
            gzipped: false,
        },
        RelatedPart {
            name: "a\"b".to_owned(),
            content_type: "text/plain\r\nX: injected".to_owned(),
            length: 2,
            gzipped: true,
        },
    ];
    let length = writer.related_length(b"{}", &parts);
    let mut out = Vec::new();
    writer.json(b"{}", &mut out);
    for (part, bytes) in parts.iter().zip([b"abc" as &[u8], b"de"]) {
        writer.attachment(part, &mut out);
        out.extend_from_slice(bytes);
    }
    writer.end(&mut out);
    assert_eq!(out.len() as u64, length);
    expect![[r#"
        --c15c0289ec2d0a9167ec8e65a18debbe\r
        Content-Type: application/json\r
        \r
        {}\r
        --c15c0289ec2d0a9167ec8e65a18debbe\r
        Content-Disposition: attachment; filename="dir/u.bin"\r
        Content-Type: application/octet-stream\r
        Content-Length: 3\r
        \r
        abc\r
        --c15c0289ec2d0a9167ec8e65a18debbe\r
        Content-Disposition: attachment; filename="a\"b"\r
        Content-Type: text/plain  X: injected\r
        Content-Length: 2\r
        Content-Encoding: gzip\r
        \r
        de\r
        --c15c0289ec2d0a9167ec8e65a18debbe--"#]]
    .assert_eq(&String::from_utf8(out).unwrap().replace('\r', "\\r"));
}

#[test]
fn ranges_and_errors_are_parts_too() {
    let mut writer = Writer::new(Boundary::generate(&SeededEntropy::new(1)));
    let mut out = Vec::new();
    writer.range("text/plain", (0, 1), 10, &mut out);
    out.extend_from_slice(b"01");
    writer.error(b"{\"missing\":\"1-a\"}", &mut out);
    writer.end(&mut out);
    expect![[r#"
        --c15c0289ec2d0a9167ec8e65a18debbe\r
        Content-Type: text/plain\r
        Content-Range: bytes 0-1/10\r
        \r
        01\r
        --c15c0289ec2d0a9167ec8e65a18debbe\r
        Content-Type: application/json; error="true"\r
        \r
        {"missing":"1-a"}\r
        --c15c0289ec2d0a9167ec8e65a18debbe--"#]]
    .assert_eq(&String::from_utf8(out).unwrap().replace('\r', "\\r"));
    assert_eq!(
        writer.content_type("mixed"),
        "multipart/mixed; boundary=\"c15c0289ec2d0a9167ec8e65a18debbe\""
    );
}

proptest! {
    #[test]
    fn how_a_body_is_cut_does_not_show(cuts in proptest::collection::vec(0..RELATED.len(), 0..8)) {
        let mut cuts = cuts;
        cuts.extend([0, RELATED.len()]);
        cuts.sort_unstable();
        let body = RELATED.as_bytes();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect();
        prop_assert_eq!(events("bnd", &pieces), events("bnd", &[body]));
    }

    #[test]
    fn whatever_is_written_is_read_back(
        parts in proptest::collection::vec("[-\r\nab]{0,40}", 0..5), size in 1usize..50,
    ) {
        let boundary = Boundary::of_content_type("multipart/mixed; boundary=a-b").unwrap();
        // A part that holds the delimiter cannot be written with this boundary.
        prop_assume!(parts.iter().all(|part| !format!("\r\n{part}").contains("\r\n--a-b")));
        let mut writer = Writer::new(boundary);
        let mut out = Vec::new();
        for part in &parts {
            writer.part(&[], &mut out);
            out.extend_from_slice(part.as_bytes());
        }
        writer.end(&mut out);
        let pieces: Vec<_> = out.chunks(size).collect();
        let found = events("a-b", &pieces).unwrap();
        let expected = parts.iter().flat_map(|part| {
            [format!("part {:?}", PartHeaders::default()), format!("{part:?}")]
        });
        let expected: Vec<_> = expected.chain(["end".to_owned()]).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_bytes_make_the_parser_panic_or_hold_more_than_it_may(
        body in "(--b|\r\n|:|[a-c -]){0,60}", size in 1usize..9,
    ) {
        let pieces: Vec<_> = body.as_bytes().chunks(size).collect();
        drop(events("b", &pieces));
    }
}
