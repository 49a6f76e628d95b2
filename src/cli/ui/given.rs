//! What a person has filled into the form of a template. This is pure.

use crate::cli::run::wanted::Values;

/// What was filled in. Fields of parameters begin with `p.`, of the Secrets of parameters with `s.`, of their keys with
/// `y.`, and of packages with `k.`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) namespace: String,
    /// The action's name. It may be empty.
    pub(super) name: String,
    fields: Vec<(String, String)>,
}

impl Given {
    /// Nothing but the namespace.
    pub(super) fn nothing(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..Self::default() }
    }

    /// Reads it from the fields of a form. Others are passed over.
    pub(super) fn of(form: &[(String, String)]) -> Self {
        let mut given = Self::default();
        for (name, value) in form {
            match name.as_str() {
                "namespace" => value.trim().clone_into(&mut given.namespace),
                "name" => value.trim().clone_into(&mut given.name),
                _ if ["p.", "s.", "y.", "k."].iter().any(|begin| name.starts_with(begin)) => {
                    given.fields.push((name.clone(), value.clone()));
                }
                _ => {}
            }
        }
        given
    }

    /// The value of a field.
    pub(super) fn value(&self, kind: &str, name: &str) -> &str {
        self.fields
            .iter()
            .find(|(of, _)| of.strip_prefix(kind) == Some(name))
            .map_or("", |(_, value)| value.as_str())
    }

    /// All fields, to be sent again.
    pub(super) fn pairs(&self) -> Vec<(&str, &str)> {
        let mut pairs = vec![("namespace", self.namespace.as_str()), ("name", self.name.as_str())];
        pairs.extend(self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        pairs
    }

    /// The same as flags of `run`. Fields that are empty are left out.
    pub(super) fn values(&self, cluster: bool) -> Values {
        let mut values = Values {
            cluster_template: cluster,
            name: Some(self.name.clone()).filter(|name| !name.is_empty()),
            ..Values::default()
        };
        for (field, value) in self.fields.iter().filter(|(_, value)| !value.is_empty()) {
            let Some((kind, name)) = field.split_once('.') else { continue };
            match kind {
                "p" => values.parameters.push(format!("{name}={value}")),
                "s" => values.secret_parameters.push(format!("{name}={value}/{}", self.value("y.", name))),
                "k" => values.packages.push(format!("{name}={value}")),
                _ => {}
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_s_fields_are_the_flags_of_run() {
        let form: Vec<(String, String)> = [
            ("csrf", "x"),
            ("namespace", " shop "),
            ("name", ""),
            ("p.SERVICE", "a=b"),
            ("p.EMPTY", ""),
            ("s.TOKEN", "deploy"),
            ("y.TOKEN", "key"),
            ("k.orders", "1.4"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let given = Given::of(&form);
        let values = given.values(true);
        assert_eq!(values.parameters, ["SERVICE=a=b"]);
        assert_eq!(values.secret_parameters, ["TOKEN=deploy/key"]);
        assert_eq!(values.packages, ["orders=1.4"]);
        assert_eq!((values.name, values.cluster_template), (None, true));
        assert_eq!(given.namespace, "shop");
        let again: Vec<(String, String)> =
            given.pairs().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(Given::of(&again), given);
    }
}
