//! The log server: logs of actions for people who have a right on the action, and none on its pods.
//!
//! It is an API of its own, `log.longshore.dev`, behind the API server ("aggregated"). It runs in a process of its
//! own with rights of its own: it reads actions, pods and logs, and changes nothing of them.
//!
//! A request goes through these steps: [`front_proxy`] says who asks, [`request`] what is asked for,
//! [`access`] whether it is allowed, [`turns`] whether there is room, [`locate`] where the log is. [`source`] opens
//! it, at the node or in the archive ([`stored`]). [`reader`] reads it, and [`crate::reading`] makes of it what the
//! caller gets.

mod access;
mod certificates;
mod discovery;
mod front_proxy;
mod locate;
mod read;
mod reader;
mod refusal;
mod registration;
mod request;
pub mod serve;
mod source;
mod splitter;
mod stored;
#[cfg(test)]
mod testing;
mod turns;

use axum::{
    body::Body,
    http::{HeaderValue, Response, header},
};
use serde_json::Value;

/// A JSON document as an answer.
fn json(document: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(document.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
