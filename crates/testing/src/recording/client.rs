//! One client: what it does in its turns, and what it writes down of it.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use hyper::{Method, header::HeaderName};
use serde_json::{Value, json};

use super::{
    elements,
    exchange::{Based, Exchange, Mode, Planned},
    lists::{database_of, is_judged},
    name,
    world::{Place, Random, World},
};
use crate::{
    Client, Reply,
    histories::{Element, ListId, Operation, Outcome, Step},
    wait::PATIENCE,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How functions read documents.
const DOCUMENTS: [&str; 3] = ["get", "keys", "prefix"];

/// How they ask indexes.
const INDEXED: [&str; 2] = ["find", "view"];

/// A client, and its part of the history.
pub(super) struct Recorder {
    me: u32,
    world: Arc<World>,
    random: Random,
    server: Option<(Place, Client)>,
    /// How many exchanges it has sent, which names them.
    exchanges: u64,
    operations: Vec<Operation>,
}

/// A list as it was read, with the revision that its document had.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) list: ListId,
    pub(super) elements: Box<[Element]>,
    /// With all its members; `None` where it is not there.
    pub(super) document: Option<Value>,
}

impl Seen {
    fn of(list: ListId, document: Option<Value>) -> Result<Self, anyhow::Error> {
        let elements = match &document {
            Some(document) => elements(&document["log"])?,
            None => Box::default(),
        };
        Ok(Self { list, elements, document })
    }

    pub(super) fn step(&self) -> Step {
        Step::Read { list: self.list, elements: self.elements.clone() }
    }
}

impl Recorder {
    pub(super) fn new(me: u32, world: Arc<World>, random: Random) -> Self {
        Self { me, world, random, server: None, exchanges: 0, operations: Vec::new() }
    }

    /// Takes turns until enough has been done by all clients together.
    pub(super) async fn run(mut self) -> Result<Vec<Operation>, anyhow::Error> {
        while !self.world.is_done() {
            // What a design document has a say in takes some time, so there is less of it.
            let judged = self.random.one_in(8);
            match self.random.below(16) {
                0..=3 => self.exchange(judged).await?,
                4..=6 => self.update(judged).await?,
                7..=8 => drop(self.read(self.one(judged)).await?),
                9 => {
                    let retired = self.world.lists().retired(judged, &self.random);
                    let list = retired.unwrap_or_else(|| self.one(judged));
                    drop(self.read(list).await?);
                }
                10..=13 => {
                    let lists = self.some(judged, 4);
                    self.look_up(&lists).await?;
                }
                14 => self.expect().await?,
                _ if self.world.functions => {
                    // To ask an index is to read the whole database, which is seldom quiet.
                    let ways = if self.random.one_in(8) { &INDEXED[..] } else { &DOCUMENTS };
                    self.transact(Mode::Stop, vec![self.called(ways)]).await?;
                }
                _ => self.expect().await?,
            }
        }
        Ok(self.operations)
    }

    /// Reads these lists, so many at once.
    pub(super) async fn read_all(
        mut self,
        lists: &[ListId],
        at_once: usize,
    ) -> Result<Vec<Operation>, anyhow::Error> {
        let (judged, plain): (Vec<ListId>, Vec<ListId>) =
            lists.iter().copied().partition(|it| is_judged(*it));
        for lists in judged.chunks(at_once).chain(plain.chunks(at_once)) {
            self.look_up(lists).await?;
        }
        Ok(self.operations)
    }

    fn some(&self, judged: bool, count_max: usize) -> Vec<ListId> {
        let count = 1 + self.random.index(count_max);
        self.world.lists().choose(judged, count, &self.random)
    }

    fn one(&self, judged: bool) -> ListId {
        self.world.lists().choose(judged, 1, &self.random)[0]
    }

    fn note(&mut self, began: u64, outcome: Outcome, steps: Vec<Step>) {
        self.operations.push(Operation { client: self.me, began, outcome, steps });
        self.world.count_operation();
    }

