//! What holds for any body of several parts, and any header that announces one.

use bytes::Bytes;
use settle_http::multipart::{Boundary, Event, MultipartError, Parser};

/// The first byte says how the rest is cut; the first line is the header, the rest the body.
pub(crate) fn check(data: &[u8]) {
    let Some((step, data)) = data.split_first() else { return };
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (header, body) = data.split_at(end);
    let body = body.get(1..).unwrap_or_default();
    let boundary = std::str::from_utf8(header).ok().map(Boundary::of_content_type);
    let boundary = match boundary {
        Some(Ok(boundary)) => boundary,
        // Most inputs are about bodies.
        Some(Err(_)) | None => Boundary::of_content_type("multipart/mixed; boundary=b").unwrap(),
    };
    let whole = events(&boundary, body, body.len().max(1));
    let cut = events(&boundary, body, usize::from(*step).max(1));
    match (&whole, &cut) {
        (Ok(whole), Ok(cut)) => assert_eq!(whole, cut, "how a body is cut does not show"),
        (Err(_), Err(_)) => {}
        _ => panic!("a cut changes the outcome: {whole:?} and {cut:?}"),
    }
    if let Ok(events) = whole {
        let data: usize = events.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(data <= body.len(), "nothing comes out that did not go in");
    }
}

/// Each part's headers and bytes.
fn events(
    boundary: &Boundary,
    body: &[u8],
    step: usize,
) -> Result<Vec<(String, Vec<u8>)>, MultipartError> {
    let mut parser = Parser::new(boundary);
    let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
    for piece in body.chunks(step) {
        parser.feed(Bytes::copy_from_slice(piece));
        while let Some(event) = parser.event()? {
            match event {
                Event::Part(headers) => {
                    let names = (headers.field(), headers.file(), headers.content_type());
                    parts.push((format!("{names:?} {headers:?}"), Vec::new()));
                }
                Event::Data(bytes) => {
                    assert!(!bytes.is_empty());
                    parts.last_mut().unwrap().1.extend_from_slice(&bytes);
                }
                Event::PartEnd => {}
                Event::End => return Ok(parts),
            }
        }
    }
    Err(MultipartError::Truncated)
}
