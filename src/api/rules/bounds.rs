//! Bounds and schemas that no type of Rust says by itself.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator, json_schema};

/// The longest value of an output, in bytes: what the runner allows.
const MAX_OUTPUT_BYTES: usize = 32 * 1024;

/// The largest whole number that every JSON reader takes for what it is: 2^53 - 1.
pub(in crate::api) const MAX_WHOLE: i64 = 9_007_199_254_740_991;

/// The schema of a map of quantities: `cpu: 1` as well as `memory: 256Mi`.
///
/// An exponent has two digits at most. One that is no number of 64 bits is an error where a policy
/// compares the quantity, and with one of nine digits the API server can be busy for longer than 25 s
/// (`apimachinery/pkg/api/resource/quantity.go`, tried): it writes long numbers out.
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

/// The schema of outputs: as long as the runner lets them be.
pub(in crate::api) fn outputs(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": MAX_OUTPUT_BYTES},
    })
}

/// What [`super::crd`] puts where a type of Kubernetes' own says nothing of its bounds.
pub(in crate::api) fn bounds() -> BTreeMap<&'static str, (&'static str, u64)> {
    BTreeMap::from([
        ("string", ("maxLength", 1024)),
        ("array", ("maxItems", 64)),
        ("object", ("maxProperties", 64)),
    ])
}
