//! The database of users, and those of them that were read lately.
//!
//! A user is one document. What was read of it holds as long as the database's sequence is the one it was
//! read at; when that has moved on, one read of the document says whether the user has changed. So a new
//! password, a lost role or a suspension counts from the moment in which it is written.

use std::{
    collections::HashMap,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock},
};

use settle_access::{Grant, Read, Resource, Write};
use settle_database::{
    Atomicity, Content, CreateError, CreateOptions, Database, Direction, DocumentRow, DocumentScan,
    Edit, Extras, GetError, More, Next, Origin, Revision, Select, Sink, StorageError, Store,
    Verdict,
};
use settle_model::{
    id::{DatabaseName, DocumentId},
    revision::RevId,
};

use crate::{
    limits::{TOKENS_MAX, USERS_REMEMBERED_MAX},
    token::{TOKEN_PREFIX, owner},
    user::{USER_PREFIX, User},
};

/// The name of the database.
pub const USERS: &str = "_users";

/// The design document that CouchDB keeps its rules in; here they are built in, and it says so.
const AUTH_ID: &str = "_design/_auth";
const AUTH: &str =
    r#"{"language":"builtin","description":"The rules of user documents are part of the server."}"#;

pub(crate) struct Users {
    store: Store,
    open: RwLock<Option<Database>>,
    read: RwLock<Generations>,
}

/// What was read of a name, and the sequence before that.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) user: Option<Arc<User>>,
    database: u64,
    sequence: u64,
}

/// When the newer half is full it becomes the older one, and what nobody asked for is forgotten.
#[derive(Default)]
struct Generations {
    newer: HashMap<String, Known>,
    older: HashMap<String, Known>,
}

impl Users {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, open: RwLock::default(), read: RwLock::default() }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Makes the database if it is not there.
    pub(crate) async fn ensure(&self) -> Result<(), CreateError> {
        let name = users_name();
        let grant = Grant::internal(Resource::Server, "the database of users is the server's own");
        let database = match self.store.create(&grant, &name, CreateOptions::default()).await {
            Ok(database) => database,
            Err(CreateError::Exists { .. }) => return Ok(()),
            Err(error @ CreateError::Storage(_)) => return Err(error),
        };
        let id = AUTH_ID.parse().expect("a design document's id");
        // Another server on the same storage may have been faster.
        write(&database, id, None, Some(AUTH.into())).await?;
        Ok(())
    }

    /// The database; `None` while there is none.
    pub(crate) async fn database(&self) -> Result<Option<Database>, StorageError> {
        if let Some(database) = self.opened() {
            return Ok(Some(database));
        }
        let found = self.store.find(&users_name()).await?;
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = found.clone();
        Ok(found)
    }

    fn opened(&self) -> Option<Database> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().filter(|it| !it.is_dropped()).cloned()
    }

    /// Whether nothing was written to any user since. Called for every request; reads no storage.
    pub(crate) fn is_present(&self, known: &Known) -> bool {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().is_some_and(|it| {
            !it.is_dropped() && it.number() == known.database && it.sequence() == known.sequence
        })
    }

    /// The user of that name as of now. Cheap for one that was read lately.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Known>, StorageError> {
        let known = self.known(name);
        if let Some(known) = known.as_ref().filter(|known| self.is_present(known)) {
            return Ok(Some(known.clone()));
        }
        let Some(database) = self.database().await? else { return Ok(None) };
        let Ok(id) = user_id(name) else { return Ok(None) };
        let sequence = database.sequence();
        let grant: Grant<Read> = Grant::internal(database.resource(), "to see who signs in");
        let user = match database.get(&grant, &id, &Select::Winner, Extras::default()).await {
            Ok(found) => {
                let before = known.and_then(|known| known.user).filter(|it| it.rev == found.rev);
                match before {
                    Some(user) => Some(user),
                    None => User::parse(name, found.rev, &found.body).map(Arc::new),
                }
            }
            Err(GetError::Missing | GetError::Deleted) => None,
            Err(GetError::Storage(error)) => return Err(error),
        };
        let known = Known { user, database: database.number(), sequence };
        // Names that nobody has are not kept: there is no end of them.
        if known.user.is_some() {
            self.keep(name, known.clone());
        }
        Ok(Some(known))
    }

    /// A document of another kind that stands beside the users; `None` if it is not there.
    pub(crate) async fn document(&self, id: &str) -> Result<Option<Revision>, StorageError> {
        let Some(database) = self.database().await? else { return Ok(None) };
        let Ok(id) = id.parse::<DocumentId>() else { return Ok(None) };
        let grant: Grant<Read> = Grant::internal(database.resource(), "what belongs to a user");
        match database.get(&grant, &id, &Select::Winner, Extras::default()).await {
            Ok(found) => Ok(Some(found)),
            Err(GetError::Missing | GetError::Deleted) => Ok(None),
            Err(GetError::Storage(error)) => Err(error),
        }
    }

    /// Ids and bodies of the documents whose ids begin so, at most as many.
    pub(crate) async fn documents(
        &self,
        prefix: &str,
        limit: u64,
    ) -> Result<Vec<(String, Vec<u8>)>, StorageError> {
        let Some(database) = self.database().await? else { return Ok(Vec::new()) };
        let grant: Grant<Read> = Grant::internal(database.resource(), "what belongs to a user");
        let mut found = Found::default();
        let mut next = Next::Go(DocumentScan {
            start: Bound::Included(prefix.to_owned()),
            end: Bound::Excluded(format!("{prefix}\u{10FFFF}")),
            direction: Direction::Ascending,
            skip: 0,
            limit,
            content: true,
            in_conflict: false,
        });
        while let Next::Go(scan) = next {
            (found, next) = database.scan_documents(&grant, scan, found).await?;
        }
        Ok(found.0)
    }

    /// Writes a document in the place of `base`, or deletes it if there is no body; whether nobody else
    /// was faster.
    pub(crate) async fn put(
        &self,
        id: &str,
        base: Option<RevId>,
        body: Option<Vec<u8>>,
    ) -> Result<bool, StorageError> {
        let database = self.database().await?.ok_or(StorageError::Gone)?;
        let id = id.parse().expect("ids of what belongs to users are made here");
        write(&database, id, base, body).await
    }

    /// Revokes all tokens of a user.
    pub(crate) async fn forget_tokens(&self, name: &str) -> Result<(), StorageError> {
        let prefix = format!("{TOKEN_PREFIX}{}", owner(name));
        for (id, _) in self.documents(&prefix, TOKENS_MAX).await? {
            if let Some(found) = self.document(&id).await? {
                self.put(&id, Some(found.rev), None).await?;
            }
        }
        Ok(())
    }

    /// The state of the database, for what is not about one user's document.
    pub(crate) async fn present(&self) -> Result<Option<Known>, StorageError> {
        Ok(self.database().await?.map(|database| Known {
            user: None,
            database: database.number(),
            sequence: database.sequence(),
        }))
    }

    /// Writes a new body for a user, unless somebody else was faster; whether it was written.
    pub(crate) async fn replace(&self, user: &User, body: Vec<u8>) -> Result<bool, StorageError> {
        let Some(database) = self.database().await? else { return Ok(false) };
        let Some(Ok(id)) = user.actor.name().map(user_id) else { return Ok(false) };
        write(&database, id, Some(user.rev.clone()), Some(body)).await
    }

    fn known(&self, name: &str) -> Option<Known> {
        {
            let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = read.newer.get(name) {
                return Some(known.clone());
            }
            read.older.get(name)?;
        }
        let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
        let known = read.older.remove(name)?;
        read.insert(name, known.clone());
        Some(known)
    }

    fn keep(&self, name: &str, known: Known) {
        self.read.write().unwrap_or_else(PoisonError::into_inner).insert(name, known);
    }
}

