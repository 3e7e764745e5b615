//! Whether the functions of a design document that is to be saved are functions.
//!
//! Source: `couch_mrview:validate/2`, which compiles views. Different here: `validate_doc_update` is compiled
//! as well, since one that cannot be would refuse every write from then on.

use std::sync::Arc;

use bytes::Bytes;
use settle_database::Database;
use settle_query::design::{Design, Language, ScriptKind, Validation};
use settle_script::{FunctionKind, Program, ScriptError, Scripts};

use super::WriteError;
use crate::designs::digest_of;

/// Compiles the map, reduce and validation functions of `design`, and calls none.
pub(super) async fn check(
    scripts: &Scripts,
    database: &Database,
    design: &Design,
) -> Result<(), WriteError> {
    let functions = functions(design);
    if functions.is_empty() {
        return Ok(());
    }
    let program = Program {
        database: database.number(),
        design: design.name.as_str().into(),
        digest: digest_of(&design.source),
        source: Bytes::from_owner(Arc::clone(&design.source)),
    };
    for (kind, name, source) in functions {
        let compiled = scripts.compile(&program, kind, &name, source).await;
        if let Err(ScriptError::Compilation { function, message }) = compiled {
            let message = format!("Compilation of {function} failed: {message}");
            return Err(ScriptError::Compilation { function, message }.into());
        }
        compiled?;
    }
    Ok(())
}

/// What each is, how a message calls it, its source.
fn functions(design: &Design) -> Vec<(FunctionKind, String, &str)> {
    let views = design.script_views().map(|(view, kind, source)| match kind {
        ScriptKind::Map => {
            (FunctionKind::Map, format!("the map function in the '{view}' view"), source)
        }
        ScriptKind::Reduce => {
            (FunctionKind::Reduce, format!("the reduce function in the '{view}' view"), source)
        }
    });
    let mut functions: Vec<_> = views.collect();
    match (&design.validate, &design.language) {
        (Some(Validation::Script(source)), Language::JavaScript | Language::Query) => {
            let name = "the validate_doc_update function".to_owned();
            functions.push((FunctionKind::Other, name, source));
        }
        (Some(Validation::Script(_)), Language::Other(_))
        | (Some(Validation::Selector(_)) | None, _) => {}
    }
    functions
}
