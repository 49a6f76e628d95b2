//! `-o`: objects in kubectl's other forms.

use std::str::FromStr;

use serde::Serialize;
use serde_json::{Value, json};

use super::{error::CliError, jsonpath::Template};

/// The form of a list of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// The table, with more columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `RESOURCE/NAME`, a line for each.
    Name,
    /// What a template of kubectl's `JSONPath` names.
    JsonPath(Template),
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "wide" => Ok(Self::Wide),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            _ => match text.strip_prefix("jsonpath=") {
                Some(template) => Ok(Self::JsonPath(template.parse()?)),
                None => Err("write wide, json, yaml, name or jsonpath=TEMPLATE".to_owned()),
            },
        }
    }
}

/// The form of what a command says, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Format {
    /// A value in this form.
    pub(super) fn text(self, value: &impl Serialize) -> Result<String, CliError> {
        let wrong =
            |error: &dyn std::fmt::Display| CliError::Failed(format!("cannot write the answer: {error}"));
        match self {
            Self::Json => {
                serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|error| wrong(&error))
            }
            Self::Yaml => serde_saphyr::to_string(value).map_err(|error| wrong(&error)),
        }
    }
}

/// Objects as kubectl's list.
pub(super) fn list(objects: &[Value]) -> Value {
    json!({"apiVersion": "v1", "items": objects, "kind": "List", "metadata": {"resourceVersion": ""}})
}

/// An object without what kubectl does not show either.
pub(super) fn shown(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_one_of_kubectl_s() {
        assert_eq!("wide".parse::<Output>(), Ok(Output::Wide));
        assert!(matches!("jsonpath={.items[*].metadata.name}".parse(), Ok(Output::JsonPath(_))));
        assert!("jsonpath={.items[".parse::<Output>().is_err());
        assert!("table".parse::<Output>().unwrap_err().contains("jsonpath=TEMPLATE"));
    }

    #[test]
    fn yaml_is_read_back_as_it_was() {
        let value = json!({"a": ["x: y", "1", null, "line\nline\n"], "b": {"c": true}});
        let text = Format::Yaml.text(&value).unwrap();
        assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), value);
        assert_eq!(serde_json::from_str::<Value>(&Format::Json.text(&value).unwrap()).unwrap(), value);
    }
}
