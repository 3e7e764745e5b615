//! The id of a request, by which its reply and the server's log are matched.
//!
//! A client may choose it: up to 36 characters of `[0-9A-Za-z_-]`. Else it is ten hex digits that no
//! other request since the start has had; they need not be secret, so they come from a counter.
//!
//! Source: `chttpd:nonce/1`.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use settle_model::time::Entropy;

use crate::limits::REQUEST_ID_MAX;

pub(crate) const NAME: HeaderName = HeaderName::from_static("x-couch-request-id");

#[derive(Debug)]
pub(crate) struct RequestIds {
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut start = [0; 8];
        entropy.fill(&mut start);
        Self { next: AtomicU64::new(u64::from_le_bytes(start)) }
    }

    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(NAME) {
            Some(chosen) if is_allowed(chosen.as_bytes()) => chosen.clone(),
            Some(_) | None => self.make(),
        }
    }

    fn make(&self) -> HeaderValue {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        // An odd factor permutes the numbers of 40 bits, so neighbours do not look alike.
        let id = count.wrapping_mul(0x9E_3779_B97F) & 0xFF_FFFF_FFFF;
        let mut text = [0; 10];
        hex::encode_to_slice(&id.to_be_bytes()[3..], &mut text).expect("five bytes are ten digits");
        HeaderValue::from_bytes(&text).expect("hex digits can stand in a header")
    }
}

fn is_allowed(id: &[u8]) -> bool {
    (1..=REQUEST_ID_MAX).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use settle_model::time::SeededEntropy;

    use super::*;

    #[test]
    fn a_client_may_choose_its_id_within_limits() {
        let ids = RequestIds::new(&SeededEntropy::new(1));
        let of = |chosen: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(NAME, HeaderValue::from_str(chosen).unwrap());
            ids.of(&headers).to_str().unwrap().to_owned()
        };
        assert_eq!(of("My_request-1"), "My_request-1");
        for refused in ["", "a b", "<script>", &"x".repeat(37)] {
            assert_ne!(of(refused), refused);
            assert_eq!(of(refused).len(), 10);
        }
    }

    #[test]
    fn ids_do_not_repeat() {
        let ids = RequestIds::new(&SeededEntropy::new(1));
        let distinct: HashSet<_> = (0..10_000).map(|_| ids.make()).collect();
        assert_eq!(distinct.len(), 10_000);
    }
}
