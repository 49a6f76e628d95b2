//! The page as a browser meets it, behind its guard.

use axum::{Router, body::Body, response::Response};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use regex::Regex;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{
    api::DeploymentAction,
    operator::testing::server::{Seen, failure, server},
};

const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}\r\n\u{1b}[2J";

fn hostile_action() -> Value {
    let past = |number: u32| {
        json!({"number": number, "id": "x", "attempts": 1, "outcome": "Failed", "reason": HOSTILE, "trigger": "Created",
            "image": HOSTILE, "requestedBy": {"user": HOSTILE, "claimedOnBehalfOf": HOSTILE},
            "packages": [{"name": HOSTILE, "resolved": HOSTILE}]})
    };
    json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
        "metadata": {"name": "deploy", "namespace": "shop", "uid": "u-1",
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"a": HOSTILE}},
        "spec": {"image": HOSTILE, "templateRef": {"name": HOSTILE}, "lock": {"name": HOSTILE}},
        "status": {"observedGeneration": 1, "phase": "Failed",
            "image": {"requested": HOSTILE, "resolved": HOSTILE, "running": "<b>"},
            "packages": [{"name": HOSTILE, "requested": HOSTILE, "resolved": HOSTILE}],
            "outputs": {HOSTILE: HOSTILE},
            "outputsSecretRef": {"name": HOSTILE, "uid": "x", "keys": [HOSTILE]},
            "log": {"state": "Complete", "lines": 1, "bytes": 1, "tail": HOSTILE},
            "history": [past(3), past(2)],
            "run": {"number": 3, "id": HOSTILE, "generation": 1, "attempt": 2, "trigger": "Created",
                "specHash": "", "podName": HOSTILE, "podUID": HOSTILE, "nodeName": HOSTILE,
                "requestedAt": "2026-01-01T00:00:00Z", "startedAt": "2026-01-01T00:00:02Z",
                "requestedBy": {"user": HOSTILE}, "lock": {"name": HOSTILE, "ticket": "1"},
                "attempts": [{"attempt": 1, "reason": HOSTILE, "podName": HOSTILE, "nodeName": HOSTILE}]},
            "conditions": [{"type": "Ready", "status": "False", "reason": HOSTILE, "message": HOSTILE,
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
}

fn hostile_template() -> Value {
    json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentActionTemplate",
        "metadata": {"name": "release", "namespace": "shop", "uid": "t-1", "generation": 1},
        "spec": {"image": "registry.example.com/tools:1", "script": {"inline": HOSTILE},
            "parameters": [
                {"name": "STAGE", "required": true, "description": HOSTILE, "enum": [HOSTILE, "test"]},
                {"name": "COUNT", "type": "Integer", "minimum": 1, "maximum": 9, "default": 2},
                {"name": "ON", "type": "Boolean"},
                {"name": "TEXT", "pattern": "^<a>", "maxLength": 5},
                {"name": "TOKEN", "type": "Secret", "description": HOSTILE}],
            "packages": [{"name": "orders", "repository": "registry.example.com/orders", "versions": ">=1.4 <2"}]}})
}

/// The API server that the page reads from.
fn cluster(request: &Seen) -> (u16, Value) {
    let path = request.path.as_str();
    if request.method == "PATCH" || path.ends_with("/deploymentactions/deploy") {
        return (200, hostile_action());
    }
    if request.method == "POST" {
        let mut made = hostile_action();
        made["metadata"]["name"] = "release-x".into();
        return (201, made);
    }
    if path.ends_with("/deploymentactiontemplates/release") {
        return (200, hostile_template());
    }
    let list = |kind: &str, items: Vec<Value>| {
        (200, json!({"apiVersion": "v1", "kind": kind, "metadata": {}, "items": items}))
    };
    match path.rsplit('/').next() {
        Some("deploymentactiontemplates") => list("DeploymentActionTemplateList", vec![hostile_template()]),
        Some("clusterdeploymentactiontemplates") => failure(
            403,
            "Forbidden",
            r#"x is forbidden: User "<b>" cannot list resource "clusterdeploymentactiontemplates" in API group "longshore.dev" at the cluster scope"#,
        ),
        Some("events") => list(
            "EventList",
            vec![json!({"metadata": {}, "involvedObject": {"name": HOSTILE}, "reason": HOSTILE,
                "message": HOSTILE, "type": HOSTILE, "lastTimestamp": "2026-01-01T00:00:01Z", "count": 2})],
        ),
        Some("leases") => list("LeaseList", Vec::new()),
        _ => {
            let (code, mut status) = failure(404, "NotFound", HOSTILE);
            status["details"] = json!({"name": HOSTILE});
            (code, status)
        }
    }
}

struct Page {
    router: Router,
    app: Arc<App>,
    seen: Arc<std::sync::Mutex<Vec<Seen>>>,
    cookie: String,
}

const PORT: u16 = 4000;
const HOST: &str = "127.0.0.1:4000";

impl Page {
    async fn new(write: bool) -> Self {
        let (client, seen) = server(cluster);
        let session = Session { client, namespace: "shop".into(), server: HOSTILE.into() };
        let action: DeploymentAction = serde_json::from_value(hostile_action()).unwrap();
        let watched = Watched::of([action]);
        let app = Arc::new(App { session, watched, guard: Guard::new(PORT).unwrap(), write });
        let mut page = Self { router: server::router(Arc::clone(&app)), app, seen, cookie: String::new() };
        let address = page.app.guard.address();
        let entered = page.get(address.strip_prefix("http://127.0.0.1:4000").unwrap()).await;
        assert_eq!(entered.status(), StatusCode::SEE_OTHER);
        assert_eq!(entered.headers()["location"], "/");
        let cookie = entered.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().clone_into(&mut page.cookie);
        page
    }

    async fn get(&self, path: &str) -> Response {
        let request = Request::get(path).header("host", HOST).header("cookie", &self.cookie);
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn text(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        text(answer).await
    }

    /// Sends a form, with this at the place of the proof that it came from the page.
    async fn post(&self, path: &str, csrf: &str, fields: &[(&str, &str)]) -> Response {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("csrf", csrf).extend_pairs(fields);
        let request = Request::post(path)
            .header("host", HOST)
            .header("cookie", &self.cookie)
            .header("origin", format!("http://{HOST}"))
            .body(Body::from(form.finish()));
        self.router.clone().oneshot(request.unwrap()).await.unwrap()
    }

    fn writes(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.method != "GET").cloned().collect()
    }
}

async fn text(answer: Response) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

const PAGES: [&str; 10] = [
    "/",
    "/?text=%3Cscript%3Ealert(1)&labels=%22%3Cb%3E&namespace=%3Cb%3E",
    "/actions/shop/deploy",
    "/actions/shop/deploy?run=2&attempt=1&done=rerun",
    "/actions/shop/deploy/compare?one=3&other=2",
    "/actions/shop/deploy/rerun",
    "/locks",
    "/templates",
    "/templates/of/shop/release",
    "/actions/shop/other",
];

#[tokio::test]
async fn nothing_of_the_cluster_is_ever_markup() {
    let page = Page::new(true).await;
    let value = Regex::new(" value=\"[^\"]*\"").unwrap();
    for path in PAGES {
        let text = text(page.get(path).await).await;
        assert!(text.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{path}: {text}");
        // A field's value is sent as it is shown, so it stays as it was.
        let text = value.replace_all(&text, "");
        for forbidden in
            ["<script>", "<b>\"", "alert(1)</script", "\u{202e}", "\u{1b}", " onclick", " style="]
        {
            assert!(!text.contains(forbidden), "{path} has {forbidden}: {text}");
        }
        let scripts = text.matches("<script").count();
        assert_eq!(scripts, 1, "{path} has a script beside its own: {text}");
    }
    let text = page.text("/actions/shop/deploy").await;
    assert!(text.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count() > 20, "{text}");
}

#[tokio::test]
async fn each_answer_has_the_headers_that_protect_it() {
    let page = Page::new(false).await;
    let mut answers = vec![page.get("/none").await, page.get("/assets/page.js").await];
    answers.push(page.post("/locks", "wrong", &[]).await);
    let without = Request::get("/").header("host", HOST).body(Body::empty()).unwrap();
    answers.push(page.router.clone().oneshot(without).await.unwrap());
    let elsewhere = Request::get("/").header("host", "evil.example").body(Body::empty()).unwrap();
    answers.push(page.router.clone().oneshot(elsewhere).await.unwrap());
    for path in PAGES {
        answers.push(page.get(path).await);
    }
    for answer in answers {
        let headers = answer.headers();
        assert_eq!(
            headers["content-security-policy"],
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(headers[name], value);
        }
    }
}

#[tokio::test]
async fn no_path_is_open_to_a_browser_that_was_not_let_in() {
    let page = Page::new(true).await;
    let others =
        ["/events", "/actions/shop/deploy/events", "/actions/shop/deploy/log", "/assets/page.css", "/x"];
    for path in PAGES.into_iter().chain(others) {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS]
        {
            let request = Request::builder().method(&method).uri(path).header("host", HOST);
            let request = request.header("origin", format!("http://{HOST}")).body(Body::empty()).unwrap();
            let answer = page.router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 401, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_page_that_is_read_only_writes_nothing() {
    let page = Page::new(false).await;
    assert!(!page.text("/actions/shop/deploy").await.contains("/rerun\""));
    let csrf = page.app.guard.csrf().to_owned();
    for path in [
        "/actions/shop/deploy/rerun",
        "/actions/shop/deploy/suspend",
        "/actions/shop/deploy/cancel",
        "/templates/of/shop/release/apply",
        "/templates/cluster/release/apply",
    ] {
        let answer = page.post(path, &csrf, &[("run", "3"), ("namespace", "shop")]).await;
        assert_eq!(answer.status(), 403, "{path}");
        assert!(text(answer).await.contains("kubectl longshore ui --write"));
    }
    assert!(page.writes().is_empty(), "{:?}", page.writes());
}

#[tokio::test]
async fn a_form_that_did_not_come_from_the_page_writes_nothing() {
    let page = Page::new(true).await;
    for csrf in ["", "0", &page.app.guard.csrf()[1..]] {
        assert_eq!(page.post("/actions/shop/deploy/suspend", csrf, &[]).await.status(), 403);
    }
    assert!(page.writes().is_empty(), "{:?}", page.writes());
}

#[tokio::test]
async fn what_is_confirmed_is_written_once() {
    let page = Page::new(true).await;
    let question = page.text("/actions/shop/deploy/cancel").await;
    let csrf = page.app.guard.csrf().to_owned();
    assert!(question.contains(&format!("name=\"csrf\" value=\"{csrf}\"")), "{question}");
    assert!(question.contains("name=\"run\" value=\"3\""), "{question}");
    assert!(page.writes().is_empty(), "a question writes nothing");
    let answer = page.post("/actions/shop/deploy/cancel", &csrf, &[("run", "3")]).await;
    assert_eq!(answer.headers()["location"], "/actions/shop/deploy?done=cancel");
    let other = page.post("/actions/shop/deploy/cancel", &csrf, &[("run", "2")]).await;
    assert!(text(other).await.contains("run 3 of deploy is under way, and not run 2"));
    let answer = page.post("/actions/shop/deploy/rerun", &csrf, &[("token", "again")]).await;
    assert_eq!(answer.headers()["location"], "/actions/shop/deploy?done=rerun");
    let writes = page.writes();
    let annotations: Vec<&Value> = writes.iter().map(|seen| &seen.body["metadata"]["annotations"]).collect();
    assert_eq!(
        annotations,
        [&json!({"longshore.dev/cancel": HOSTILE}), &json!({"longshore.dev/rerun": "again"})]
    );
}

#[tokio::test]
async fn a_template_s_form_shows_all_mistakes_and_then_the_action() {
    let page = Page::new(true).await;
    let csrf = page.app.guard.csrf().to_owned();
    let form = page.text("/templates/of/shop/release").await;
    for field in ["p.STAGE", "p.COUNT", "p.ON", "p.TEXT", "s.TOKEN", "y.TOKEN", "k.orders"] {
        assert!(form.contains(&format!("name=\"{field}\"")), "{field}: {form}");
    }
    assert!(form.contains("type=\"number\"") && form.contains("min=\"1\" max=\"9\""), "{form}");
    let path = "/templates/of/shop/release/preview";
    let wrong = page.post(path, &csrf, &[("namespace", "shop"), ("p.COUNT", "10")]).await;
    let wrong = text(wrong).await;
    assert!(wrong.contains("parameter STAGE is required") && wrong.contains("COUNT"), "{wrong}");
    let odd = page.post(path, &csrf, &[("namespace", "../kube-system")]).await;
    assert!(text(odd).await.contains("no namespace has the name"));
    let right = [("namespace", "shop"), ("p.STAGE", "test"), ("p.TEXT", "<a>"), ("k.orders", "1.5.0")];
    let shown = text(page.post(path, &csrf, &right).await).await;
    assert!(shown.contains("generateName: release-") && shown.contains("&lt;a&gt;"), "{shown}");
    assert!(
        shown.contains("name=\"p.TEXT\" value=\"&lt;a&gt;\""),
        "what is applied is what was shown: {shown}"
    );
    assert!(page.writes().is_empty());
    let applied = page.post("/templates/of/shop/release/apply", &csrf, &right).await;
    assert_eq!(applied.headers()["location"], "/actions/shop/release-x");
    let writes = page.writes();
    assert_eq!((writes.len(), &writes[0].body["spec"]["templateRef"]), (1, &json!({"name": "release"})));
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_not_asked_for() {
    let page = Page::new(true).await;
    let before = page.seen.lock().unwrap().len();
    for path in ["/actions/shop/..%2F..%2Fsecrets", "/actions/..%2Fx/deploy", "/templates/cluster/a%3Fb"] {
        assert_eq!(page.get(path).await.status(), 404, "{path}");
    }
    assert_eq!(page.seen.lock().unwrap().len(), before);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_as_the_plugin_tells_it() {
    let page = Page::new(false).await;
    let answer = page.get("/actions/shop/deplyo").await;
    assert_eq!(answer.status(), 404);
    assert!(text(answer).await.contains("the namespace shop has no action deplyo"));
    let templates = page.text("/templates").await;
    assert!(templates.contains("may not list clusterdeploymentactiontemplates.longshore.dev"), "{templates}");
    assert!(templates.contains("/templates/of/shop/release"), "what may be read is shown: {templates}");
}

#[tokio::test]
async fn an_open_page_is_told_what_it_missed() {
    let page = Page::new(false).await;
    for (path, missed) in [("/events?since=0", false), ("/events?since=7", true), ("/events", true)] {
        let mut body = page.get(path).await.into_body();
        let first = tokio::time::timeout(std::time::Duration::from_millis(300), body.frame()).await;
        let told = first.ok().flatten().and_then(|frame| frame.unwrap().into_data().ok());
        assert_eq!(told.is_some_and(|data| data.starts_with(b"event: all")), missed, "{path}");
    }
}
