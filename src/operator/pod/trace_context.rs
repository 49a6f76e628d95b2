//! The ids of a trace. They follow from UID, run and attempt, so the script knows its parent before anything
//! is sent.

use std::borrow::Cow;

use opentelemetry::{SpanId, TraceId};
use sha2::{Digest as _, Sha256};

/// The stage in which the script runs.
pub(crate) const SCRIPT: &str = "script";

/// The parent of what a script traces, in the format of W3C Trace Context.
#[must_use]
pub(crate) fn traceparent(action_uid: &str, run: u32, attempt: u32) -> String {
    let script = of_attempt(SCRIPT, attempt);
    let (trace, span) = (trace_id(action_uid, run), span_id(action_uid, run, &script));
    format!("00-{trace}-{span}-01")
}

/// Names a stage of an attempt. In the first attempt this is the stage's own name.
pub(crate) fn of_attempt(stage: &'static str, attempt: u32) -> Cow<'static, str> {
    match attempt {
        0 | 1 => stage.into(),
        _ => format!("{stage}-{attempt}").into(),
    }
}

pub(crate) fn digest(action_uid: &str, run: u32, what: &str) -> [u8; 32] {
    Sha256::digest(format!("longshore.dev/trace {action_uid} {run} {what}")).into()
}

pub(crate) fn trace_id(action_uid: &str, run: u32) -> TraceId {
    let digest = digest(action_uid, run, "");
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    TraceId::from_bytes(bytes)
}

pub(crate) fn span_id(action_uid: &str, run: u32, what: &str) -> SpanId {
    let digest = digest(action_uid, run, what);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    SpanId::from_bytes(bytes)
}
