//! Exchanges of transactions: what is asked for, and what the answer says that happened.

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{client::Seen, elements, lists::database_of, name};
use crate::histories::{Element, ListId, Outcome, Step};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Stop,
    GoOn,
    AllInOne,
}

/// What a transaction is to do.
#[derive(Debug)]
pub(super) enum Planned {
    Writes {
        appends: Vec<(ListId, Element)>,
        based: Based,
    },
    /// An append to a list that is only made for one of that length; it is the validator who looks.
    Expecting {
        seen: Seen,
        element: Element,
    },
    Call {
        reads: Vec<ListId>,
        appends: Vec<(ListId, Element)>,
        by: &'static str,
        refuses: bool,
    },
}

/// Lists that have to be as they were read.
#[derive(Debug)]
pub(super) struct Based {
    pub(super) seen: Vec<Seen>,
    /// Whether their revisions are named, rather than what is in them.
    pub(super) by_revision: bool,
}

pub(super) struct Exchange {
    client: u32,
    number: u64,
    mode: Mode,
    planned: Vec<Planned>,
}

/// What is answered of one transaction.
type Answered<'r> = (&'r Planned, &'r Value);

impl Planned {
    pub(super) fn lists(&self) -> Vec<ListId> {
        self.appends().into_iter().map(|(list, _)| list).collect()
    }

    fn appends(&self) -> Vec<(ListId, Element)> {
        match self {
            Self::Writes { appends, .. } | Self::Call { appends, .. } => appends.clone(),
            Self::Expecting { seen, element } => vec![(seen.list, *element)],
        }
    }

    fn append_steps(&self) -> impl Iterator<Item = Step> {
        self.appends().into_iter().map(|(list, element)| Step::Append { list, element })
    }

    /// Any list that it names.
    fn list(&self) -> ListId {
        match self {
            Self::Writes { appends, .. } => appends[0].0,
            Self::Expecting { seen, .. } => seen.list,
            Self::Call { reads, .. } => reads[0],
        }
    }

    fn to_json(&self, id: &str) -> Value {
        match self {
            Self::Writes { appends, based } => {
                let writes = appends.iter().map(|(list, element)| based.write(*list, *element));
                let writes: Vec<Value> = writes.collect();
                let require: Vec<Value> = based.seen.iter().map(|it| based.require(it)).collect();
                json!({"id": id, "require": require, "writes": writes})
            }
            Self::Expecting { seen, element } => {
                let write = match &seen.document {
                    None => json!({"id": name(seen.list), "put": {"log": [element.0]}}),
                    Some(_) => json!({"id": name(seen.list), "json_patch": [
                        {"op": "add", "path": "/log/-", "value": element.0},
                        {"op": "add", "path": "/expects", "value": {
                            "length": seen.elements.len(), "by": element.0,
                        }},
                    ]}),
                };
                let require = match &seen.document {
                    None => json!([{"id": name(seen.list), "absent": true}]),
                    Some(_) => json!([]),
                };
                json!({"id": id, "require": require, "writes": [write]})
            }
            Self::Call { reads, appends, by, refuses } => {
                let reads: Vec<String> = reads.iter().map(|list| name(*list)).collect();
                let appends = appends.iter().map(|(list, element)| json!([name(*list), element.0]));
                let appends: Vec<Value> = appends.collect();
                json!({"id": id, "call": {
                    "function": "judge/append",
                    "args": {"read": reads, "append": appends, "by": by, "refuses": refuses},
                }})
            }
        }
    }

    /// What it has read, once it is accepted.
    fn reads(&self, answer: &Value) -> Result<Vec<Step>, anyhow::Error> {
        match self {
            Self::Writes { based, .. } => Ok(based.seen.iter().map(Seen::step).collect()),
            Self::Expecting { seen, .. } => Ok(vec![seen.step()]),
            Self::Call { .. } => self.said(&answer["result"]),
        }
    }

    /// What it has read although it is refused.
    fn shown(&self, answer: &Value) -> Result<Vec<Step>, anyhow::Error> {
        if answer["reason"] == "function" {
            return self.said(&answer["detail"]["detail"]);
        }
        shown(answer)
    }

    /// What a function said that it read.
    fn said(&self, read: &Value) -> Result<Vec<Step>, anyhow::Error> {
        let Self::Call { reads, .. } = self else { bail!("{read} is of no function") };
        let step =
            |list: &ListId| Ok(Step::Read { list: *list, elements: elements(&read[name(*list)])? });
        reads.iter().map(step).collect()
    }
}

impl Based {
    fn require(&self, seen: &Seen) -> Value {
        match &seen.document {
            None => json!({"id": name(seen.list), "absent": true}),
            Some(document) if self.by_revision => {
                json!({"id": name(seen.list), "rev": document["_rev"]})
            }
            Some(document) => json!({"id": name(seen.list), "match": {"log": document["log"]}}),
        }
    }

