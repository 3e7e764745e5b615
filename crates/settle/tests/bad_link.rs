//! Replications over a bad link: 1 Mbit/s, 300 ms, stalls, resets, and cuts every five seconds.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::print_stdout, reason = "the figure is wanted, not only whether it is met")]

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use settle::slow_proxy::{Conditions, Cuts, SlowProxy, Traffic};
use settle_testing::{ADMIN, Client, TestServer};

fn bad() -> Conditions {
    let seconds = Duration::from_secs;
    Conditions {
        latency: Duration::from_millis(150),
        jitter: Duration::from_millis(30),
        rate: Some("1 Mbit".parse().unwrap()),
        stalls: Some("1s/12s".parse().unwrap()),
        reset_after: Some(seconds(20)),
        cuts: Some(Cuts { every: seconds(5), length: Duration::from_millis(200) }),
    }
}

/// Text that does not compress, the same each time.
fn noise(bytes: usize) -> String {
    let mut state = 0x9E37_79B9_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'A' + u8::try_from(state >> 59).unwrap() % 26)
    };
    (0..bytes).map(|_| next()).collect()
}

/// Documents of a kilobyte, and attachments of up to a fifth of all, `bytes` together.
async fn fill(there: &Client, bytes: usize) {
    there.put("/db", &json!({})).await.expect(201);
    let attached = bytes / 5;
    let noise = noise(bytes);
    let docs = (0..bytes / 2 / 1_000).map(|n| {
        let text = &noise[n * 400..n * 400 + 900];
        json!({ "_id": format!("d{n:05}"), "text": text })
    });
    let docs: Vec<Value> = docs.collect();
    there.post("/db/_bulk_docs", &json!({ "docs": docs })).await.expect(201);
    for (name, bytes) in [("large", attached), ("larger", attached), ("small", attached / 2)] {
        // Base64 of as many bytes.
        let data = &noise[..bytes / 3 * 4];
        let attachments =
            json!({ "a": { "content_type": "application/octet-stream", "data": data } });
        let document = json!({ "_attachments": attachments });
        there.put(&format!("/db/{name}"), &document).await.expect(201);
    }
}

/// Every leaf with its content, the attachments as digests.
async fn leaves(there: &Client) -> Value {
    let changes =
        there.get("/db/_changes?style=all_docs&include_docs=true").await.expect(200).json();
    let mut rows = changes["results"].as_array().unwrap().clone();
    for row in &mut rows {
        row.as_object_mut().unwrap().remove("seq");
    }
    rows.sort_by_key(|row| row["id"].as_str().unwrap().to_owned());
    Value::Array(rows)
}

/// What goes over the link while an empty server replicates with one of so many bytes.
async fn replicate(bytes: usize, conditions: Conditions) -> Traffic {
    let (full, empty) = (TestServer::start().await, TestServer::start().await);
    fill(&full.admin(), bytes).await;
    empty.admin().put("/db", &json!({})).await.expect(201);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let proxy = SlowProxy::start(any, full.address().to_string(), conditions, 7).await.unwrap();
    let peer = json!({
        "url": format!("http://{}/db", proxy.address()),
        "auth": { "basic": { "username": ADMIN.0, "password": ADMIN.1 } },
    });
    let job = json!({ "source": peer, "target": "db" });
    empty.admin().put("/_replicator/job", &job).await.expect(201);
    let path = "/_scheduler/docs/_replicator/job";
    // Longer than other tests wait for anything.
    loop {
        let state = empty.admin().get(path).await.expect(200).json();
        if state["state"] == "completed" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(leaves(&full.admin()).await, leaves(&empty.admin()).await);
    proxy.traffic()
}

/// A database of so many bytes arrives whole, and at most so many percent are sent again.
async fn arrives(bytes: usize, again_max: f64) {
    let good = replicate(bytes, Conditions::default()).await;
    let bad = replicate(bytes, bad()).await;
    let (needed, carried) = (good.bytes_to_client, bad.bytes_to_client);
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    let again = (carried as f64 / needed as f64 - 1.0) * 100.0;
    println!("{needed} bytes are needed, {carried} were carried: {again:.1} % again; {bad:?}");
    assert!(bad.cuts > 0 && bad.connections > good.connections, "it was a good link: {bad:?}");
    assert!(again < again_max, "{again:.1} % were sent again");
}

#[tokio::test]
async fn a_pull_over_a_bad_link_arrives_whole() {
    // Of so little, what one cut loses is much.
    arrives(1_000_000, 25.0).await;
}

#[tokio::test]
#[ignore = "takes some minutes; the test above is a smaller form of it"]
async fn five_megabytes_over_a_bad_link_arrive_whole() {
    arrives(5_000_000, 10.0).await;
}
