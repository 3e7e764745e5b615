//! What host and worker say to each other. Public for the fuzzer alone.
//!
//! The host sends [`Request`]s: first [`Hello`], then calls, one at a time. The worker answers each call
//! with one [`Reply`], but for list and transaction functions, which go to and fro until they have ended. A call names its
//! program by key; a worker that does not have it says so, is sent the source, and the call again.
//!
//! A worker may answer for the first items of a batch only, when it has had its time. The host sends the
//! rest again, to whichever worker is free then.

use bytes::Bytes;

use crate::{
    DocRows, MapFailure, ReduceLimit, Row, Thrown,
    frame::{FrameError, Reader, Writer},
};

/// Which program: a database and the digest of a design document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProgramKey {
    pub database: u64,
    pub digest: [u8; 16],
}

/// The limits of a worker, said once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    pub deadline_ms: u32,
    pub runtime_bytes_max: u64,
    pub worker_bytes_max: u64,
    pub reduce_limit: ReduceLimit,
}

/// From host to worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    Hello(Hello),
    Program {
        key: ProgramKey,
        design: &'a str,
        source: &'a [u8],
    },
    Call {
        key: ProgramKey,
        design: &'a str,
        operation: Operation<'a>,
    },
    ListRows {
        rows: Vec<&'a [u8]>,
        last: bool,
    },
    /// What a transaction function asked for; JSON.
    Answered {
        answer: Result<&'a [u8], Thrown>,
    },
}

/// What a call does. Bytes are JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation<'a> {
    Map { maps: Vec<&'a str>, docs: Vec<&'a [u8]> },
    Reduce { source: &'a str, groups: Vec<GroupRows<'a>> },
    Rereduce { source: &'a str, groups: Vec<Vec<&'a [u8]>> },
    Filter { name: &'a str, request: &'a [u8], docs: Vec<&'a [u8]> },
    MapFilter { view: &'a str, docs: Vec<&'a [u8]> },
    Validate { user_ctx: &'a [u8], security: &'a [u8], edits: Vec<(&'a [u8], Option<&'a [u8]>)> },
    Update { name: &'a str, doc: Option<&'a [u8]>, request: &'a [u8] },
    Show { name: &'a str, doc: Option<&'a [u8]>, request: &'a [u8] },
    List { name: &'a str, head: &'a [u8], request: &'a [u8] },
    Rewrite { request: &'a [u8] },
    Apply { path: Vec<&'a str>, arguments: Vec<&'a [u8]> },
    Transaction { name: &'a str, arguments: &'a [u8], user_ctx: &'a [u8] },
    Compile { kind: FunctionKind, source: &'a str },
}

/// What a function is for; it decides what the function may require.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionKind {
    Map,
    Reduce,
    Other,
}

/// Rows for a reduce function: key, id and value of each, with their lengths before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupRows<'a> {
    pub count: u32,
    pub bytes: &'a [u8],
}

/// Key, id and value.
pub type GroupRow<'a> = (&'a [u8], &'a str, &'a [u8]);

/// From worker to host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The worker serves from now on, without the protections named here.
    Ready {
        missing: Vec<String>,
    },
    /// Send the program of the call, and the call again.
    NeedProgram,
    Done {
        log: Vec<String>,
        outcome: Outcome,
    },
    Failed {
        log: Vec<String>,
        failure: Failure,
    },
    /// A list function asks for rows, or has ended.
    Listed {
        log: Vec<String>,
        response: Option<Bytes>,
        chunk: Bytes,
        ended: bool,
    },
    /// A transaction function asks for something; JSON.
    Asked {
        log: Vec<String>,
        question: Bytes,
    },
}

/// What a call gives. Bytes are JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Mapped(Vec<DocRows>),
    Values(Vec<Bytes>),
    Flags(Vec<bool>),
    Verdicts(Vec<Result<(), Thrown>>),
    Updated { document: Option<Bytes>, response: Bytes },
    Response(Bytes),
    MaybeResponse(Option<Bytes>),
    Compiled,
}

/// Why a call gives nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    Compilation(String),
    Missing { kind: String, name: String },
    Thrown(Thrown),
    Deadline,
    Memory,
    BadResult(String),
    TooLarge,
}

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const PROGRAM: u8 = 2;
    pub(super) const CALL: u8 = 3;
    pub(super) const LIST_ROWS: u8 = 4;
    pub(super) const ANSWERED: u8 = 5;

    pub(super) const READY: u8 = 1;
    pub(super) const NEED_PROGRAM: u8 = 2;
    pub(super) const DONE: u8 = 3;
    pub(super) const FAILED: u8 = 4;
    pub(super) const LISTED: u8 = 5;
    pub(super) const ASKED: u8 = 6;
}

