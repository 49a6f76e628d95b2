//! What a caller asks for: the path and the query, checked.

use axum::http::{Method, StatusCode};
use k8s_openapi::jiff::Timestamp;

use super::refusal::Refusal;
use crate::{
    api::{LOG_GROUP, LOG_VERSION},
    reading::{Format, Selection, Shape},
    record::quoted,
};

/// The most lines that `tailLines` may ask for. The server notes 8 bytes for each.
const MAX_TAIL_LINES: u64 = 50_000;
/// The longest path and query together, in bytes.
const MAX_LENGTH: usize = 4096;
/// The longest name of an object, in bytes.
const MAX_NAME: usize = 253;
/// The longest name of a namespace, in bytes.
const MAX_NAMESPACE: usize = 63;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// `/apis`
    Groups,
    /// `/apis/log.longshore.dev`
    Group,
    /// `/apis/log.longshore.dev/v1alpha1`
    Resources,
    /// `/openapi/v2`
    OpenApiV2,
    /// `/openapi/v3`
    OpenApiV3,
    /// The log of an action.
    Log(LogRequest),
}

/// A log that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogRequest {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The latest run if it is not given.
    pub(super) run: Option<u32>,
    /// The last attempt of the run if it is not given.
    pub(super) attempt: Option<u32>,
    pub(super) follow: bool,
    pub(super) shape: Shape,
    pub(super) selection: Selection,
}

impl Asked {
    /// Reads a request. Nothing in a path is decoded: no name of an object has a character that must be encoded.
    pub(super) fn read(method: &Method, path: &str, query: &str) -> Result<Self, Refusal> {
        let only_get = || {
            let words = format!("{method} is not possible here: logs can only be read, with GET");
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, words)
        };
        if path.len() + query.len() > MAX_LENGTH {
            return Err(Refusal::bad(format!("the request is longer than {MAX_LENGTH} bytes")));
        }
        let parts: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let asked = match parts[..] {
            ["apis"] => Self::Groups,
            ["apis", LOG_GROUP] => Self::Group,
            ["apis", LOG_GROUP, LOG_VERSION] => Self::Resources,
            ["openapi", "v2"] => Self::OpenApiV2,
            ["openapi", "v3"] => Self::OpenApiV3,
            ["apis", LOG_GROUP, LOG_VERSION, "namespaces", namespace, "deploymentactions", name, "log"] => {
                if *method != Method::GET {
                    return Err(only_get());
                }
                return LogRequest::read(namespace, name, query).map(Self::Log);
            }
            _ => return Err(Refusal::not_found("the server could not find the requested resource")),
        };
        if *method == Method::GET { Ok(asked) } else { Err(only_get()) }
    }
}

impl LogRequest {
    fn read(namespace: &str, name: &str, query: &str) -> Result<Self, Refusal> {
        if !is_label(namespace) || namespace.len() > MAX_NAMESPACE {
            return Err(Refusal::bad(format!("{} is not the name of a namespace", quoted(namespace))));
        }
        if !name.split('.').all(is_label) || name.len() > MAX_NAME {
            return Err(Refusal::bad(format!("{} is not the name of a DeploymentAction", quoted(name))));
        }
        let mut request = Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            run: None,
            attempt: None,
            follow: false,
            shape: Shape::default(),
            selection: Selection::default(),
        };
        let mut seen = Vec::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if seen.contains(&key) {
                return Err(Refusal::bad(format!("{key} is given twice")));
            }
            match &*key {
                "run" => request.run = Some(number(&key, &value, 1, u32::MAX.into())?),
                "attempt" => request.attempt = Some(number(&key, &value, 1, u32::MAX.into())?),
                "tailLines" => {
                    request.selection.tail_lines = Some(number(&key, &value, 0, MAX_TAIL_LINES)?);
                }
                "sinceTime" => {
                    let time: Result<Timestamp, _> = value.parse();
                    request.selection.since = Some(time.map_err(|_| {
                        let words = "write a time as RFC 3339 does, for example 2026-01-31T10:42:00Z";
                        Refusal::bad(format!("sinceTime is {}: {words}", quoted(&value)))
                    })?);
                }
                "follow" => request.follow = flag(&key, &value)?,
                "timestamps" => request.shape.timestamps = flag(&key, &value)?,
                "format" => {
                    request.shape.format = match &*value {
                        "text" => Format::Text,
                        "jsonl" => Format::JsonLines,
                        _ => {
                            return Err(Refusal::bad(format!(
                                "format is {}: write text or jsonl",
                                quoted(&value)
                            )));
                        }
                    };
                }
                _ => {
                    return Err(Refusal::bad(format!(
                        "{} is no parameter of a log: there are run, attempt, tailLines, sinceTime, follow, \
                         timestamps and format",
                        quoted(&key)
                    )));
                }
            }
            seen.push(key);
        }
        Ok(request)
    }
}

/// Whether the text is a DNS-1123 label, of any length.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn number<N: TryFrom<u64>>(key: &str, value: &str, least: u64, most: u64) -> Result<N, Refusal> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value.parse::<u64>().ok().filter(|number| digits && (least..=most).contains(number));
    number.and_then(|number| N::try_from(number).ok()).ok_or_else(|| {
        Refusal::bad(format!("{key} is {}: write a number from {least} to {most}", quoted(value)))
    })
}

