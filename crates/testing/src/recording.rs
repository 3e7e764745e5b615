//! Clients that read lists on a real server and append to them, all at once, while it is killed now and then, and the
//! [history](crate::histories) of what they did and heard.
//!
//! A list is the member `log` of a document. When it has become long it is left alone and another one takes its place,
//! so that a history of any length stays cheap to check; at the end all lists are read once more. Lists are in two
//! databases: in one writes are only written, in the other a design document has a say.

mod client;
mod exchange;
mod lists;
mod world;

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};

use self::{
    client::Recorder,
    lists::{JUDGED, Lists, PLAIN},
    world::{Place, Random, World},
};
use crate::{
    Process,
    histories::{Element, History, ListId},
};

/// What is to be done, and to which server.
#[derive(Debug, Clone)]
pub struct Recording<'s> {
    /// The server's binary.
    pub server: &'s Path,
    /// Where it keeps its data.
    pub data: &'s Path,
    /// Added to its environment.
    pub variables: &'s [(&'s str, &'s str)],
    pub clients: u32,
    /// At least so many, whatever becomes of them.
    pub operations: u64,
    /// How often the server is killed meanwhile.
    pub kills: u64,
    pub seed: u64,
    /// Whether transactions call functions, too.
    pub functions: bool,
}

/// What was recorded.
#[derive(Debug)]
pub struct Recorded {
    pub history: History,
    /// Requests that were answered.
    pub answers: u64,
    /// Requests that were sent again, with their answers compared where there was one before.
    pub repeated: u64,
}

/// Lists that are read in one request at the end.
const LISTS_AT_ONCE: usize = 500;

/// Says what the validator and the functions of the second database do.
const DESIGN: &str = "/judged/_design/judge";

/// A write that brings its own `expects` says how long the list is that it is made for.
const VALIDATOR: &str = "function (doc, before) {
    if (!doc.expects || before && before.expects && before.expects.by === doc.expects.by) return;
    if (doc.expects.length !== (before ? before.log.length : 0)) {
        throw({forbidden: 'the list has moved on'});
    }
}";

/// Reads some lists in one of five ways, appends to others, and says what it read. Some only say that they refuse.
const FUNCTION: &str = "function (db, args) {
    const ways = {
        get: (ids) => ids.map((id) => db.get(id)),
        keys: (ids) => db.all({keys: ids}),
        prefix: (ids) => ids.map((id) => db.all({prefix: id})[0]),
        find: (ids) => {
            const docs = db.find({selector: {_id: {$in: ids}}}).docs;
            return ids.map((id) => docs.find((doc) => doc._id === id));
        },
        view: (ids) => {
            const rows = db.view('judge/lists', {keys: ids}).rows;
            return ids.map((id) => rows.filter((row) => row.id === id).map((row) => ({log: row.value}))[0]);
        },
    };
    const read = {};
    ways[args.by](args.read).forEach((list, at) => { read[args.read[at]] = list ? list.log : []; });
    if (args.refuses) db.refuse('as it was asked to', read);
    for (const [id, element] of args.append) {
        const list = db.get(id) || {_id: id, log: []};
        list.log.push(element);
        db.put(list);
    }
    return read;
}";

/// What functions ask.
const VIEW: &str = "function (doc) { if (doc.log) emit(doc._id, doc.log); }";

impl Recording<'_> {
    /// Does it, and gives what the clients saw. An error: a request was answered as none should be, or two answers to
    /// one transaction differ.
    pub async fn record(&self) -> Result<Recorded, anyhow::Error> {
        let server = self.start().await;
        prepare(&server, self.functions).await;
        let (places, place) = watch::channel(Place { start: 0, address: server.address() });
        let world = Arc::new(World::new(place, Lists::new(), self.operations, self.functions));
        let mut clients = JoinSet::new();
        for me in 0..self.clients {
            let recorder = Recorder::new(me, world.clone(), Random::new(self.seed, me.into()));
            clients.spawn(recorder.run());
        }
        let mut histories = Vec::new();
        let all = async {
            while let Some(done) = clients.join_next().await {
                histories.push(done.context("a client panicked")??);
            }
            Ok::<(), anyhow::Error>(())
        };
        // Until the last list has been read.
        let (_server, ()) = tokio::try_join!(self.kill_now_and_then(server, &places, &world), all)?;
        let recorder = Recorder::new(self.clients, world.clone(), Random::new(self.seed, u64::MAX));
        let lists = world.lists().all();
        histories.push(recorder.read_all(&lists, LISTS_AT_ONCE).await?);
        let operations = histories.into_iter().flatten().collect();
        let (answers, repeated) = world.counts();
        Ok(Recorded { history: History { operations }, answers, repeated })
    }

    async fn start(&self) -> Process {
        Process::serve(self.server, self.data, self.variables).await
    }

    /// Each time at some random operation; gives the server that is left.
    async fn kill_now_and_then(
        &self,
        mut server: Process,
        places: &watch::Sender<Place>,
        world: &World,
    ) -> Result<Process, anyhow::Error> {
        let random = Random::new(self.seed, u64::MAX - 1);
        let mut when: Vec<u64> = (0..self.kills).map(|_| random.below(self.operations)).collect();
        when.sort_unstable();
        for when in when {
            world.until_done(when).await;
            server.kill().await;
            server = self.start().await;
            places.send_modify(|place| {
                *place = Place { start: place.start + 1, address: server.address() };
            });
        }
        Ok(server)
    }
}

async fn prepare(server: &Process, functions: bool) {
    let admin = server.admin();
    for database in [PLAIN, JUDGED] {
        admin.put(&format!("/{database}"), &Value::Null).await.expect(201);
    }
    let mut design = json!({"validate_doc_update": VALIDATOR});
    if functions {
        design["transactions"] = json!({"append": FUNCTION});
        design["views"] = json!({"lists": {"map": VIEW}});
    }
    admin.put(DESIGN, &design).await.expect(201);
}

/// A list as its document has it.
fn elements(document: &Value) -> Result<Box<[Element]>, anyhow::Error> {
    let element = |value: &Value| {
        let number = value.as_u64().and_then(|it| u32::try_from(it).ok());
        number.map(Element).context("understand an element")
    };
    match document.as_array() {
        Some(log) => log.iter().map(element).collect(),
        None => bail!("{document} is no list"),
    }
}

/// The document of a list; none begins as another one is called.
fn name(list: ListId) -> String {
    format!("list-{:08}", list.0)
}