impl Request<'_> {
    /// The message with its length.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let writer = match self {
            Self::Hello(hello) => {
                let mut writer = Writer::new(kind::HELLO);
                writer.u32(hello.deadline_ms);
                writer.u64(hello.runtime_bytes_max);
                writer.u64(hello.worker_bytes_max);
                writer.u8(match hello.reduce_limit {
                    ReduceLimit::Refuse => 0,
                    ReduceLimit::Log => 1,
                    ReduceLimit::Off => 2,
                });
                writer
            }
            Self::Program { key, design, source } => {
                let mut writer = Writer::new(kind::PROGRAM);
                write_key(&mut writer, key);
                writer.text(design);
                writer.bytes(source);
                writer
            }
            Self::Call { key, design, operation } => {
                let mut writer = Writer::new(kind::CALL);
                write_key(&mut writer, key);
                writer.text(design);
                operation.write(&mut writer);
                writer
            }
            Self::ListRows { rows, last } => {
                let mut writer = Writer::new(kind::LIST_ROWS);
                write_list(&mut writer, rows);
                writer.flag(*last);
                writer
            }
            Self::Answered { answer } => {
                let mut writer = Writer::new(kind::ANSWERED);
                writer.flag(answer.is_ok());
                match answer {
                    Ok(answer) => writer.bytes(answer),
                    Err(thrown) => write_thrown(&mut writer, thrown),
                }
                writer
            }
        };
        writer.finish()
    }
}

impl<'a> Request<'a> {
    /// Of a message without its length.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (mut reader, kind) = Reader::new(bytes)?;
        let request = match kind {
            kind::HELLO => Self::Hello(Hello {
                deadline_ms: reader.u32()?,
                runtime_bytes_max: reader.u64()?,
                worker_bytes_max: reader.u64()?,
                reduce_limit: match reader.u8()? {
                    0 => ReduceLimit::Refuse,
                    1 => ReduceLimit::Log,
                    2 => ReduceLimit::Off,
                    value => return Err(FrameError::Unknown { what: "a reduce limit", value }),
                },
            }),
            kind::PROGRAM => Self::Program {
                key: read_key(&mut reader)?,
                design: reader.text()?,
                source: reader.bytes()?,
            },
            kind::CALL => Self::Call {
                key: read_key(&mut reader)?,
                design: reader.text()?,
                operation: Operation::read(&mut reader)?,
            },
            kind::LIST_ROWS => {
                Self::ListRows { rows: read_list(&mut reader)?, last: reader.flag()? }
            }
            kind::ANSWERED => Self::Answered {
                answer: if reader.flag()? {
                    Ok(reader.bytes()?)
                } else {
                    Err(read_thrown(&mut reader)?)
                },
            },
            value => return Err(FrameError::Unknown { what: "a request", value }),
        };
        reader.end()?;
        Ok(request)
    }
}

