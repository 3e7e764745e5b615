//! Follows what a database gets, as a client does: each request waits for what the last has not seen.

use anyhow::Context as _;
use serde::Deserialize;

use crate::client::{Connection, Target};

#[derive(Debug)]
pub(super) struct Follower {
    target: Target,
    connection: Connection,
    database: String,
    since: String,
}

#[derive(Deserialize)]
struct Changes {
    results: Vec<Row>,
    last_seq: String,
}

#[derive(Deserialize)]
struct Row {
    id: String,
}

impl Follower {
    /// Of what is not there yet.
    pub(super) async fn from_now(target: &Target, database: &str) -> Result<Self, anyhow::Error> {
        let mut follower = Self {
            target: target.clone(),
            connection: target.connect().await?,
            database: database.to_owned(),
            since: "now".to_owned(),
        };
        follower.changes("since=now&limit=0").await?;
        Ok(follower)
    }

    /// The ids that came since the last call. Waits for the first of them; after a minute without one, there
    /// are none.
    pub(super) async fn next(&mut self) -> Result<Vec<String>, anyhow::Error> {
        let query = format!("feed=longpoll&timeout=60000&since={}", self.since);
        self.changes(&query).await
    }

    async fn changes(&mut self, query: &str) -> Result<Vec<String>, anyhow::Error> {
        let request = self.target.get(&format!("/{}/_changes?{query}", self.database));
        let reply = self.connection.fetch(&request).await?;
        let changes: Changes =
            serde_json::from_slice(&reply.body).context("understand a page of changes")?;
        self.since = changes.last_seq;
        Ok(changes.results.into_iter().map(|row| row.id).collect())
    }
}
