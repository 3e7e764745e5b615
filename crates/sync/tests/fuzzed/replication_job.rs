//! What must hold of any bytes that are sent as a job.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a find")]

use settle_model::json::validate;
use settle_sync::{
    id::ReplicationId,
    job::{Endpoint, Job, ReplicateRequest},
    limits::{HTTP_CONNECTIONS_MAX, RETRIES_MAX, WORKER_BATCH_SIZE_MAX, WORKER_PROCESSES_MAX},
    seq::Seq,
    wire,
};

pub(crate) fn check(data: &[u8]) {
    if let Ok(job) = Job::parse(data) {
        check_job(&job);
    }
    match ReplicateRequest::parse(data) {
        Ok(ReplicateRequest::Start(job) | ReplicateRequest::CancelJob(job)) => check_job(&job),
        Ok(ReplicateRequest::CancelId(_)) | Err(_) => {}
    }
}

/// It is within the limits, has an id, shows no password, and can be asked for.
fn check_job(job: &Job) {
    assert!((1..=WORKER_BATCH_SIZE_MAX).contains(&job.worker_batch_size));
    assert!((1..=WORKER_PROCESSES_MAX).contains(&job.worker_processes));
    assert!((1..=HTTP_CONNECTIONS_MAX).contains(&job.http_connections));
    assert!(job.retries_per_request <= RETRIES_MAX);
    let id = ReplicationId::new("uuid", job, None);
    assert_eq!(id, ReplicationId::new("uuid", &job.clone(), None));
    assert_eq!(id.base().len(), 32);
    let query = wire::changes_query(job, &Seq::zero(), 1, None);
    assert_eq!(query.iter().filter(|(name, _)| name == "since").count(), 1);
    if let Some(body) = wire::changes_body(&job.selection) {
        validate(&body).unwrap();
    }
    for endpoint in [&job.source, &job.target] {
        if let Endpoint::Remote(remote) = endpoint
            && let Some(credentials) =
                remote.credentials.as_ref().filter(|it| it.password.len() > 8)
        {
            let other = credentials.username.contains(&credentials.password);
            let shown = format!("{endpoint} {remote:?}");
            let in_url = remote.url.to_string().contains(&credentials.password);
            let in_headers = remote.headers.iter().any(|it| it.0.contains(&credentials.password));
            let in_proxy =
                remote.proxy.iter().any(|it| it.to_string().contains(&credentials.password));
            let elsewhere = other || in_url || in_headers || in_proxy;
            assert!(elsewhere || !shown.contains(&credentials.password));
        }
    }
}