impl<'a> Operation<'a> {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Map { maps, docs } => {
                writer.u8(0);
                write_texts(writer, maps);
                write_list(writer, docs);
            }
            Self::Reduce { source, groups } => {
                writer.u8(1);
                writer.text(source);
                writer.count(groups.len());
                for group in groups {
                    writer.u32(group.count);
                    writer.bytes(group.bytes);
                }
            }
            Self::Rereduce { source, groups } => {
                writer.u8(2);
                writer.text(source);
                writer.count(groups.len());
                for group in groups {
                    write_list(writer, group);
                }
            }
            Self::Filter { name, request, docs } => {
                writer.u8(3);
                writer.text(name);
                writer.bytes(request);
                write_list(writer, docs);
            }
            Self::MapFilter { view, docs } => {
                writer.u8(4);
                writer.text(view);
                write_list(writer, docs);
            }
            Self::Validate { user_ctx, security, edits } => {
                writer.u8(5);
                writer.bytes(user_ctx);
                writer.bytes(security);
                writer.count(edits.len());
                for (new, old) in edits {
                    writer.bytes(new);
                    writer.optional(*old);
                }
            }
            Self::Update { name, doc, request } => {
                writer.u8(6);
                writer.text(name);
                writer.optional(*doc);
                writer.bytes(request);
            }
            Self::Show { name, doc, request } => {
                writer.u8(7);
                writer.text(name);
                writer.optional(*doc);
                writer.bytes(request);
            }
            Self::List { name, head, request } => {
                writer.u8(8);
                writer.text(name);
                writer.bytes(head);
                writer.bytes(request);
            }
            Self::Rewrite { request } => {
                writer.u8(9);
                writer.bytes(request);
            }
            Self::Apply { path, arguments } => {
                writer.u8(10);
                write_texts(writer, path);
                write_list(writer, arguments);
            }
            Self::Compile { kind, source } => {
                writer.u8(11);
                writer.u8(*kind as u8);
                writer.text(source);
            }
            Self::Transaction { name, arguments, user_ctx } => {
                writer.u8(12);
                writer.text(name);
                writer.bytes(arguments);
                writer.bytes(user_ctx);
            }
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, FrameError> {
        Ok(match reader.u8()? {
            0 => Self::Map { maps: reader.list(4, Reader::text)?, docs: read_list(reader)? },
            1 => Self::Reduce {
                source: reader.text()?,
                groups: reader.list(8, |reader| {
                    Ok(GroupRows { count: reader.u32()?, bytes: reader.bytes()? })
                })?,
            },
            2 => Self::Rereduce { source: reader.text()?, groups: reader.list(4, read_list)? },
            3 => Self::Filter {
                name: reader.text()?,
                request: reader.bytes()?,
                docs: read_list(reader)?,
            },
            4 => Self::MapFilter { view: reader.text()?, docs: read_list(reader)? },
            5 => Self::Validate {
                user_ctx: reader.bytes()?,
                security: reader.bytes()?,
                edits: reader.list(5, |reader| Ok((reader.bytes()?, reader.optional()?)))?,
            },
            6 => Self::Update {
                name: reader.text()?,
                doc: reader.optional()?,
                request: reader.bytes()?,
            },
            7 => Self::Show {
                name: reader.text()?,
                doc: reader.optional()?,
                request: reader.bytes()?,
            },
            8 => {
                Self::List { name: reader.text()?, head: reader.bytes()?, request: reader.bytes()? }
            }
            9 => Self::Rewrite { request: reader.bytes()? },
            10 => {
                Self::Apply { path: reader.list(4, Reader::text)?, arguments: read_list(reader)? }
            }
            11 => Self::Compile { kind: FunctionKind::read(reader)?, source: reader.text()? },
            12 => Self::Transaction {
                name: reader.text()?,
                arguments: reader.bytes()?,
                user_ctx: reader.bytes()?,
            },
            value => return Err(FrameError::Unknown { what: "an operation", value }),
        })
    }
}

impl FunctionKind {
    /// As the prelude calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Reduce => "reduce",
            Self::Other => "other",
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        Ok(match reader.u8()? {
            0 => Self::Map,
            1 => Self::Reduce,
            2 => Self::Other,
            value => return Err(FrameError::Unknown { what: "a kind of function", value }),
        })
    }
}

impl<'a> GroupRows<'a> {
    /// Key, id and value of each row.
    pub fn rows(&self) -> Result<Vec<GroupRow<'a>>, FrameError> {
        let mut reader = Reader::of_fields(self.bytes);
        let mut rows = Vec::with_capacity((self.count as usize).min(self.bytes.len() / 12));
        for _ in 0..self.count {
            rows.push((reader.bytes()?, reader.text()?, reader.bytes()?));
        }
        reader.end()?;
        Ok(rows)
    }
}

