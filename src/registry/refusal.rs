//! What a refusal says: its words, and when to ask again.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::transport::clean;

/// What is read of an error's body, in bytes.
const MAX_ERROR: usize = 64 << 10;
/// The most that is repeated of whom the registry sends us to, in characters.
const MAX_OTHERS_WORDS: usize = 100;
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

/// Who wrote an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// The registry that the image names.
    Registry,
    /// Whoever it sent us to: a token server, a storage, or anything else that it likes to name.
    Other,
}

/// The words of an error's body: the specification's `errors`, or what token servers write
/// instead. Anything else is repeated only as the registry's own plain text: a page, or some other
/// service's JSON, helps nobody, and whoever writes an image must not read other services through
/// us. Of whom the registry sends us to, only what has the form of registries and Docker's token
/// servers, and little of it.
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

/// As the [specification] has them: services with `errors` of another kind are no registries.
///
/// [specification]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
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