fn flag(key: &str, value: &str) -> Result<bool, Refusal> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Refusal::bad(format!("{key} is {}: write true or false", quoted(value)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "/apis/log.longshore.dev/v1alpha1/namespaces/shop/deploymentactions/deploy/log";

    fn read(path: &str, query: &str) -> Result<Asked, Refusal> {
        Asked::read(&Method::GET, path, query)
    }

    #[test]
    fn a_request_says_which_log_and_how() {
        let Asked::Log(plain) = read(BASE, "").unwrap() else { panic!() };
        assert_eq!((plain.namespace.as_str(), plain.name.as_str()), ("shop", "deploy"));
        assert_eq!((plain.run, plain.attempt, plain.follow), (None, None, false));
        let query = "run=3&attempt=2&tailLines=0&sinceTime=2026-01-31T10%3A42%3A00%2B01%3A00&follow=true&timestamps=1&format=jsonl";
        let Asked::Log(all) = read(BASE, query).unwrap() else { panic!() };
        assert_eq!((all.run, all.attempt, all.follow), (Some(3), Some(2), true));
        assert_eq!(all.shape, Shape { format: Format::JsonLines, timestamps: true, ..Shape::default() });
        let since = Some("2026-01-31T09:42:00Z".parse().unwrap());
        assert_eq!(all.selection, Selection { tail_lines: Some(0), since });
    }

    #[test]
    fn what_discovery_asks_for_is_known() {
        for (path, asked) in [
            ("/apis", Asked::Groups),
            ("/apis/log.longshore.dev", Asked::Group),
            ("/apis/log.longshore.dev/v1alpha1", Asked::Resources),
            ("/openapi/v2", Asked::OpenApiV2),
            ("/openapi/v3", Asked::OpenApiV3),
        ] {
            assert_eq!(read(path, "timeout=32s"), Ok(asked), "{path}");
        }
    }

    #[test]
    fn a_path_that_names_no_log_is_refused() {
        let at = |namespace: &str, name: &str| {
            let path = format!(
                "/apis/log.longshore.dev/v1alpha1/namespaces/{namespace}/deploymentactions/{name}/log"
            );
            read(&path, "").unwrap_err().code.as_u16()
        };
        for name in ["", "..", ".", "%2e%2e", "%2e", "a%2fb", "A", "a_b", "-a", "a.", "a b", "a\0", "ä"] {
            assert_eq!(at("shop", name), 400, "{name}");
            assert_eq!(at(name, "deploy"), 400, "{name}");
        }
        assert_eq!(at("a.b", "deploy"), 400);
        assert_eq!(at(&"a".repeat(64), "deploy"), 400);
        assert_eq!(at("shop", &"a".repeat(254)), 400);
        // A slash in a name makes another path.
        for path in [
            "/",
            "",
            "//apis",
            "/apis/",
            "/apis/longshore.dev/v1alpha1",
            "/apis/log.longshore.dev/v1",
            "/apis/log.longshore.dev/v1alpha1/namespaces/shop/deploymentactions/a/b/log",
            "/apis/log.longshore.dev/v1alpha1/namespaces/shop/deploymentactions/../../../log",
            "/apis/log.longshore.dev/v1alpha1/namespaces/shop/deploymentactions",
            "/apis/log.longshore.dev/v1alpha1/namespaces/shop/deploymentactions/deploy/log/",
            "/metrics",
        ] {
            assert_eq!(read(path, "").unwrap_err().code.as_u16(), 404, "{path}");
        }
        let long = format!("{BASE}{}", "/a".repeat(4096));
        assert_eq!(read(&long, "").unwrap_err().code.as_u16(), 400);
    }

    #[test]
    fn a_query_that_cannot_be_meant_is_refused() {
        for (query, words) in [
            ("run=0", "run is \"0\""),
            ("run=-1", "run"),
            ("run=+1", "run"),
            ("run=4294967296", "4294967295"),
            ("run=", "run"),
            ("attempt=0", "attempt"),
            ("tailLines=50001", "50000"),
            ("tailLines=-1", "tailLines"),
            ("sinceTime=yesterday", "RFC 3339"),
            ("sinceTime=2026-01-31T10:42:00", "RFC 3339"),
            ("follow=yes", "true or false"),
            ("timestamps=", "true or false"),
            ("format=xml", "text or jsonl"),
            ("format=Text", "text or jsonl"),
            ("run=1&run=1", "twice"),
            ("container=action", "container"),
        ] {
            let refusal = read(BASE, query).unwrap_err();
            assert!(refusal.code == 400 && refusal.message.contains(words), "{query}: {}", refusal.message);
        }
    }

    #[test]
    fn nothing_but_reading_is_possible() {
        for method in [Method::POST, Method::DELETE, Method::PUT, Method::PATCH, Method::HEAD] {
            for path in [BASE, "/apis"] {
                assert_eq!(Asked::read(&method, path, "").unwrap_err().code.as_u16(), 405, "{method} {path}");
            }
        }
    }
}