impl Reply {
    /// The message with its length.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let writer = match self {
            Self::Ready { missing } => {
                let mut writer = Writer::new(kind::READY);
                write_texts(&mut writer, missing);
                writer
            }
            Self::NeedProgram => Writer::new(kind::NEED_PROGRAM),
            Self::Done { log, outcome } => {
                let mut writer = Writer::new(kind::DONE);
                write_texts(&mut writer, log);
                outcome.write(&mut writer);
                writer
            }
            Self::Failed { log, failure } => {
                let mut writer = Writer::new(kind::FAILED);
                write_texts(&mut writer, log);
                failure.write(&mut writer);
                writer
            }
            Self::Listed { log, response, chunk, ended } => {
                let mut writer = Writer::new(kind::LISTED);
                write_texts(&mut writer, log);
                writer.optional(response.as_deref());
                writer.bytes(chunk);
                writer.flag(*ended);
                writer
            }
            Self::Asked { log, question } => {
                let mut writer = Writer::new(kind::ASKED);
                write_texts(&mut writer, log);
                writer.bytes(question);
                writer
            }
        };
        writer.finish()
    }

    /// [`Done`](Self::Done) with [`Mapped`](Outcome::Mapped), of rows that are in their form already.
    pub(crate) fn encode_mapped(
        log: &[String],
        docs: usize,
        rows: &[u8],
    ) -> Result<Vec<u8>, FrameError> {
        let mut writer = Writer::new(kind::DONE);
        write_texts(&mut writer, log);
        writer.u8(MAPPED);
        writer.count(docs);
        writer.raw(rows);
        writer.finish()
    }

    /// Of a message without its length. What it holds shares the message's bytes.
    pub fn decode(bytes: &Bytes) -> Result<Self, FrameError> {
        let (mut reader, kind) = Reader::new(bytes)?;
        let reply = match kind {
            kind::READY => Self::Ready { missing: read_texts(&mut reader)? },
            kind::NEED_PROGRAM => Self::NeedProgram,
            kind::DONE => Self::Done {
                log: read_texts(&mut reader)?,
                outcome: Outcome::read(&mut reader, bytes)?,
            },
            kind::FAILED => {
                Self::Failed { log: read_texts(&mut reader)?, failure: Failure::read(&mut reader)? }
            }
            kind::LISTED => Self::Listed {
                log: read_texts(&mut reader)?,
                response: shared_optional(&mut reader, bytes)?,
                chunk: shared(&mut reader, bytes)?,
                ended: reader.flag()?,
            },
            kind::ASKED => {
                Self::Asked { log: read_texts(&mut reader)?, question: shared(&mut reader, bytes)? }
            }
            value => return Err(FrameError::Unknown { what: "a reply", value }),
        };
        reader.end()?;
        Ok(reply)
    }
}

const MAPPED: u8 = 0;

impl Outcome {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Mapped(docs) => {
                writer.u8(MAPPED);
                writer.count(docs.len());
                for doc in docs {
                    writer.count(doc.maps.len());
                    for map in &doc.maps {
                        match map {
                            Ok(rows) => {
                                writer.flag(true);
                                writer.count(rows.len());
                                for row in rows {
                                    writer.bytes(&row.key);
                                    writer.bytes(&row.value);
                                }
                            }
                            Err(failure) => {
                                writer.flag(false);
                                writer.text(&failure.message);
                            }
                        }
                    }
                }
            }
            Self::Values(values) => {
                writer.u8(1);
                writer.count(values.len());
                for value in values {
                    writer.bytes(value);
                }
            }
            Self::Flags(flags) => {
                writer.u8(2);
                writer.count(flags.len());
                for flag in flags {
                    writer.flag(*flag);
                }
            }
            Self::Verdicts(verdicts) => {
                writer.u8(3);
                writer.count(verdicts.len());
                for verdict in verdicts {
                    writer.flag(verdict.is_ok());
                    if let Err(thrown) = verdict {
                        write_thrown(writer, thrown);
                    }
                }
            }
            Self::Updated { document, response } => {
                writer.u8(4);
                writer.optional(document.as_deref());
                writer.bytes(response);
            }
            Self::Response(response) => {
                writer.u8(5);
                writer.bytes(response);
            }
            Self::MaybeResponse(response) => {
                writer.u8(6);
                writer.optional(response.as_deref());
            }
            Self::Compiled => writer.u8(7),
        }
    }

    fn read(reader: &mut Reader<'_>, bytes: &Bytes) -> Result<Self, FrameError> {
        Ok(match reader.u8()? {
            MAPPED => Self::Mapped(reader.list(4, |reader| read_doc_rows(reader, bytes))?),
            1 => Self::Values(reader.list(4, |reader| shared(reader, bytes))?),
            2 => Self::Flags(reader.list(1, Reader::flag)?),
            3 => Self::Verdicts(reader.list(1, |reader| {
                Ok(if reader.flag()? { Ok(()) } else { Err(read_thrown(reader)?) })
            })?),
            4 => Self::Updated {
                document: shared_optional(reader, bytes)?,
                response: shared(reader, bytes)?,
            },
            5 => Self::Response(shared(reader, bytes)?),
            6 => Self::MaybeResponse(shared_optional(reader, bytes)?),
            7 => Self::Compiled,
            value => return Err(FrameError::Unknown { what: "an outcome", value }),
        })
    }
}

