//! Bounds and schemas that Rust's types do not say.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};

/// The longest value of an output, in bytes. The runner allows as much.
const MAX_OUTPUT_BYTES: usize = 32 * 1024;

/// The largest whole number that every JSON reader reads exactly: 2^53 - 1.
pub(in crate::api) const MAX_WHOLE: i64 = 9_007_199_254_740_991;

/// The schema of a map of quantities: `cpu: 1` as well as `memory: 256Mi`.
///
/// An exponent has at most two digits. A policy that compares a quantity fails if the exponent does not fit 64
/// bits. With nine digits the API server writes out a long number, and can be busy for more than 25 s
/// (`apimachinery/pkg/api/resource/quantity.go`, tried).
pub(in crate::api) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 64,
            "minimum": 0,
            "maximum": MAX_WHOLE,
            "pattern": r"^[+]?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?[0-9]{1,2}))?$",
        },
    })
}

/// The schema of outputs. The runner bounds them alike.
pub(in crate::api) fn outputs(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": MAX_OUTPUT_BYTES},
    })
}

/// The bounds that `api::crd` gives to Kubernetes' own types, which have none.
pub(in crate::api) fn bounds() -> BTreeMap<&'static str, (&'static str, u64)> {
    BTreeMap::from([
        ("string", ("maxLength", 1024)),
        ("array", ("maxItems", 64)),
        ("object", ("maxProperties", 64)),
    ])
}
