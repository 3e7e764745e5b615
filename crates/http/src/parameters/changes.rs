//! Parameters of `_changes` and `_db_updates`.
//!
//! Names are taken in any case, as in CouchDB. An event source that comes back says in a header where it
//! was, which wins over the query.
//!
//! Units: milliseconds in the query, [`Duration`] here.
//!
//! Source: `chttpd_db:parse_changes_query/1`.

use std::time::Duration;

use settle_database::At;
use settle_model::sequence::Since;

use super::{Query, json_texts};
use crate::error::ApiError;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangesParameters {
    pub feed: Feed,
    pub style: Style,
    pub descending: bool,
    /// `None` is the beginning.
    pub since: Option<Since>,
    pub limit: Option<u64>,
    pub heartbeat: Option<Heartbeat>,
    pub timeout: Option<Duration>,
    pub include_docs: bool,
    pub conflicts: bool,
    pub attachments: bool,
    pub att_encoding_info: bool,
    pub filter: Option<Filter>,
    /// For `filter=_doc_ids`, when the ids stand in the query.
    pub doc_ids: Option<Vec<String>>,
    /// For `filter=_view`.
    pub view: Option<String>,
    pub seq_interval: Option<u64>,
    /// Settle's own; counts where a design document of the database says so.
    pub timestamps: bool,
    /// Settle's own: the feed as it was at this moment.
    pub at: Option<At>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Feed {
    #[default]
    Normal,
    LongPoll,
    Continuous,
    EventSource,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// The winner alone.
    #[default]
    MainOnly,
    /// Every leaf, winner first.
    AllDocs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// At the server's pace.
    Default,
    Every(Duration),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    DocIds,
    Selector,
    Design,
    View,
    /// `ddoc/name`
    Function(String),
}

impl ChangesParameters {
    /// `last_event_id` is the header of that name.
    pub fn of_query(query: Query<'_>, last_event_id: Option<&str>) -> Result<Self, ApiError> {
        let mut parameters = Self::default();
        for (name, value) in query.pairs() {
            parameters.set(&name.to_ascii_lowercase(), &value)?;
        }
        if let (Feed::EventSource, Some(last)) = (parameters.feed, last_event_id) {
            parameters.since = Some(last.parse()?);
        }
        Ok(parameters)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        let yes = value == "true";
        match name {
            "feed" => self.feed = feed(value)?,
            "style" => self.style = style(value)?,
            "descending" => self.descending |= yes,
            "since" | "last-event-id" => self.since = Some(value.parse()?),
            "limit" => self.limit = Some(non_negative("limit", value)?),
            "heartbeat" => self.heartbeat = heartbeat(value)?,
            "timeout" => {
                self.timeout = Some(Duration::from_millis(non_negative("timeout", value)?));
            }
            "at" => self.at = Some(value.parse()?),
            "include_docs" => self.include_docs |= yes,
            "conflicts" => self.conflicts |= yes,
            "attachments" => self.attachments |= yes,
            "att_encoding_info" => self.att_encoding_info |= yes,
            "timestamps" => self.timestamps |= yes,
            "filter" if !value.is_empty() => self.filter = Some(filter(value)?),
            "view" => self.view = Some(value.to_owned()),
            "doc_ids" => {
                let reason = "`doc_ids` filter parameter is not a JSON array.";
                self.doc_ids = Some(json_texts(value, reason)?);
            }
            "seq_interval" => match value.parse() {
                Ok(interval) if interval > 0 => self.seq_interval = Some(interval),
                Ok(_) | Err(_) => return Err(ApiError::bad_request("invalid_seq_interval")),
            },
            _ => {}
        }
        Ok(())
    }
}

fn feed(value: &str) -> Result<Feed, ApiError> {
    match value {
        "normal" => Ok(Feed::Normal),
        "longpoll" => Ok(Feed::LongPoll),
        "continuous" | "live" => Ok(Feed::Continuous),
        "eventsource" => Ok(Feed::EventSource),
        _ => Err(ApiError::bad_request(
            "Supported `feed` types: normal, continuous, live, longpoll, eventsource",
        )),
    }
}

fn style(value: &str) -> Result<Style, ApiError> {
    match value {
        "main_only" => Ok(Style::MainOnly),
        "all_docs" => Ok(Style::AllDocs),
        _ => Err(ApiError::bad_request("Supported `style` values: main_only, all_docs")),
    }
}

fn filter(value: &str) -> Result<Filter, ApiError> {
    match value {
        "_doc_ids" => Ok(Filter::DocIds),
        "_selector" => Ok(Filter::Selector),
        "_design" => Ok(Filter::Design),
        "_view" => Ok(Filter::View),
        _ if value.starts_with('_') => Err(ApiError::bad_request("unknown builtin filter name")),
        _ if value.contains('/') => Ok(Filter::Function(value.to_owned())),
        _ => Err(ApiError::bad_request(
            "filter parameter must be of the form `designname/filtername`",
        )),
    }
}

fn non_negative(name: &str, value: &str) -> Result<u64, ApiError> {
    if let Ok(number) = value.parse() {
        return Ok(number);
    }
    let kind = if value.parse::<i64>().is_ok() { "value" } else { "parameter" };
    Err(ApiError::bad_request(format!("The {name} {kind} should be a non-negative integer")))
}

fn heartbeat(value: &str) -> Result<Option<Heartbeat>, ApiError> {
    if value == "true" {
        return Ok(Some(Heartbeat::Default));
    }
    match value.parse::<u64>() {
        Ok(millis) if millis > 0 => Ok(Some(Heartbeat::Every(Duration::from_millis(millis)))),
        Ok(_) => Err(ApiError::bad_request(
            "The heartbeat value should be a positive integer (in milliseconds).",
        )),
        // PouchDB and nano say `false` when they want none.
        Err(_) if value == "false" => Ok(None),
        Err(_) if value.parse::<i64>().is_ok() => Err(ApiError::bad_request(
            "The heartbeat value should be a positive integer (in milliseconds).",
        )),
        Err(_) => Err(ApiError::bad_request(
            "Invalid heartbeat value. Expecting a positive integer value (in milliseconds).",
        )),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn refusals_are_couchdbs() {
        let queries = [
            "limit=x",
            "limit=-1",
            "timeout=x",
            "timeout=-1",
            "heartbeat=abc",
            "heartbeat=0",
            "heartbeat=-5",
            "filter=_nope",
            "filter=a",
            "since=x",
            "seq_interval=0",
            "feed=z",
            "style=z",
            "doc_ids=1",
        ];
        let refusals = queries.map(|query| {
            let error = ChangesParameters::of_query(Query::new(query), None).unwrap_err();
            format!("{query}: {}", error.reason())
        });
        expect![[r#"
            [
                "limit=x: The limit parameter should be a non-negative integer",
                "limit=-1: The limit value should be a non-negative integer",
                "timeout=x: The timeout parameter should be a non-negative integer",
                "timeout=-1: The timeout value should be a non-negative integer",
                "heartbeat=abc: Invalid heartbeat value. Expecting a positive integer value (in milliseconds).",
                "heartbeat=0: The heartbeat value should be a positive integer (in milliseconds).",
                "heartbeat=-5: The heartbeat value should be a positive integer (in milliseconds).",
                "filter=_nope: unknown builtin filter name",
                "filter=a: filter parameter must be of the form `designname/filtername`",
                "since=x: Malformed sequence supplied in 'since' parameter.",
                "seq_interval=0: invalid_seq_interval",
                "feed=z: Supported `feed` types: normal, continuous, live, longpoll, eventsource",
                "style=z: Supported `style` values: main_only, all_docs",
                "doc_ids=1: `doc_ids` filter parameter is not a JSON array.",
            ]
        "#]].assert_debug_eq(&refusals);
    }

    #[test]
    fn an_event_source_that_comes_back_goes_on_where_it_was() {
        let of = |query, header| ChangesParameters::of_query(Query::new(query), header).unwrap();
        let there = Some("7".parse().unwrap());
        assert_eq!(of("feed=eventsource&since=now", Some("7")).since, there);
        assert_eq!(of("feed=eventsource&last-event-id=7", None).since, there);
        assert_eq!(of("Since=7", Some("9")).since, there);
    }

    #[test]
    fn live_is_another_word_for_continuous() {
        let parameters = ChangesParameters::of_query(Query::new("feed=live&heartbeat=true"), None);
        let parameters = parameters.unwrap();
        assert_eq!(parameters.feed, Feed::Continuous);
        assert_eq!(parameters.heartbeat, Some(Heartbeat::Default));
    }
}