    /// One document, as it is.
    async fn read(&mut self, list: ListId) -> Result<Seen, anyhow::Error> {
        let path = path(list);
        let (began, reply) = self.ask_again(&Method::GET, &path, "").await?;
        let document = match reply.status.as_u16() {
            200 => Some(reply.json()),
            404 => None,
            _ => return Err(unexpected(&path, &reply)),
        };
        let seen = Seen::of(list, document)?;
        let ended = self.world.now();
        self.note(began, Outcome::Made { ended }, vec![seen.step()]);
        Ok(seen)
    }

    /// Several documents of one database: the server looks them up in one view.
    async fn look_up(&mut self, lists: &[ListId]) -> Result<(), anyhow::Error> {
        let path = format!("/{}/_all_docs?include_docs=true", database_of(lists[0]));
        let names: Vec<String> = lists.iter().map(|list| name(*list)).collect();
        let question = json!({"keys": names}).to_string();
        let (began, reply) = self.ask_again(&Method::POST, &path, &question).await?;
        if reply.status != 200 {
            return Err(unexpected(&path, &reply));
        }
        let ended = self.world.now();
        let reply = reply.json();
        let rows = reply["rows"].as_array().context("find rows")?;
        if rows.len() != lists.len() {
            bail!("{} rows for {} keys", rows.len(), lists.len());
        }
        let seen = lists.iter().zip(rows).map(|(list, row)| {
            let document = Some(row["doc"].clone()).filter(Value::is_object);
            if document.is_none() && row["error"] != "not_found" {
                bail!("{row} is neither a document nor missing");
            }
            Ok(Seen::of(*list, document)?.step())
        });
        let steps = seen.collect::<Result<_, _>>()?;
        self.note(began, Outcome::Made { ended }, steps);
        Ok(())
    }

    /// The way of CouchDB: read a document, change it, write it with the revision that was read.
    async fn update(&mut self, judged: bool) -> Result<(), anyhow::Error> {
        let list = self.one(judged);
        let seen = self.read(list).await?;
        let element = self.world.element();
        self.world.lists().use_up(list);
        let mut document = seen.document.clone().unwrap_or_else(|| json!({"log": []}));
        document["log"].as_array_mut().context("find the list")?.push(json!(element.0));
        let path = path(list);
        let body = document.to_string();
        let append = Step::Append { list, element };
        let (began, reply) = if self.random.one_in(2) {
            let key = format!("\"{}\"", element.0);
            self.ask_until_answered(&Method::PUT, &path, &[(IDEMPOTENCY_KEY, &key)], &body).await?
        } else {
            let began = self.world.now();
            match self.ask(&Method::PUT, &path, &[], &body).await? {
                Some(reply) => (began, reply),
                None => {
                    self.note(began, Outcome::Unknown, vec![seen.step(), append]);
                    return Ok(());
                }
            }
        };
        let ended = self.world.now();
        match reply.status.as_u16() {
            201 => self.note(began, Outcome::Made { ended }, vec![seen.step(), append]),
            // Which revision is in the way is not said, nor what a validator did not like.
            403 | 409 => self.note(began, Outcome::Refused { ended }, vec![append]),
            _ => return Err(unexpected(&path, &reply)),
        }
        Ok(())
    }

    /// Some transactions, some of which rest on what was read before.
    async fn exchange(&mut self, judged: bool) -> Result<(), anyhow::Error> {
        let mode = [Mode::Stop, Mode::GoOn, Mode::AllInOne][self.random.index(3)];
        let mut planned = Vec::new();
        for _ in 0..=self.random.index(3) {
            if judged && self.world.functions && self.random.one_in(3) {
                planned.push(self.called(&DOCUMENTS));
                continue;
            }
            let mut seen = Vec::new();
            if self.random.one_in(2) {
                for list in self.some(judged, 2) {
                    seen.push(self.read(list).await?);
                }
            }
            // What it rests on is changed, or something else.
            let mut lists = self.some(judged, 3);
            lists.extend(seen.iter().map(|it| it.list).filter(|_| !self.random.one_in(4)));
            lists.sort_unstable();
            lists.dedup();
            let appends: Vec<_> =
                lists.into_iter().map(|list| (list, self.world.element())).collect();
            let by_revision = self.random.one_in(2);
            planned.push(Planned::Writes { appends, based: Based { seen, by_revision } });
        }
        self.transact(mode, planned).await
    }

