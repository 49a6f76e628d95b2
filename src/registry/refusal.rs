//! What a refusal says: its words, and when to ask again.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::transport::clean;

/// What is read of an error's body, in bytes.
const MAX_ERROR: usize = 64 << 10;
/// A registry that wants to be left alone for longer is asked once a day.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// As much of an error's body as came; that it broke off is not the error to tell of.
pub(super) async fn start(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(MAX_ERROR - body.len())]);
        if body.len() >= MAX_ERROR {
            break;
        }
    }
    body
}

/// The words of an error's body: the specification's `errors`, or what token servers write
/// instead. Anything else is repeated only as plain text: a page, or some other service's JSON,
/// helps nobody, and whoever writes an image must not read other services through us.
pub(super) fn words(body: &str, plain_text: bool) -> String {
    let Ok(json) = serde_json::from_str::<serde_json::Value>(body) else {
        return if plain_text { clean(body) } else { String::new() };
    };
    let text = |value: &serde_json::Value, key: &str| {
        value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    if let Some(errors) = json.get("errors").and_then(serde_json::Value::as_array) {
        let told: Vec<String> = errors
            .iter()
            .take(3)
            .map(|error| [text(error, "code"), text(error, "message"), text(error, "detail")])
            .map(|parts| parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": "))
            .collect();
        return clean(&told.join("; "));
    }
    ["details", "error_description", "error"]
        .map(|key| text(&json, key))
        .into_iter()
        .find(|text| !text.is_empty())
        .map_or_else(String::new, |text| clean(&text))
}

/// `Retry-After` in seconds or as a date ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)).
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        // A date in the past: now.
        Duration::try_from(date.duration_since(now)).unwrap_or_default()
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn repeats_what_a_registry_says_and_no_other_service() {
        let envelope =
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"1"}}]}"#;
        assert_eq!(words(envelope, false), "MANIFEST_UNKNOWN: manifest unknown");
        let limit = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"limit","detail":"slow down"}]}"#;
        assert_eq!(words(limit, false), "TOOMANYREQUESTS: limit: slow down");
        assert_eq!(
            words(r#"{"details":"incorrect username or password"}"#, false),
            "incorrect username or password"
        );
        assert_eq!(words("404 page not found\n", true), "404 page not found");
        assert_eq!(words("<html>Sign in</html>", false), "");
        assert_eq!(words(r#"{"kind":"Status","message":"secret"}"#, true), "");
        assert_eq!(words(r#"{"errors":[{"code":1}]}"#, false), "");
        assert_eq!(words("[]", true), "");
    }

    #[test]
    fn reads_retry_after() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(read("120"), Some(Duration::from_mins(2)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("99999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(read("later"), None);
        assert_eq!(read("-1"), None);
    }
}
