//! What the API server makes of an action before any operator sees it: what it refuses and with
//! which words, what it sets, how it prints, and how fields are owned.

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "end_to_end/action.rs"]
mod action;
#[path = "end_to_end/namespace.rs"]
mod namespace;
#[path = "api_server/request.rs"]
mod request;

#[path = "api_server/accepted.rs"]
mod accepted;
#[path = "api_server/documented.rs"]
mod documented;
#[path = "api_server/fields.rs"]
mod fields;
#[path = "api_server/printed.rs"]
mod printed;
#[path = "api_server/refused.rs"]
mod refused;
#[path = "api_server/refused_pods.rs"]
mod refused_pods;
#[path = "api_server/templates.rs"]
mod templates;
