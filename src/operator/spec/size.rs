//! The largest spec that the operator runs.

use std::io;

use serde::Serialize;
use serde_json::Value;

use super::invalid::Invalid;
use crate::api::DeploymentActionSpec;

/// The longest spec that the operator runs, in bytes, as etcd stores it.
///
/// etcd takes 1.5 MiB for an object, status included (`--max-request-bytes`). If a status does not fit,
/// nobody learns the verdict. So there must be room for all of these at once:
///
/// | | KiB |
/// |---|---|
/// | the spec | 256 |
/// | what `kubectl apply` keeps of it: an annotation, 256 KiB at most, whose quotes and line ends are stored as two characters each | 512 |
/// | managed fields, labels, names | 128 |
/// | the largest status: outputs 128, log 20, history 183, all else 80 | 411 |
///
/// The sum is 1307 of 1536. The rest is for texts that etcd stores in a longer form. If even that is not
/// enough, for example because of somebody else's annotations, the operator writes a smaller status
/// (`lifecycle/smaller_status.rs`).
pub(crate) const MAX_SPEC_BYTES: usize = 256 * 1024;

/// Checks that a spec is not too large to run.
///
/// # Errors
/// It is too large. The text has its size, and the part that takes most of it.
pub(crate) fn check(spec: &DeploymentActionSpec) -> Result<(), Invalid> {
    let size = stored(spec)?;
    if size <= MAX_SPEC_BYTES {
        return Ok(());
    }
    let whole = serde_json::to_value(spec).map_err(|error| Invalid(error.to_string()))?;
    let (part, bytes) = largest("spec".to_owned(), &whole, size)?;
    Err(Invalid(format!(
        "spec: it takes {size} bytes, and may take at most {MAX_SPEC_BYTES}, because its status must fit beside it; most of it is {part} \
         with {bytes} bytes: make that shorter, or put long texts into a ConfigMap (script.configMapKeyRef, valueFrom.configMapKeyRef)"
    )))
}

/// The part that takes most of it: the deepest field that takes at least half of the field around it.
fn largest(path: String, value: &Value, bytes: usize) -> Result<(String, usize), Invalid> {
    let Value::Object(fields) = value else { return Ok((path, bytes)) };
    let mut most = None;
    for (name, value) in fields {
        let bytes = stored(value)?;
        if most.is_none_or(|(_, _, other)| bytes > other) {
            most = Some((name, value, bytes));
        }
    }
    match most {
        // Keys of a map can be any text, while names of fields are ours.
        Some((name, value, part)) if part * 2 >= bytes && is_field(name) => {
            largest(format!("{path}.{name}"), value, part)
        }
        _ => Ok((path, bytes)),
    }
}

fn is_field(name: &str) -> bool {
    name.chars().all(|character| character.is_ascii_alphanumeric())
}

/// How many bytes etcd stores for it. The API server writes each `<`, `>` and `&` with six characters.
fn stored(value: &impl Serialize) -> Result<usize, Invalid> {
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).map_err(|error| Invalid(error.to_string()))?;
    Ok(count.0)
}

/// Counts what is written.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let escaped = bytes.iter().filter(|byte| matches!(byte, b'<' | b'>' | b'&')).count();
        self.0 += bytes.len() + 5 * escaped;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{
        Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm,
    };

    use super::*;
    use crate::{
        api::{
            Reason,
            action::{PodTemplate, Script, Variable},
        },
        operator::{spec::expand, testing::objects::action},
    };

    /// An affinity of about this many bytes.
    fn affinity(bytes: usize) -> Affinity {
        let expression = NodeSelectorRequirement {
            key: "a".into(),
            operator: "In".into(),
            values: Some(vec!["x".repeat(1000); 64]),
        };
        let term =
            NodeSelectorTerm { match_expressions: Some(vec![expression]), ..NodeSelectorTerm::default() };
        let node_selector_terms = vec![term; bytes.div_ceil(64_000)];
        Affinity {
            node_affinity: Some(NodeAffinity {
                required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                    node_selector_terms,
                }),
                ..NodeAffinity::default()
            }),
            ..Affinity::default()
        }
    }

    #[test]
    fn a_spec_that_leaves_no_room_for_its_status_is_never_run_and_is_told_what_takes_most_of_it() {
        let mut action = action();
        action.spec.pod_template =
            Some(PodTemplate { affinity: Some(affinity(1_400_000)), ..PodTemplate::default() });
        let blocked = expand::check(&action, None, "amd64").unwrap_err();
        let (reason, message) = blocked.words();
        assert!(reason == Reason::InvalidSpec && !blocked.may_pass());
        let named = "spec.podTemplate.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms with 14";
        for words in ["spec: it takes 14", "at most 262144", named] {
            assert!(message.contains(words), "{message}");
        }
        assert!(message.len() < 1000, "{message}");
    }

    #[test]
    fn the_bound_counts_what_etcd_has() {
        let variables = |value: &str, count: usize| DeploymentActionSpec {
            variables: (0..count)
                .map(|number| Variable {
                    name: format!("A{number}"),
                    value: Some(value.into()),
                    ..Variable::default()
                })
                .collect(),
            ..action().spec
        };
        let long = "x".repeat(32_000);
        assert_eq!(check(&variables(&long, 8)), Ok(()));
        assert!(check(&variables(&long, 9)).unwrap_err().0.contains("spec.variables with 288"));
        let wide = "<>&".repeat(10_000);
        assert_eq!(check(&variables(&wide, 1)), Ok(()));
        assert!(check(&variables(&wide, 2)).is_err());
        let script = |bytes: usize| DeploymentActionSpec {
            script: Some(Script { inline: Some("x".repeat(bytes)), ..Script::default() }),
            ..action().spec
        };
        // A bundle has a bound of its own, below this one.
        assert_eq!(check(&script(crate::record::bundle::MAX_BYTES)), Ok(()));
        assert!(check(&script(300_000)).unwrap_err().0.contains("spec.script.inline with 300002 bytes"));
    }

    #[test]
    fn of_an_action_with_a_template_both_are_bounded() {
        use crate::{
            api::template::{TemplateKind, TemplateRef, TemplateSpec},
            operator::spec::expand::{Lookup, Template},
        };
        let template = |pod_template| {
            Lookup::Found(Template {
                kind: TemplateKind::DeploymentActionTemplate,
                name: "base".into(),
                uid: "template".into(),
                generation: 1,
                spec: TemplateSpec {
                    image: "registry.example.com/tools:1".into(),
                    script: action().spec.script,
                    pod_template,
                    ..TemplateSpec::default()
                },
            })
        };
        let mut of_template = action();
        (of_template.spec.image, of_template.spec.script) = (None, None);
        of_template.spec.template_ref = Some(TemplateRef { name: "base".into(), kind: None });
        let small = template(None);
        assert!(expand::check(&of_template, Some(&small), "amd64").is_ok());
        let large =
            template(Some(PodTemplate { affinity: Some(affinity(300_000)), ..PodTemplate::default() }));
        let blocked = expand::check(&of_template, Some(&large), "amd64").unwrap_err();
        assert_eq!(blocked.words().0, Reason::TemplateInvalid);
        assert!(blocked.words().1.contains("\"base\": spec: it takes 3"), "{blocked:?}");
        of_template.spec.parameters = vec![crate::api::parameters::ParameterValue::default(); 40_000];
        let blocked = expand::check(&of_template, Some(&small), "amd64").unwrap_err();
        assert_eq!(blocked.words().0, Reason::InvalidSpec);
        assert!(blocked.words().1.contains("most of it is spec.parameters"), "{blocked:?}");
    }
}
