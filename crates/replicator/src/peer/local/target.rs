//! Writing: what is missing, documents, attachments that were staged.

use std::{collections::HashMap, sync::Arc};

use futures_util::StreamExt as _;
use settle_access::{Grant, Read, Write};
use settle_database::{
    Atomicity, AttachmentSource, Content, CreateError, CreateOptions, Database, Edit, EditError,
    blobs::{Received, StagedBlob, UploadError, UploadOptions},
};
use settle_index::lane::WriteError;
use settle_model::{
    document::{AttachmentIn, Encoding, Incoming, parse},
    id::DocumentId,
    revision::RevId,
    tree::Missing,
};
use settle_site::{
    NewDatabaseError, PrepareError, WriteRefusal, check_change, incoming, incoming::IncomingError,
};
use settle_sync::replication::{Document, Failure, FailureKind, Refusal, Reply};

use super::{LocalPeer, access, failure, quota, storage};
use crate::spool::Spooled;

impl LocalPeer {
    pub(super) async fn create(&self) -> Result<Reply, Failure> {
        let grant = self.site.may_administer(&self.actor, &self.name);
        let grant = grant.map_err(|error| access(&error))?;
        check_change(&self.name)
            .map_err(|error| failure(FailureKind::Forbidden, error.to_string()))?;
        let partitioned = self.job.create_target_params.iter();
        let partitioned =
            partitioned.into_iter().any(|(name, value)| name == "partitioned" && value == "true");
        let options = CreateOptions { partitioned, ..CreateOptions::default() };
        match self.site.create(&self.actor, &grant, &self.name, options).await {
            Ok(()) => Ok(Reply::Done),
            Err(NewDatabaseError::Access(error)) => Err(access(&error)),
            Err(NewDatabaseError::Create(error)) => created(error),
            Err(NewDatabaseError::Owned(error)) => match error {
                settle_accounts::OwnedCreateError::NoAccount => Err(super::no_database()),
                settle_accounts::OwnedCreateError::Quota(error) => Err(quota(&error)),
                settle_accounts::OwnedCreateError::Create(error) => created(error),
            },
        }
    }

    /// Which of these revisions are not here. A name that no document can have is missing as a whole: the
    /// write of it will say what is wrong.
    pub(super) async fn diff(&self, revs: &[(Arc<str>, Vec<RevId>)]) -> Result<Reply, Failure> {
        let (database, grant) = self.open::<Read>().await?;
        let mut known = Vec::with_capacity(revs.len());
        let mut missing = Vec::new();
        for (id, revs) in revs {
            match id.parse::<DocumentId>() {
                Ok(parsed) => known.push((parsed, revs.clone())),
                Err(_) => {
                    let all = Missing { missing: revs.clone(), possible_ancestors: Vec::new() };
                    missing.push((id.clone(), all));
                }
            }
        }
        let found = database.missing_revs(&grant, &known).await.map_err(storage)?;
        missing.extend(found.into_iter().map(|found| {
            let (missing, possible_ancestors) = (found.missing, found.possible_ancestors);
            (found.id.as_str().into(), Missing { missing, possible_ancestors })
        }));
        Ok(Reply::Missing(missing))
    }

    pub(super) async fn write(&self, documents: &[Arc<Document>]) -> Result<Reply, Failure> {
        let (database, grant) = self.open::<Write>().await?;
        let mut refusals = Vec::new();
        let mut edits = Vec::with_capacity(documents.len());
        let mut written: Vec<&Document> = Vec::with_capacity(documents.len());
        for document in documents {
            match self.edit(&database, document, HashMap::new()).await {
                Ok(edit) => {
                    edits.push(edit);
                    written.push(document);
                }
                Err(Refused::Document { error, reason }) => {
                    refusals.push(refusal(document, error, reason));
                }
                Err(Refused::Request(failure)) => return Err(failure),
            }
        }
        refusals.extend(self.make(&database, &grant, edits, &written).await?);
        Ok(Reply::Written(refusals))
    }

