use settle_replicator::SchedulerSettings;

use crate::support::{World, admin};

#[tokio::test]
async fn many_jobs_share_few_places() {
    let settings = SchedulerSettings { running_max: 2, ..SchedulerSettings::default() };
    let world = World::of(settings).await;
    let target = world.create("target").await;
    let mut sources = Vec::new();
    for n in 0..20 {
        let source = world.create(&format!("source{n}")).await;
        world.put(&source, &format!("{{\"_id\":\"of {n}\"}}")).await;
        let job = format!("{{\"source\":\"source{n}\",\"target\":\"target\",\"continuous\":true}}");
        world.scheduler.add(world.task(&job, admin()).await).unwrap();
        sources.push(source);
    }
    let grant = settle_access::Grant::internal(target.resource(), "a test counts");
    while target.info(&grant).await.unwrap().doc_count < 20 {
        tokio::task::yield_now().await;
    }
    for (n, source) in sources.iter().enumerate() {
        world.put(source, &format!("{{\"_id\":\"more of {n}\"}}")).await;
    }
    while target.info(&grant).await.unwrap().doc_count < 40 {
        tokio::task::yield_now().await;
    }
    world.scheduler.close().await;
}
