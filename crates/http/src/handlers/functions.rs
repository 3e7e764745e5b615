//! What design documents do besides views: update, show and list functions, and rewrites.
//!
//! A function is called with a request object that has no credentials in it, and gives back what becomes the
//! reply. Since whoever may write a design document decides on that reply's body and type, it has a sandbox
//! policy and may not be sniffed, unless it is JSON.
//!
//! Source: `chttpd_show.erl`, `couch_mrview_show.erl`, `chttpd_rewrite.erl`, `chttpd_external.erl`.

mod asked;
mod list;
mod reply;
pub(crate) mod request;
mod rewrite;
mod rules;
mod show;
mod update;

pub(crate) use self::{
    list::{list, list_of_body, list_of_other, list_of_other_of_body},
    rewrite::rewrite,
    show::{show, show_document},
    update::{update, update_document},
};
