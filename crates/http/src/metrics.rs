//! What the server counts about its requests. Counting is a few relaxed additions a request.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use http::{Method, StatusCode};

/// In CouchDB's order; requests with other methods are not counted by method.
pub(crate) const METHODS: [&str; 7] = ["COPY", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"];

/// Upper ends of the classes of durations, in microseconds: powers of two up to 67 seconds.
const CLASSES: usize = 27;

#[derive(Debug)]
pub struct Metrics {
    methods: [AtomicU64; METHODS.len()],
    statuses: Box<[AtomicU64; 500]>,
    durations: [AtomicU64; CLASSES],
    duration_sum_micros: AtomicU64,
    in_flight: AtomicU64,
    /// Requests whose client went away before the reply's head was made.
    aborted: AtomicU64,
    pub(crate) connections: AtomicU64,
}

/// What was counted up to one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    pub in_flight: u64,
    pub aborted: u64,
    pub connections: u64,
    /// By method, as in `METHODS`.
    pub methods: Vec<(&'static str, u64)>,
    /// Those that were sent at least once.
    pub statuses: Vec<(u16, u64)>,
    /// Upper end of each class in microseconds, and requests in it or below.
    pub durations: Vec<(u64, u64)>,
    pub duration_sum: Duration,
}

/// One request that is being answered; counted when it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight<'a> {
    metrics: &'a Metrics,
    done: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            methods: std::array::from_fn(|_| AtomicU64::new(0)),
            statuses: Box::new(std::array::from_fn(|_| AtomicU64::new(0))),
            durations: std::array::from_fn(|_| AtomicU64::new(0)),
            duration_sum_micros: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    pub(crate) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { metrics: self, done: false }
    }

    pub fn counts(&self) -> Counts {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut requests = 0;
        let durations = self.durations.iter().enumerate().map(|(class, count)| {
            requests += get(count);
            (1 << class, requests)
        });
        let durations = durations.collect();
        let methods = METHODS.iter().zip(&self.methods);
        let statuses = (100_u16..).zip(self.statuses.iter());
        Counts {
            requests,
            in_flight: get(&self.in_flight),
            aborted: get(&self.aborted),
            connections: get(&self.connections),
            methods: methods.map(|(method, count)| (*method, get(count))).collect(),
            statuses: statuses
                .map(|(status, count)| (status, get(count)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            durations,
            duration_sum: Duration::from_micros(get(&self.duration_sum_micros)),
        }
    }
}

impl InFlight<'_> {
    /// `duration` is until the head of the reply was made; the body may take longer.
    pub(crate) fn done(mut self, method: &Method, status: StatusCode, duration: Duration) {
        self.done = true;
        let metrics = self.metrics;
        if let Some(at) = METHODS.iter().position(|known| *known == method.as_str()) {
            metrics.methods[at].fetch_add(1, Ordering::Relaxed);
        }
        if let Some(count) = metrics.statuses.get(usize::from(status.as_u16()) - 100) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let class = micros.max(1).next_power_of_two().trailing_zeros();
        let class = usize::try_from(class).map_or(CLASSES - 1, |class| class.min(CLASSES - 1));
        metrics.durations[class].fetch_add(1, Ordering::Relaxed);
        metrics.duration_sum_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.done {
            self.metrics.aborted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_request_counts_once_in_each_way_of_counting() {
        let metrics = Metrics::default();
        metrics.begin().done(&Method::GET, StatusCode::OK, Duration::from_micros(3));
        metrics.begin().done(&Method::GET, StatusCode::NOT_FOUND, Duration::from_secs(900));
        drop(metrics.begin());
        let running = metrics.begin();
        let counts = metrics.counts();
        drop(running);
        assert_eq!(counts.durations[1], (2, 0));
        assert_eq!(counts.durations[2], (4, 1));
        assert_eq!(counts.durations[CLASSES - 1].1, 2);
        expect!["2 requests, 1 running, 1 aborted, [(200, 1), (404, 1)], GET 2, 900.000003s"]
            .assert_eq(&format!(
                "{} requests, {} running, {} aborted, {:?}, GET {}, {:?}",
                counts.requests,
                counts.in_flight,
                counts.aborted,
                counts.statuses,
                counts.methods[2].1,
                counts.duration_sum,
            ));
    }
}
