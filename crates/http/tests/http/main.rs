//! The server as its clients see it: whole replies, every route, recorded exchanges, real sockets.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod account_servers;
mod any_request;
mod archives;
mod asked;
mod attachment_sockets;
mod attachments;
mod audit;
mod bulk;
mod bulk_get;
mod changes;
mod checklist_collections;
mod checklist_documents;
mod checklist_server;
mod conflicts;
mod cors;
mod database;
mod databases;
mod documents;
mod filters;
mod forks;
mod functions;
mod history;
mod idempotency;
mod limits;
mod lists;
mod mango;
mod permissions;
mod protection;
mod rates;
mod recorded;
mod replication;
mod replies;
mod reverts;
mod rewrites;
mod routes;
mod sign_in;
mod slow;
mod sockets;
mod story;
mod support;
mod timestamps;
mod transact;
mod transaction_functions;
mod users;
mod validation;
mod views;

/// Functions of design documents run in processes of this test binary, which then has no other test
/// to do.
#[test]
fn script_worker() {
    settle_script::worker::main_of_test();
}
