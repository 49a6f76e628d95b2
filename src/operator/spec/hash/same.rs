//! Brings fields into one form that mean the same in several forms: an amount with another suffix, or a
//! default that is written out.

use serde_json::Value;

/// Whether a field has the default that Kubernetes fills in or assumes.
fn is_default(name: &str, value: &Value) -> bool {
    match (name, value) {
        (_, Value::Null) => true,
        ("optional" | "readOnly" | "required", Value::Bool(set)) => !set,
        ("defaultMode", Value::Number(mode)) => mode.as_i64() == Some(0o644),
        ("expirationSeconds", Value::Number(seconds)) => seconds.as_i64() == Some(3600),
        ("apiVersion", Value::String(text)) => text == "v1",
        ("mountPropagation", Value::String(text)) => text == "None",
        ("recursiveReadOnly", Value::String(text)) => text == "Disabled",
        ("volumeMode", Value::String(text)) => text == "Filesystem",
        ("medium" | "subPath" | "subPathExpr", Value::String(text)) => text.is_empty(),
        ("divisor", amount) => quantity(amount).as_deref() == Some("0"),
        _ => false,
    }
}

/// Leaves out defaults, writes amounts in one way, and sorts names.
pub(super) fn plain(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(plain),
        Value::Object(fields) => {
            let mut all: Vec<(String, Value)> = std::mem::take(fields).into_iter().collect();
            for (name, value) in &mut all {
                match (name.as_str(), &mut *value) {
                    ("limits" | "requests", Value::Object(amounts)) => {
                        amounts.values_mut().for_each(one_way);
                    }
                    ("sizeLimit" | "divisor", amount) => one_way(amount),
                    // People choose the names in these.
                    (
                        "annotations" | "labels" | "matchLabels" | "nodeSelector" | "volumeAttributes",
                        Value::Object(own),
                    ) => own.sort_keys(),
                    (_, other) => plain(other),
                }
            }
            all.retain(|(name, value)| !is_default(name, value));
            all.sort_by(|one, other| one.0.cmp(&other.0));
            fields.extend(all);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn one_way(amount: &mut Value) {
    if let Some(text) = quantity(amount) {
        *amount = Value::String(text);
    }
}

/// An amount in billionths, the smallest unit of Kubernetes. `None` if it is no amount.
fn quantity(amount: &Value) -> Option<String> {
    let text = match amount {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{part}").parse().ok()?;
    let places = u32::try_from(part.len()).ok()?;
    let billionths = 1_000_000_000;
    let times = |exponent: i32| 10_i128.checked_pow(u32::try_from(exponent.checked_add(9)?).ok()?);
    let unit = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => billionths,
        "k" => times(3)?,
        "M" => times(6)?,
        "G" => times(9)?,
        "T" => times(12)?,
        "P" => times(15)?,
        "E" => times(18)?,
        "Ki" => billionths << 10,
        "Mi" => billionths << 20,
        "Gi" => billionths << 30,
        "Ti" => billionths << 40,
        "Pi" => billionths << 50,
        "Ei" => billionths << 60,
        other => times(other.strip_prefix(['e', 'E'])?.parse().ok()?)?,
    };
    let scaled = digits.checked_mul(unit)?;
    let scale = 10_i128.checked_pow(places)?;
    // Rounded up, as Kubernetes does with smaller units.
    let all = scaled.checked_add(if scaled > 0 { scale - 1 } else { 0 })?.checked_div(scale)?;
    Some(all.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_compared_and_not_their_texts() {
        for (one, other) in [
            (json!("1"), json!("1000m")),
            (json!("1"), json!(1)),
            (json!("1.5"), json!("1500m")),
            (json!("1Gi"), json!("1024Mi")),
            (json!("1Gi"), json!("1073741824")),
            (json!("2k"), json!("2e3")),
            (json!("0.5Gi"), json!("512Mi")),
            (json!("0"), json!("0m")),
            (json!("128974848"), json!("123Mi")),
        ] {
            assert!(quantity(&one).is_some(), "{one}");
            assert_eq!(quantity(&one), quantity(&other), "{one} and {other}");
        }
        for (one, other) in [("1", "2"), ("1M", "1Mi"), ("1", "1m")] {
            assert_ne!(quantity(&json!(one)), quantity(&json!(other)));
        }
        for none in ["", "x", "1x", "1.2.3", "e3", "1e999", "99999999999999999999999999999E", "1e2147483647"]
        {
            assert_eq!(quantity(&json!(none)), None, "{none}");
        }
    }

    #[test]
    fn what_is_the_same_is_the_same_text() {
        let text = |mut value: Value| {
            plain(&mut value);
            value.to_string()
        };
        let short = json!({"volumes": [{"name": "a", "secret": {"secretName": "s"}}, {"name": "b", "emptyDir": {}}],
            "mounts": [{"name": "a", "mountPath": "/a"}], "resources": {"limits": {"cpu": 1}}});
        let long = json!({"resources": {"limits": {"cpu": "1000m"}},
            "mounts": [{"mountPath": "/a", "name": "a", "readOnly": false, "subPath": "", "mountPropagation": "None"}],
            "volumes": [{"secret": {"optional": false, "secretName": "s", "defaultMode": 420}, "name": "a"},
                {"name": "b", "emptyDir": {"medium": "", "sizeLimit": null}}]});
        assert_eq!(text(short.clone()), text(long));
        let own = |name: &str, text: &str| json!({"csi": {"driver": "d", "volumeAttributes": {name: text}}});
        assert_ne!(text(own("subPath", "")), text(own("subPath2", "")));
        assert_ne!(
            text(own("apiVersion", "v1")),
            text(json!({"csi": {"driver": "d", "volumeAttributes": {}}}))
        );
        let other = json!({"volumes": [{"name": "a", "secret": {"secretName": "s", "optional": true}},
            {"name": "b", "emptyDir": {}}], "mounts": [{"name": "a", "mountPath": "/a"}],
            "resources": {"limits": {"cpu": 1}}});
        assert_ne!(text(short), text(other));
    }
}
