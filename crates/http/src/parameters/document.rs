//! Parameters of one document.
//!
//! Flags count when they are `true`; every other value is passed over, as in CouchDB.
//!
//! Source: `chttpd_db:parse_doc_query/2`.

use settle_database::At;
use settle_model::revision::RevId;

use super::{Query, json_texts};
use crate::error::ApiError;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentParameters {
    pub rev: Option<RevId>,
    pub open_revs: Option<OpenRevisions>,
    /// Attachments are sent when they are newer than the newest of these that the document has.
    pub atts_since: Option<Vec<RevId>>,
    pub attachments: bool,
    pub att_encoding_info: bool,
    pub conflicts: bool,
    pub deleted_conflicts: bool,
    pub latest: bool,
    pub local_seq: bool,
    /// Settle's own; counts where a design document of the database says so.
    pub timestamps: bool,
    pub revs: bool,
    pub revs_info: bool,
    /// A tombstone is shown as a document.
    pub deleted: bool,
    pub batch: bool,
    pub new_edits: Option<bool>,
    /// Settle's own: as it was at this moment.
    pub at: Option<At>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenRevisions {
    All,
    These(Vec<RevId>),
}

impl DocumentParameters {
    pub fn of_query(query: Query<'_>) -> Result<Self, ApiError> {
        let mut parameters = Self::default();
        for (name, value) in query.pairs() {
            parameters.set(&name, &value)?;
        }
        Ok(parameters)
    }

    /// Refuses beside `at` what is known of the present alone.
    pub fn check_at(&self) -> Result<(), ApiError> {
        let asks = self.rev.is_some()
            || self.open_revs.is_some()
            || self.atts_since.is_some()
            || self.revs
            || self.revs_info
            || self.timestamps;
        if asks {
            let reason = "`at` goes with `attachments`, `att_encoding_info`, `conflicts`, \
                          `deleted_conflicts` and `local_seq` alone";
            return Err(ApiError::query(reason));
        }
        Ok(())
    }

    /// Whether something is asked for that the revision alone does not decide, so that the reply has
    /// no entity tag.
    pub fn has_extras(&self) -> bool {
        self.conflicts
            || self.deleted_conflicts
            || self.local_seq
            || self.revs_info
            || self.timestamps
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        let yes = value == "true";
        match name {
            "rev" if !value.is_empty() => self.rev = Some(revision(value)?),
            "open_revs" if value == "all" => self.open_revs = Some(OpenRevisions::All),
            "open_revs" => self.open_revs = Some(OpenRevisions::These(revisions(value)?)),
            "atts_since" => self.atts_since = Some(revisions(value)?),
            "attachments" => self.attachments |= yes,
            "att_encoding_info" => self.att_encoding_info |= yes,
            "conflicts" => self.conflicts |= yes,
            "deleted_conflicts" => self.deleted_conflicts |= yes,
            "meta" if yes => {
                self.revs_info = true;
                self.conflicts = true;
                self.deleted_conflicts = true;
            }
            "latest" => self.latest |= yes,
            "local_seq" => self.local_seq |= yes,
            "timestamps" => self.timestamps |= yes,
            "revs" => self.revs |= yes,
            "revs_info" => self.revs_info |= yes,
            "deleted" => self.deleted |= yes,
            "batch" => self.batch |= value == "ok",
            "at" => self.at = Some(value.parse()?),
            "new_edits" if yes => self.new_edits = Some(true),
            "new_edits" if value == "false" => self.new_edits = Some(false),
            _ => {}
        }
        Ok(())
    }
}

fn revisions(value: &str) -> Result<Vec<RevId>, ApiError> {
    let texts = json_texts(value, "Invalid rev format")?;
    texts.iter().map(|text| revision(text)).collect()
}

fn revision(text: &str) -> Result<RevId, ApiError> {
    text.parse().map_err(|_| ApiError::bad_request("Invalid rev format"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_stands_for_three_flags_and_a_flag_that_is_not_true_for_none() {
        let of = |query| DocumentParameters::of_query(Query::new(query)).unwrap();
        assert_eq!(of("meta=true"), of("revs_info=true&conflicts=true&deleted_conflicts=true"));
        assert_eq!(of("revs=1&conflicts=TRUE&rev=&x=y"), DocumentParameters::default());
        assert_eq!(of("new_edits=false&batch=ok").new_edits, Some(false));
    }

    #[test]
    fn revisions_are_checked_one_by_one_and_in_lists() {
        let reason = |query| {
            let error = DocumentParameters::of_query(Query::new(query)).unwrap_err();
            error.reason().to_owned()
        };
        assert_eq!(reason("rev=x"), "Invalid rev format");
        assert_eq!(reason("open_revs=nonsense"), "invalid UTF-8 JSON");
        assert_eq!(reason("open_revs=[1]"), "Invalid rev format");
        assert_eq!(reason("atts_since={}"), "Invalid rev format");
    }
}