    /// Writes a document with these attachments; the others are stubs of what is here.
    pub(crate) async fn write_staged(
        &self,
        document: &Document,
        staged: &[Spooled],
    ) -> Result<Reply, Failure> {
        let (database, grant) = self.open::<Write>().await?;
        let mut blobs = HashMap::with_capacity(staged.len());
        for spooled in staged {
            let name = document.attachments.get(spooled.attachment()).map(|it| it.name.clone());
            let name = name.ok_or_else(|| {
                failure(FailureKind::Broken, "an attachment is staged that is not there")
            })?;
            blobs.insert(name, spooled);
        }
        let edit = match self.edit(&database, document, blobs).await {
            Ok(edit) => edit,
            Err(Refused::Document { error, reason }) => {
                return Ok(Reply::Written(vec![refusal(document, error, reason)]));
            }
            Err(Refused::Request(failure)) => return Err(failure),
        };
        let refusals = self.make(&database, &grant, vec![edit], &[document]).await?;
        Ok(Reply::Written(refusals))
    }

    /// Makes the edits that these documents ask for.
    async fn make(
        &self,
        database: &Database,
        grant: &Grant<Write>,
        edits: Vec<Edit>,
        documents: &[&Document],
    ) -> Result<Vec<Refusal>, Failure> {
        let site = &self.site;
        let results = site.write(&self.actor, database, grant, edits, Atomicity::EachAlone).await;
        let results = results.map_err(|error| match error {
            WriteRefusal::Quota(error) => quota(&error),
            WriteRefusal::Storage(error) => storage(error),
        })?;
        let refused = documents.iter().zip(results).filter_map(|(document, result)| {
            let (error, reason) = words(&result.err()?);
            Some(refusal(document, error, reason))
        });
        Ok(refused.collect())
    }

    /// The edit that a document asks for, with these attachments in the place of stubs.
    async fn edit(
        &self,
        database: &Database,
        document: &Document,
        staged: HashMap<String, &Spooled>,
    ) -> Result<Edit, Refused> {
        let incoming = parse(&document.json)
            .map_err(|error| Refused::document("bad_request", error.to_string()))?;
        let id: DocumentId = document
            .id
            .parse()
            .map_err(|error| Refused::document("illegal_docid", format!("{error}")))?;
        if database.is_partitioned() {
            id.check_partition()
                .map_err(|error| Refused::document("illegal_partition", error.to_string()))?;
        }
        self.site
            .may_write(&self.actor, database, &id)
            .map_err(|error| Refused::document("forbidden", error.to_string()))?;
        let types = types(&incoming);
        let blobs = self.site.store.blobs();
        let mut edit = incoming::edit(blobs, id, incoming, false, []).await.map_err(of_incoming)?;
        if let Content::Whole { attachments, .. } = &mut edit.content {
            for attachment in attachments {
                let name = attachment.name.as_str();
                if let (Some(spooled), Some(content_type)) = (staged.get(name), types.get(name)) {
                    let blob = Arc::new(self.upload(spooled, content_type).await?);
                    let content_type = content_type.clone();
                    attachment.source = AttachmentSource::New { content_type, blob };
                }
            }
        }
        self.site.prepare(&self.actor, database, edit).await.map_err(|error| match error {
            PrepareError::User(error) => Refused::document("forbidden", error.to_string()),
            PrepareError::Replication(error) => Refused::document("forbidden", error.to_string()),
            PrepareError::Conflict => Refused::document("conflict", error.to_string()),
            PrepareError::Storage(error) => Refused::Request(storage(error)),
        })
    }

