//! The pages, as HTML. All of it is pure: what was read goes in, markup comes out. Each text is escaped when it is
//! written, and characters that would show it in another order are shown as escapes.

pub(super) mod action;
pub(super) mod compare;
pub(super) mod confirm;
pub(super) mod failure;
pub(super) mod form;
pub(super) mod layout;
pub(super) mod list;
pub(super) mod locks;
pub(super) mod log;
pub(super) mod parts;
pub(super) mod templates;
pub(super) mod timeline;
