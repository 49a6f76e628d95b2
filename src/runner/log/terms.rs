//! The operator's words about the log: two files that the kubelet shows.
//!
//! They are annotations of the pod, so other people who may change the pod may have written them. At worst the
//! log loses lines. The record of how the script ended is in the termination message too.

use std::path::PathBuf;

use crate::{
    record::credit::{Credit, Limits, MAX_CREDIT_BYTES},
    runner::{places::Places, reach},
};

/// The terms on which the log is written.
#[derive(Debug, Clone)]
pub(in crate::runner) struct Terms {
    /// `None` if the operator knows no credit. The log is then written as fast as somebody reads it, and never
    /// again.
    pub(super) limits: Option<Limits>,
    /// The file of the operator's answer.
    pub(super) credit: PathBuf,
    /// The folder of the spool.
    pub(super) folder: PathBuf,
}

impl Terms {
    pub(in crate::runner) fn read(places: &Places) -> Self {
        let limits = reach::read_mounted(&places.log_limits(), MAX_CREDIT_BYTES as u64)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        Self { limits, credit: places.log_credit(), folder: places.state() }
    }

    /// The operator's latest answer. `None` without a readable one.
    pub(super) fn credit(&self) -> Option<Credit> {
        Credit::from_text(&reach::read_mounted(&self.credit, MAX_CREDIT_BYTES as u64).ok()?)
    }
}