    /// Takes an attachment out of the spool.
    async fn upload(&self, spooled: &Spooled, content_type: &str) -> Result<StagedBlob, Refused> {
        let received = match spooled.encoding() {
            Encoding::Gzip => Received::Gzip,
            Encoding::Identity => Received::Plain { content_type },
        };
        let mut writer = self.site.store.blobs().upload(&UploadOptions::new(received));
        let mut content = std::pin::pin!(spooled.read());
        while let Some(bytes) = content.next().await {
            let bytes = bytes.map_err(|error| {
                let reason = format!("an attachment that was staged cannot be read: {error}");
                Refused::Request(failure(FailureKind::Broken, reason))
            })?;
            writer.write(&bytes).await.map_err(of_upload)?;
        }
        writer.finish().await.map_err(of_upload)
    }
}

/// What a server says whose next answer may be another one.
const PASSING: &str = "internal_server_error";

/// Why a document was not written.
enum Refused {
    /// It alone.
    Document { error: &'static str, reason: String },
    /// Neither it nor those beside it.
    Request(Failure),
}

impl Refused {
    fn document(error: &'static str, reason: String) -> Self {
        Self::Document { error, reason }
    }
}

/// The types of its attachments that are not inside.
fn types(incoming: &Incoming) -> HashMap<String, String> {
    let all = incoming.attachments.iter();
    let types = all.filter_map(|(name, attachment)| match attachment {
        AttachmentIn::Stub { content_type, .. } => {
            Some((name.as_str().to_owned(), content_type.clone()))
        }
        AttachmentIn::Follows { .. } | AttachmentIn::Inline { .. } => None,
    });
    types.collect()
}

fn refusal(document: &Document, error: impl Into<String>, reason: String) -> Refusal {
    let (id, rev) = (document.id.clone(), Some(document.rev.clone()));
    Refusal { id, rev, error: error.into(), reason }
}

fn created(error: CreateError) -> Result<Reply, Failure> {
    match error {
        CreateError::Exists { .. } => Ok(Reply::Done),
        CreateError::Storage(error) => Err(storage(error)),
    }
}

/// What is wrong with a document, in the words that a server says it with.
fn words(error: &WriteError) -> (String, String) {
    let word = match error {
        WriteError::Edit(error) => match error {
            EditError::Conflict => "conflict",
            EditError::Missing | EditError::Deleted | EditError::MissingAttachment { .. } => {
                "not_found"
            }
            EditError::MissingStub { .. } => "missing_stub",
            EditError::TooLarge { .. } => "document_too_large",
            EditError::TooManyAttachments { .. } => "too_many_attachments",
            EditError::Partition(_) => "illegal_partition",
            EditError::GenerationsExhausted => "bad_request",
            EditError::Overtaken | EditError::Aborted => PASSING,
        },
        WriteError::Forbidden { .. }
        | WriteError::BrokenRule { .. }
        | WriteError::NoRoom { .. } => "forbidden",
        WriteError::Unauthorized { .. } => "unauthorized",
        WriteError::Thrown { error, .. } => error,
        WriteError::Design(_) | WriteError::DesignRule { .. } => "invalid_design_doc",
        WriteError::Script(_) | WriteError::Contended => PASSING,
    };
    (word.to_owned(), error.to_string())
}

fn again(error: &dyn std::error::Error) -> Failure {
    failure(FailureKind::Broken, error.to_string())
}

fn of_incoming(error: IncomingError) -> Refused {
    match error {
        IncomingError::Upload(error) => of_upload(error),
        IncomingError::Edit(_)
        | IncomingError::NoRevision
        | IncomingError::DoesNotFollow { .. } => {
            Refused::document("bad_request", error.to_string())
        }
    }
}

fn of_upload(error: UploadError) -> Refused {
    let word = match error {
        UploadError::TooLarge { .. } => "attachment_too_large",
        UploadError::Md5Mismatch => "content_md5_mismatch",
        UploadError::Length { .. } | UploadError::NotGzip(_) => "bad_request",
        UploadError::StorageFull
        | UploadError::Stopped(_)
        | UploadError::File { .. }
        | UploadError::Failed => return Refused::Request(again(&error)),
    };
    Refused::document(word, error.to_string())
}