    /// A transaction that says how long the list is, which the validator looks at.
    async fn expect(&mut self) -> Result<(), anyhow::Error> {
        let list = self.one(true);
        let seen = self.read(list).await?;
        let element = self.world.element();
        self.transact(Mode::Stop, vec![Planned::Expecting { seen, element }]).await
    }

    /// A transaction whose function reads some lists and appends to others.
    fn called(&self, ways: &[&'static str]) -> Planned {
        let reads = self.some(true, 3);
        let appends = self.some(true, 3);
        let appends = appends.into_iter().map(|list| (list, self.world.element()));
        // Some only read.
        let appends = appends.filter(|_| !self.random.one_in(4)).collect();
        let by = ways[self.random.index(ways.len())];
        Planned::Call { reads, appends, by, refuses: self.random.one_in(8) }
    }

    /// Sends transactions until they are answered, and now and then once more.
    async fn transact(&mut self, mode: Mode, planned: Vec<Planned>) -> Result<(), anyhow::Error> {
        for list in planned.iter().flat_map(Planned::lists) {
            self.world.lists().use_up(list);
        }
        self.exchanges += 1;
        let exchange = Exchange::new(self.me, self.exchanges, mode, planned);
        let path = exchange.path();
        let body = exchange.body();
        let (began, reply) = self.ask_until_answered(&Method::POST, &path, &[], &body).await?;
        if reply.status != 200 {
            return Err(unexpected(&path, &reply));
        }
        let ended = self.world.now();
        let reply = reply.json();
        for (outcome, steps) in exchange.outcomes(&reply, ended)? {
            self.note(began, outcome, steps);
        }
        if exchange.is_settled(&reply) && self.random.one_in(8) {
            self.world.count_repeated();
            let (_, again) = self.ask_until_answered(&Method::POST, &path, &[], &body).await?;
            exchange.compare(&reply, &again.json())?;
        }
        Ok(())
    }

    /// For what may be asked as often as one likes: gives when the request began that was answered.
    async fn ask_again(
        &mut self,
        method: &Method,
        path: &str,
        body: &str,
    ) -> Result<(u64, Reply), anyhow::Error> {
        loop {
            let began = self.world.now();
            if let Some(reply) = self.ask(method, path, &[], body).await? {
                return Ok((began, reply));
            }
        }
    }

    /// For what is made once however often it is sent: gives when it was sent at first.
    async fn ask_until_answered(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: &str,
    ) -> Result<(u64, Reply), anyhow::Error> {
        let began = self.world.now();
        loop {
            if let Some(reply) = self.ask(method, path, headers, body).await? {
                return Ok((began, reply));
            }
            self.world.count_repeated();
        }
    }

    /// Sends it to the server, wherever that is. `None` if the server was killed and there is no answer; another one
    /// is there then.
    async fn ask(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: &str,
    ) -> Result<Option<Reply>, anyhow::Error> {
        let mut place = self.world.place();
        let now = *place.borrow();
        let (place_then, client) = match self.server.take() {
            Some((then, client)) if then.start == now.start => (then, client),
            Some(_) | None => {
                let (name, password) = crate::ADMIN;
                (now, Client::signed_in(now.address, name, password))
            }
        };
        let asked = client.try_request(method.clone(), path, headers, body.to_owned()).await;
        let start = place_then.start;
        self.server = Some((place_then, client));
        match asked {
            Ok(reply) => {
                self.world.count_answer();
                Ok(Some(reply))
            }
            Err(error) => {
                let started = place.wait_for(|place| place.start > start);
                let started = tokio::time::timeout(PATIENCE, started).await;
                started
                    .with_context(|| format!("{path} of a server that nobody killed: {error}"))??;
                Ok(None)
            }
        }
    }
}

fn path(list: ListId) -> String {
    format!("/{}/{}", database_of(list), name(list))
}

fn unexpected(path: &str, reply: &Reply) -> anyhow::Error {
    anyhow::anyhow!("{path} is answered with {}: {}", reply.status, reply.text())
}
