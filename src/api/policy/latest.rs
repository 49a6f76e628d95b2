//! The policy against the tag `latest`.

use serde_json::{Value, json};

use super::parts::{actions, must_or};

/// The spec of the policy that refuses the tag `latest` without a digest, in actions and templates. An object
/// that has it already may be changed in all else.
#[must_use]
pub fn latest_policy() -> Value {
    let mut constraints = actions();
    constraints["resourceRules"][0]["resources"] =
        json!(["deploymentactions", "deploymentactiontemplates", "clusterdeploymentactiontemplates"]);
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": constraints,
        "matchConditions": [{
            "name": "image-changes",
            // The schema allows null, and charts write null for an action of a template.
            "expression": "has(object.spec.image) && dyn(object.spec).image != null && (request.operation == 'CREATE' \
                || !has(oldObject.spec.image) || dyn(object.spec).image != dyn(oldObject.spec).image)",
        }],
        "validations": [must_or(
            "!object.spec.image.endsWith(':latest')",
            "'spec.image ' + object.spec.image + ' is another image tomorrow: write the version that is meant, for example ' \
             + object.spec.image.replace(':latest', ':2026.11') + ', or the digest, ' + object.spec.image.replace(':latest', '@sha256:...')",
        )],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_makes_any_tag_harmless() {
        // A digest is the end of a reference, so a reference that ends with the tag has no digest.
        let policy = latest_policy();
        assert_eq!(policy["validations"][0]["expression"], "!object.spec.image.endsWith(':latest')");
    }
}
