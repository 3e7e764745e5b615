//! What holds for every text that somebody takes for a position.

use settle_model::sequence::{Sequence, Since, Timeline};

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(since) = text.parse::<Since>() else { return };
    let end = Sequence(1_000);
    let at = since.resolve(Timeline([0xAB; 8]), end);
    assert!(at <= end, "nobody waits for what lies beyond the end");
    match since {
        Since::Now => assert_eq!(at, end),
        Since::Foreign => assert_eq!(at, Sequence::ZERO),
        Since::Token(token) => assert_eq!(token.to_string().parse(), Ok(since)),
    }
}