fn read_doc_rows(reader: &mut Reader<'_>, bytes: &Bytes) -> Result<DocRows, FrameError> {
    let maps = reader.list(5, |reader| {
        Ok(if reader.flag()? {
            Ok(reader.list(8, |reader| {
                Ok(Row { key: shared(reader, bytes)?, value: shared(reader, bytes)? })
            })?)
        } else {
            Err(MapFailure { message: reader.text()?.to_owned() })
        })
    })?;
    Ok(DocRows { maps })
}

impl Failure {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Compilation(message) => {
                writer.u8(0);
                writer.text(message);
            }
            Self::Missing { kind, name } => {
                writer.u8(1);
                writer.text(kind);
                writer.text(name);
            }
            Self::Thrown(thrown) => {
                writer.u8(2);
                write_thrown(writer, thrown);
            }
            Self::Deadline => writer.u8(3),
            Self::Memory => writer.u8(4),
            Self::BadResult(problem) => {
                writer.u8(5);
                writer.text(problem);
            }
            Self::TooLarge => writer.u8(6),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, FrameError> {
        Ok(match reader.u8()? {
            0 => Self::Compilation(reader.text()?.to_owned()),
            1 => Self::Missing { kind: reader.text()?.to_owned(), name: reader.text()?.to_owned() },
            2 => Self::Thrown(read_thrown(reader)?),
            3 => Self::Deadline,
            4 => Self::Memory,
            5 => Self::BadResult(reader.text()?.to_owned()),
            6 => Self::TooLarge,
            value => return Err(FrameError::Unknown { what: "a failure", value }),
        })
    }
}

fn write_key(writer: &mut Writer, key: &ProgramKey) {
    writer.u64(key.database);
    writer.raw(&key.digest);
}

fn read_key(reader: &mut Reader<'_>) -> Result<ProgramKey, FrameError> {
    Ok(ProgramKey { database: reader.u64()?, digest: reader.digest()? })
}

fn write_list(writer: &mut Writer, entries: &[&[u8]]) {
    writer.count(entries.len());
    for entry in entries {
        writer.bytes(entry);
    }
}

fn read_list<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, FrameError> {
    reader.list(4, Reader::bytes)
}

fn write_texts<T: AsRef<str>>(writer: &mut Writer, texts: &[T]) {
    writer.count(texts.len());
    for text in texts {
        writer.text(text.as_ref());
    }
}

fn read_texts(reader: &mut Reader<'_>) -> Result<Vec<String>, FrameError> {
    reader.list(4, |reader| Ok(reader.text()?.to_owned()))
}

fn write_thrown(writer: &mut Writer, thrown: &Thrown) {
    writer.text(&thrown.error);
    writer.text(&thrown.reason);
}

fn read_thrown(reader: &mut Reader<'_>) -> Result<Thrown, FrameError> {
    Ok(Thrown { error: reader.text()?.to_owned(), reason: reader.text()?.to_owned() })
}

fn shared(reader: &mut Reader<'_>, bytes: &Bytes) -> Result<Bytes, FrameError> {
    let length = reader.bytes()?.len();
    let end = reader.at();
    Ok(bytes.slice(end - length..end))
}

fn shared_optional(reader: &mut Reader<'_>, bytes: &Bytes) -> Result<Option<Bytes>, FrameError> {
    Ok(if reader.flag()? { Some(shared(reader, bytes)?) } else { None })
}