    /// Makes the list if it is required not to be there; appends in one of two ways otherwise.
    fn write(&self, list: ListId, element: Element) -> Value {
        let is_missing = |it: &Seen| it.list == list && it.document.is_none();
        if self.seen.iter().any(is_missing) {
            return json!({"id": name(list), "put": {"log": [element.0]}});
        }
        if element.0.is_multiple_of(4) {
            let patch = json!([{"op": "add", "path": "/log/-", "value": element.0}]);
            return json!({"id": name(list), "json_patch": patch});
        }
        let append = json!({"append": {"field": "log", "value": element.0}});
        json!({"id": name(list), "ops": [append]})
    }
}

impl Exchange {
    pub(super) fn new(client: u32, number: u64, mode: Mode, planned: Vec<Planned>) -> Self {
        Self { client, number, mode, planned }
    }

    pub(super) fn path(&self) -> String {
        format!("/{}/_transact", database_of(self.planned[0].list()))
    }

    pub(super) fn body(&self) -> String {
        let mode = match self.mode {
            Mode::Stop => "stop",
            Mode::GoOn => "go_on",
            Mode::AllInOne => "all_in_one",
        };
        let transactions = self.planned.iter().enumerate();
        let transactions =
            transactions.map(|(at, planned)| planned.to_json(&format!("{}-{at}", self.number)));
        let transactions: Vec<Value> = transactions.collect();
        let client = format!("client-{}", self.client);
        json!({"client": client, "mode": mode, "transactions": transactions}).to_string()
    }

    /// What happened, in order.
    pub(super) fn outcomes(
        &self,
        reply: &Value,
        ended: u64,
    ) -> Result<Vec<(Outcome, Vec<Step>)>, anyhow::Error> {
        let answered = self.answered(reply)?;
        if self.mode == Mode::AllInOne {
            return Ok(vec![all_in_one(&answered, ended)?]);
        }
        answered.iter().map(|it| one(*it, ended)).collect()
    }

    /// Whether all of it stays as it was answered.
    pub(super) fn is_settled(&self, reply: &Value) -> bool {
        self.answered(reply).is_ok_and(|it| it.iter().all(|it| it.1["reason"] != "undecided"))
    }

    /// Finds out whether the same was answered twice. What is not remembered may be said in other words.
    pub(super) fn compare(&self, first: &Value, second: &Value) -> Result<(), anyhow::Error> {
        let (first, second) = (self.answered(first)?, self.answered(second)?);
        for ((_, first), (_, second)) in first.into_iter().zip(second) {
            let is_kept = first.get("retry").is_none() && second.get("retry").is_none();
            let is_same = first["accepted"] == second["accepted"];
            if !is_same || is_kept && first != second {
                bail!("two answers to one transaction: {first} and {second}");
            }
        }
        Ok(())
    }

    fn answered<'r>(&'r self, reply: &'r Value) -> Result<Vec<Answered<'r>>, anyhow::Error> {
        let answers = reply["transactions"].as_array().context("find outcomes")?;
        if answers.len() != self.planned.len() {
            bail!("{} answers to {} transactions", answers.len(), self.planned.len());
        }
        Ok(self.planned.iter().zip(answers).collect())
    }
}

fn one((planned, answer): Answered<'_>, ended: u64) -> Result<(Outcome, Vec<Step>), anyhow::Error> {
    let is_made = answer["accepted"] == true;
    let mut steps = if is_made { planned.reads(answer)? } else { planned.shown(answer)? };
    steps.extend(planned.append_steps());
    let outcome = if is_made { Outcome::Made { ended } } else { Outcome::Refused { ended } };
    Ok((outcome, steps))
}

/// One operation for all; one that is refused is shown what those before it would have made.
fn all_in_one(
    answered: &[Answered<'_>],
    ended: u64,
) -> Result<(Outcome, Vec<Step>), anyhow::Error> {
    let accepted = answered.iter().filter(|it| it.1["accepted"] == true).count();
    let is_made = accepted == answered.len();
    if !is_made && accepted > 0 {
        bail!("{accepted} of {} were accepted, and should all be", answered.len());
    }
    let mut steps = Vec::new();
    for (planned, answer) in answered {
        steps.append(&mut if is_made { planned.reads(answer)? } else { planned.shown(answer)? });
        steps.extend(planned.append_steps());
    }
    let outcome = if is_made { Outcome::Made { ended } } else { Outcome::Refused { ended } };
    Ok((outcome, steps))
}

/// What is shown with a refusal: the document that it failed on.
fn shown(answer: &Value) -> Result<Vec<Step>, anyhow::Error> {
    let Some(current) = answer["current"].as_object() else { return Ok(Vec::new()) };
    let step = |(id, document): (&String, &Value)| {
        let list = id.strip_prefix("list-").and_then(|it| it.parse().ok()).map(ListId);
        let list = list.with_context(|| format!("find the list that {id} is"))?;
        let elements =
            if document.is_null() { Box::default() } else { elements(&document["log"])? };
        Ok(Step::Read { list, elements })
    };
    current.iter().map(step).collect()
}
