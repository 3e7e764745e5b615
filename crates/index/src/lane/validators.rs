//! The rules that writes of a database have to satisfy, compiled.

use std::sync::Arc;

use bytes::Bytes;
use settle_query::{
    design::{self, Design, Language, Validation},
    selector::Selector,
};
use settle_script::{Program, Thrown, ValidateEdit};

use super::{Context, WriteError, asking::Asking, schema::Schema};
use crate::{Designs, limits::RULES_INLINE_BYTES_MAX};

/// Of all design documents together.
#[derive(Debug, Default)]
pub(crate) struct Validators {
    /// In the order of the names of their design documents; scripts come last, since they cost most.
    rules: Vec<Rule>,
    scripts: Vec<Program>,
}

#[derive(Debug)]
struct Rule {
    /// The name behind `_design/`.
    design: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Schema(Schema),
    /// Of `{"newDoc", "oldDoc", "userCtx", "secObj"}`.
    Selector(Selector),
    /// Nothing passes it, as nothing passes a function that does not compile.
    Broken {
        reason: String,
    },
}

/// An edit that is to be judged.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) new: Bytes,
    pub(super) deleted: bool,
    pub(super) old: Option<Bytes>,
}

type Answer = Result<(), WriteError>;

/// Whether the rules of a design document that is to be saved can be used.
pub(super) fn check(body: &[u8]) -> Result<(), WriteError> {
    let design = design::parse("", body)?;
    for kind in kinds(&design) {
        if let Kind::Broken { reason } = kind {
            return Err(WriteError::DesignRule { reason });
        }
    }
    Ok(())
}

/// The rules of one design document, without its script.
fn kinds(design: &Design) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for rule in &design.schemas {
        kinds.push(match Schema::compile(rule) {
            Ok(schema) => Kind::Schema(schema),
            Err(reason) => Kind::Broken { reason: format!("`schemas`: {reason}") },
        });
    }
    match (&design.validate, &design.language) {
        (Some(Validation::Selector(json)), _) => kinds.push(match Selector::parse(json) {
            Ok(selector) => Kind::Selector(selector),
            Err(error) => Kind::Broken { reason: format!("`validate_doc_update`: {error}") },
        }),
        (Some(Validation::Script(_)), Language::Other(language)) => {
            let reason = format!("unknown query language {language}");
            kinds.push(Kind::Broken { reason });
        }
        (Some(Validation::Script(_)), Language::JavaScript | Language::Query) | (None, _) => {}
    }
    kinds
}

/// The first objection to each.
pub(super) async fn ask(
    designs: &Arc<Designs>,
    database: u64,
    asking: &Asking,
    questions: Vec<Question>,
    context: Context,
) -> Vec<Answer> {
    let (mut answers, questions) = ask_rules(designs, database, questions, &context).await;
    for program in &designs.validators(database).scripts {
        let open: Vec<usize> = (0..answers.len()).filter(|&at| answers[at].is_ok()).collect();
        if open.is_empty() {
            break;
        }
        let edits = open.iter().map(|&at| {
            let Question { new, old, .. } = &questions[at];
            ValidateEdit { new: new.clone(), old: old.clone() }
        });
        match asking.ask(program, edits.collect(), &context).await {
            Ok(said) => {
                for (at, said) in open.into_iter().zip(said) {
                    answers[at] = said.map_err(thrown);
                }
            }
            Err(error) => {
                for at in open {
                    answers[at] = Err(WriteError::Script(error.clone()));
                }
            }
        }
    }
    answers
}

/// Asks what needs no JavaScript, of much at a time where that holds up nobody.
async fn ask_rules(
    designs: &Arc<Designs>,
    database: u64,
    questions: Vec<Question>,
    context: &Context,
) -> (Vec<Answer>, Vec<Question>) {
    let validators = designs.validators(database);
    let bytes: usize = questions.iter().map(|it| it.new.len()).sum();
    if validators.rules.is_empty() {
        return (questions.iter().map(|_| Ok(())).collect(), questions);
    }
    if bytes <= RULES_INLINE_BYTES_MAX {
        let answers = questions.iter().map(|it| validators.ask_rules(it, context)).collect();
        return (answers, questions);
    }
    let (designs, context) = (designs.clone(), context.clone());
    let asked = tokio::task::spawn_blocking(move || {
        let validators = designs.validators(database);
        let answers = questions.iter().map(|it| validators.ask_rules(it, &context)).collect();
        (answers, questions)
    });
    match asked.await {
        Ok(answered) => answered,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

impl Validators {
    pub(crate) fn of(database: u64, designs: &Designs) -> Self {
        let mut validators = Self::default();
        for entry in designs.usable() {
            let design = entry.name.to_string();
            let rules = kinds(&entry.design).into_iter();
            validators.rules.extend(rules.map(|kind| Rule { design: design.clone(), kind }));
            let is_known = !matches!(entry.design.language, Language::Other(_));
            if is_known && matches!(entry.design.validate, Some(Validation::Script(_))) {
                validators.scripts.push(Program {
                    database,
                    design: entry.name.clone(),
                    digest: entry.digest,
                    source: entry.source.clone(),
                });
            }
        }
        validators
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.scripts.is_empty()
    }

    fn ask_rules(&self, question: &Question, context: &Context) -> Answer {
        let mut members = None;
        let mut whole = None;
        for Rule { design, kind } in &self.rules {
            match kind {
                Kind::Schema(_) if question.deleted => {}
                Kind::Schema(schema) => {
                    schema.check(&question.new, &mut members).map_err(|violation| {
                        let reason = format!(
                            "the document breaks a schema of _design/{design}: {violation}"
                        );
                        WriteError::Forbidden { reason }
                    })?;
                }
                Kind::Selector(selector) => {
                    let whole = whole.get_or_insert_with(|| whole_of(question, context));
                    if !selector.matches(whole) {
                        let reason = "document is not valid".to_owned();
                        return Err(WriteError::Forbidden { reason });
                    }
                }
                Kind::Broken { reason } => {
                    let (design, reason) = (design.clone(), reason.clone());
                    return Err(WriteError::BrokenRule { design, reason });
                }
            }
        }
        Ok(())
    }
}

/// What selectors see of an edit. `oldDoc` is missing where nothing is replaced, so that `$exists` can
/// ask for it, as in CouchDB.
fn whole_of(question: &Question, context: &Context) -> Vec<u8> {
    let mut out = Vec::with_capacity(question.new.len() + 256);
    out.extend_from_slice(b"{\"newDoc\":");
    out.extend_from_slice(&question.new);
    if let Some(old) = &question.old {
        out.extend_from_slice(b",\"oldDoc\":");
        out.extend_from_slice(old);
    }
    out.extend_from_slice(b",\"userCtx\":");
    out.extend_from_slice(&context.user_ctx);
    out.extend_from_slice(b",\"secObj\":");
    out.extend_from_slice(&context.security);
    out.push(b'}');
    out
}

/// Source: `couch_query_servers:validate_doc_update/5`.
fn thrown(Thrown { error, reason }: Thrown) -> WriteError {
    match error.as_str() {
        "forbidden" => WriteError::Forbidden { reason },
        "unauthorized" => WriteError::Unauthorized { reason },
        _ => WriteError::Thrown { error, reason },
    }
}
