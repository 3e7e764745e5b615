//! How much is asked of a peer at once: it grows while the peer and the link bear it.
//!
//! A request shall take a second or so: shorter ones waste round trips, longer ones are lost work
//! when the link is cut, and reach the time limit where it is slow. So what one request carries
//! doubles while requests are short, and is halved when they are long or fail. How many are under
//! way grows by one as often as all of them were answered, goes down by one when one is long, and is
//! halved when one fails.
//!
//! Source: the feedback of TCP, additive increase and multiplicative decrease, which CouchDB's
//! `couch_replicator_rate_limiter` also uses.

use std::time::Duration;

use crate::limits::{
    REQUEST_BYTES_MAX, REQUEST_BYTES_MIN, REQUEST_BYTES_START, REQUEST_DOCUMENTS_START,
    REQUEST_LONG, REQUEST_SHORT, REQUESTS_START,
};

#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// Documents of one request.
    documents: usize,
    documents_max: usize,
    /// Bytes of one request.
    bytes: usize,
    bytes_max: usize,
    /// Requests under way.
    together: usize,
    together_max: usize,
    /// Requests answered since `together` last grew.
    answered: usize,
}

impl Pace {
    pub(crate) fn new(documents_max: usize, together_max: usize) -> Self {
        Self {
            documents: REQUEST_DOCUMENTS_START.min(documents_max),
            documents_max,
            bytes: REQUEST_BYTES_START,
            bytes_max: REQUEST_BYTES_MAX,
            together: REQUESTS_START.min(together_max),
            together_max,
            answered: 0,
        }
    }

    pub(crate) fn documents(&self) -> usize {
        self.documents
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn together(&self) -> usize {
        self.together
    }

    /// A request that carried so much was answered after `took`.
    pub(crate) fn answered(&mut self, documents: usize, bytes: usize, took: Duration) {
        if took > REQUEST_LONG {
            self.documents = (self.documents / 2).max(1);
            self.bytes = (self.bytes / 2).max(REQUEST_BYTES_MIN);
            self.together = (self.together - 1).max(1);
            self.answered = 0;
            return;
        }
        self.answered += 1;
        if self.answered >= self.together {
            self.answered = 0;
            self.together = (self.together + 1).min(self.together_max);
        }
        if took < REQUEST_SHORT {
            // What was not made use of says nothing about what would be borne.
            if documents >= self.documents {
                self.documents = (self.documents * 2).min(self.documents_max);
            }
            if bytes >= self.bytes / 2 {
                self.bytes = (self.bytes * 2).min(self.bytes_max);
            }
        }
    }

    /// A request with so many bytes is too large for the peer: none shall come near that again.
    pub(crate) fn too_large(&mut self, bytes: usize) {
        self.bytes_max = self.bytes_max.min(bytes / 2).max(REQUEST_BYTES_MIN);
        self.bytes = self.bytes.min(self.bytes_max);
    }

    pub(crate) fn failed(&mut self) {
        self.documents = (self.documents / 2).max(1);
        self.bytes = (self.bytes / 2).max(REQUEST_BYTES_MIN);
        self.together = (self.together / 2).max(1);
        self.answered = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_while_answers_are_quick_and_shrinks_when_they_are_not() {
        let mut pace = Pace::new(500, 20);
        for _ in 0..200 {
            pace.answered(pace.documents(), pace.bytes(), Duration::from_millis(10));
        }
        assert_eq!((pace.documents(), pace.bytes(), pace.together()), (500, REQUEST_BYTES_MAX, 20));
        pace.answered(500, 1, Duration::from_secs(6));
        assert_eq!((pace.documents(), pace.together()), (250, 19));
        for _ in 0..20 {
            pace.failed();
        }
        assert_eq!((pace.documents(), pace.bytes(), pace.together()), (1, REQUEST_BYTES_MIN, 1));
    }

    #[test]
    fn what_was_too_large_is_not_tried_again() {
        let mut pace = Pace::new(500, 20);
        pace.too_large(1_000_000);
        for _ in 0..20 {
            pace.answered(500, pace.bytes(), Duration::from_millis(10));
        }
        assert_eq!(pace.bytes(), 500_000);
    }

    #[test]
    fn small_answers_do_not_make_it_grow() {
        let mut pace = Pace::new(500, 1);
        for _ in 0..100 {
            pace.answered(1, 10, Duration::from_millis(10));
        }
        assert_eq!(pace.documents(), REQUEST_DOCUMENTS_START);
        assert_eq!((pace.bytes(), pace.together()), (REQUEST_BYTES_START, 1));
    }
}
