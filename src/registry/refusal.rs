//! Reads a refusal: its text, and when to ask again.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::transport::clean;

/// How much of an error's body is read, in bytes.
const MAX_ERROR: usize = 64 << 10;
/// The longest repeated text of a server that the registry redirects to, in characters.
const MAX_OTHERS_WORDS: usize = 100;
/// The longest pause. A registry that wants a longer one is asked once a day.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Reads an error's body, as far as it arrives. A broken connection is not the error to report.
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

/// The author of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// The registry that the image names.
    Registry,
    /// A server that the registry redirects to: a token server, a storage, or anything else.
    Other,
}

/// Returns the text of an error's body: the specification's `errors`, or the form of token servers. Another
/// text is only repeated if it is the registry's own plain text. A web page or the JSON of another service
/// helps nobody, and the author of an image reference must not read other services through the operator. From
/// a server that the registry redirects to, only texts in the form of registries and Docker's token servers
/// are repeated, and only their beginning.
pub(super) fn words(body: &str, plain_text: bool, speaker: Speaker) -> String {
    let own = speaker == Speaker::Registry;
    let Ok(json) = serde_json::from_str::<serde_json::Value>(body) else {
        return if plain_text && own { clean(body) } else { String::new() };
    };
    let text = |value: &serde_json::Value, key: &str| {
        value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let told = if let Some(errors) = json.get("errors").and_then(serde_json::Value::as_array) {
        errors
            .iter()
            .filter(|error| own || is_code(&text(error, "code")))
            .take(3)
            .map(|error| {
                let detail = if own { text(error, "detail") } else { String::new() };
                [text(error, "code"), text(error, "message"), detail]
            })
            .map(|parts| parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": "))
            .collect::<Vec<_>>()
            .join("; ")
    } else {
        let keys: &[&str] = if own { &["details", "error_description", "error"] } else { &["details"] };
        keys.iter().map(|key| text(&json, key)).find(|text| !text.is_empty()).unwrap_or_default()
    };
    let told = clean(&told);
    match told.char_indices().nth(MAX_OTHERS_WORDS) {
        Some((end, _)) if !own => format!("{}...", &told[..end]),
        _ => told,
    }
}

/// Whether the text is a code of the [specification]. Services with `errors` of another kind are no
/// registries.
///
/// [specification]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

/// Reads `Retry-After` in seconds or as a date ([RFC
/// 9110](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)).
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        // A date in the past means now.
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
        assert_eq!(words(envelope, false, Speaker::Registry), "MANIFEST_UNKNOWN: manifest unknown");
        let limit = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"limit","detail":"slow down"}]}"#;
        assert_eq!(words(limit, false, Speaker::Registry), "TOOMANYREQUESTS: limit: slow down");
        assert_eq!(
            words(r#"{"details":"incorrect username or password"}"#, false, Speaker::Registry),
            "incorrect username or password"
        );
        assert_eq!(words("404 page not found\n", true, Speaker::Registry), "404 page not found");
        assert_eq!(words("<html>Sign in</html>", false, Speaker::Registry), "");
        assert_eq!(words(r#"{"kind":"Status","message":"secret"}"#, true, Speaker::Registry), "");
        assert_eq!(words(r#"{"errors":[{"code":1}]}"#, false, Speaker::Registry), "");
        assert_eq!(words("[]", true, Speaker::Registry), "");
    }

    #[test]
    fn repeats_little_of_whom_the_registry_sends_us_to() {
        let words = |body: &str| words(body, true, Speaker::Other);
        let envelope =
            r#"{"errors":[{"code":"DENIED","message":"no access","detail":"to what is in here"}]}"#;
        assert_eq!(words(envelope), "DENIED: no access");
        assert_eq!(
            words(r#"{"details":"incorrect username or password"}"#),
            "incorrect username or password"
        );
        for foreign in [
            "root:x:0:0",
            r#""text""#,
            r#"{"error":"x","error_description":"y"}"#,
            r#"{"message":"x"}"#,
            r#"{"errors":[{"message":"x"}]}"#,
            r#"{"errors":[{"code":"graph.x","message":"x"}]}"#,
            r#"{"errors":["x"],"details":"x"}"#,
            r#"{"details":{"x":"y"}}"#,
        ] {
            assert_eq!(words(foreign), "", "{foreign}");
        }
        let long = format!(r#"{{"details":"{}"}}"#, "ü".repeat(1000));
        assert_eq!(words(&long).chars().count(), MAX_OTHERS_WORDS + 3);
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