/// Writes a document of the server's own in the place of `base`, or deletes it if there is no body; whether
/// nobody else was faster. Validators are not asked: they are for what people write.
async fn write(
    database: &Database,
    id: DocumentId,
    base: Option<RevId>,
    body: Option<Vec<u8>>,
) -> Result<bool, StorageError> {
    let deleted = body.is_none();
    let body = body.unwrap_or_else(|| b"{}".to_vec());
    let grant: Grant<Write> =
        Grant::internal(database.resource(), "what the server keeps of users");
    let edit = Edit {
        id,
        origin: Origin::Interactive { base, must_exist: deleted },
        deleted,
        content: Content::Whole { body, attachments: Vec::new() },
        verdict: Verdict::internal("what the server keeps of users"),
    };
    let mut written = database.write(&grant, vec![edit], Atomicity::EachAlone).await?;
    Ok(matches!(written.pop(), Some(Ok(_))))
}

/// Rows of a scan.
#[derive(Default)]
struct Found(Vec<(String, Vec<u8>)>);

impl Sink<DocumentRow<'_>> for Found {
    fn row(&mut self, row: &DocumentRow<'_>) -> More {
        let content = row.found.as_ref().and_then(|found| found.content.as_ref());
        if let Some(content) = content {
            self.0.push((row.id.to_owned(), content.body.to_vec()));
        }
        More::Yes
    }
}

impl Generations {
    fn insert(&mut self, name: &str, known: Known) {
        if self.newer.len() >= USERS_REMEMBERED_MAX / 2 {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(name.to_owned(), known);
    }
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Users(..)")
    }
}

pub(crate) fn users_name() -> DatabaseName {
    USERS.parse().expect("a system database's name")
}

pub(crate) fn user_id(name: &str) -> Result<DocumentId, settle_model::id::DocumentIdError> {
    format!("{USER_PREFIX}{name}").parse()
}
