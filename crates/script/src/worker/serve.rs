//! Calls, one after the other.

use std::{io, os::unix::net::UnixStream};

use super::{channel::Channel, harden, machine::Machine};
use crate::{
    limits,
    message::{Failure, Hello, Operation, Outcome, ProgramKey, Reply, Request},
};

/// Address space beyond all runtimes: the program, stacks, messages.
const ADDRESS_SPACE_BYTES: u64 = 2 << 30;

/// Calls after which the memory of a runtime is looked at again; looking is slow.
const CALLS_BETWEEN_LOOKS: u32 = 64;

/// Serves until the host goes.
pub(super) fn serve(socket: UnixStream) -> io::Result<()> {
    let channel = Channel::new(socket);
    let Some(hello) = channel.receive()? else { return Ok(()) };
    let Ok(Request::Hello(hello)) = Request::decode(&hello) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let missing = harden::harden(hello.worker_bytes_max.saturating_add(ADDRESS_SPACE_BYTES));
    channel.send(&Reply::Ready { missing })?;
    let mut server = Server { channel: channel.clone(), hello, machines: Vec::new() };
    while let Some(message) = channel.receive()? {
        match Request::decode(&message) {
            Ok(Request::Program { key, design, source }) => server.load(key, design, source)?,
            Ok(Request::Call { key, design: _, operation }) => server.call(key, &operation)?,
            // For a function that has ended without them.
            Ok(Request::ListRows { .. } | Request::Answered { .. }) => {}
            Ok(Request::Hello(_)) | Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(())
}

struct Server {
    channel: Channel,
    hello: Hello,
    /// The most recently used one last.
    machines: Vec<Loaded>,
}

struct Loaded {
    machine: Machine,
    bytes: usize,
    calls_seen: u32,
}

impl Server {
    /// Makes a runtime; the call comes after it.
    fn load(&mut self, key: ProgramKey, design: &str, source: &[u8]) -> io::Result<()> {
        self.machines.retain(|it| it.machine.key != key);
        match Machine::new(key, design, source, self.hello, self.channel.clone()) {
            Ok(machine) => {
                let bytes = machine.memory_bytes();
                self.machines.push(Loaded { machine, bytes, calls_seen: 0 });
                self.make_room();
                Ok(())
            }
            // The call finds no runtime, and is told so.
            Err(_) => Ok(()),
        }
    }

    /// Drops runtimes until the rest fits, the least recently used ones first.
    fn make_room(&mut self) {
        let budget = usize::try_from(self.hello.worker_bytes_max).unwrap_or(usize::MAX);
        let mut bytes: usize = self.machines.iter().map(|it| it.bytes).sum();
        let mut gone = 0;
        while self.machines.len() - gone > 1
            && (bytes > budget || self.machines.len() - gone > limits::RUNTIMES_MAX)
        {
            bytes -= self.machines[gone].bytes;
            gone += 1;
        }
        drop(self.machines.drain(..gone));
    }

    fn call(&mut self, key: ProgramKey, operation: &Operation<'_>) -> io::Result<()> {
        let Some(at) = self.machines.iter().position(|it| it.machine.key == key) else {
            return self.channel.send(&Reply::NeedProgram);
        };
        let mut loaded = self.machines.remove(at);
        let machine = &mut loaded.machine;
        let outcome = match operation {
            Operation::Map { maps, docs } => match machine.map(maps, docs) {
                Ok(mapped) => {
                    self.keep(loaded);
                    let log = self.channel.take_log();
                    return match Reply::encode_mapped(&log, mapped.docs, &mapped.rows) {
                        Ok(message) => self.channel.send_encoded(&message),
                        Err(_) => {
                            let failure = Failure::TooLarge;
                            self.channel.send(&Reply::Failed { log, failure })
                        }
                    };
                }
                Err(failure) => Err(failure),
            },
            Operation::Reduce { source, groups } => machine.reduce(source, groups),
            Operation::Rereduce { source, groups } => machine.rereduce(source, groups),
            Operation::Filter { name, request, docs } => machine.filter(name, request, docs),
            Operation::MapFilter { view, docs } => machine.map_filter(view, docs),
            Operation::Validate { user_ctx, security, edits } => {
                machine.validate(user_ctx, security, edits)
            }
            Operation::Update { name, doc, request } => machine.update(name, *doc, request),
            Operation::Show { name, doc, request } => machine.show(name, *doc, request),
            Operation::List { name, head, request } => match machine.list(name, head, request) {
                Ok((response, chunk)) => {
                    self.keep(loaded);
                    return self.channel.listed(response, chunk, true);
                }
                Err(failure) => Err(failure),
            },
            Operation::Rewrite { request } => machine.rewrite(request),
            Operation::Apply { path, arguments } => machine.apply(path, arguments),
            Operation::Compile { kind, source } => machine.compile(*kind, source),
            Operation::Transaction { name, arguments, user_ctx } => {
                machine.transaction(name, arguments, user_ctx)
            }
        };
        self.answer(loaded, outcome)
    }

    fn answer(&mut self, loaded: Loaded, outcome: Result<Outcome, Failure>) -> io::Result<()> {
        let log = self.channel.take_log();
        match outcome {
            Ok(outcome) => {
                self.keep(loaded);
                self.channel.send(&Reply::Done { log, outcome })
            }
            Err(failure) => {
                // What was stopped in the middle of something is not gone on with.
                if matches!(failure, Failure::Deadline | Failure::Memory) {
                    drop(loaded);
                } else {
                    self.keep(loaded);
                }
                self.channel.send(&Reply::Failed { log, failure })
            }
        }
    }

    fn keep(&mut self, mut loaded: Loaded) {
        let calls = loaded.machine.calls();
        if calls.wrapping_sub(loaded.calls_seen) >= CALLS_BETWEEN_LOOKS {
            loaded.calls_seen = calls;
            loaded.bytes = loaded.machine.memory_bytes();
        }
        self.machines.push(loaded);
        self.make_room();
    }
}
