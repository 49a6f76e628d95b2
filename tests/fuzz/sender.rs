//! Sends cases to the API server, and removes what it stored.

use std::collections::VecDeque;

use http::{Method, Request};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use longshore::{api::ANNOTATION_CANCEL, operator::pod::names::run_id};
use serde_json::{Value, json};

use super::{
    answers::Counts,
    cases::{By, Case, Change},
    kinds::Kind,
    places::{AUTHOR, Places},
    specs,
};
use crate::support::random::Random;

/// An object that was stored, and has to go again.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Stored {
    fn path(&self) -> String {
        format!("{}/{}", self.kind.path(&self.namespace), self.name)
    }
}

/// One of those that send at the same time.
pub(crate) struct Sender<'a> {
    client: Client,
    places: &'a Places,
    /// Its resources that are there.
    live: VecDeque<Stored>,
    counts: Counts,
}

/// How many objects of one sender live at once.
const MOST_LIVE: usize = 12;
/// So much of what was sent is told where the answer is a fault, in characters.
const MOST_TOLD: usize = 4000;
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

/// A request about a case.
struct Call<'a> {
    verb: &'static str,
    method: Method,
    path: &'a str,
    content_type: &'a str,
    body: Vec<u8>,
    as_author: bool,
}

impl<'a> Call<'a> {
    fn merge(verb: &'static str, path: &'a str, change: &Value) -> Self {
        let body = change.to_string().into_bytes();
        Self { verb, method: Method::PATCH, path, content_type: MERGE, body, as_author: false }
    }
}

impl<'a> Sender<'a> {
    pub(crate) fn new(client: Client, places: &'a Places) -> Self {
        Self { client, places, live: VecDeque::new(), counts: Counts::default() }
    }

    /// What it was answered, and what is left of what it sent.
    pub(crate) fn done(self) -> (Counts, VecDeque<Stored>) {
        (self.counts, self.live)
    }

    pub(crate) async fn play(&mut self, seed: u64, number: u64) {
        let case = Case::of(seed, number, &self.places.prefix);
        let kind = case.kind;
        let Some(created) = self.create(&case).await else { return };
        let text = |field: &str| created["metadata"][field].as_str().unwrap_or_default().to_owned();
        let stored = Stored { kind, namespace: text("namespace"), name: text("name") };
        let random = &mut Random::of(!seed, number);
        self.live.push_back(stored.clone());
        for change in case.changes {
            // At any moment of what the operator does.
            tokio::time::sleep(std::time::Duration::from_millis(*random.pick(&[0, 0, 20, 100]))).await;
            self.change(&stored, &created, change, random, number).await;
        }
        if self.live.len() > MOST_LIVE
            && let Some(oldest) = self.live.pop_front()
        {
            self.delete(&oldest, number).await;
        }
    }

    /// The object where it was stored. What has the name of one that is there changes that.
    async fn create(&mut self, case: &Case) -> Option<Value> {
        let (kind, number) = (case.kind, case.number);
        let dry = case.by != By::Stored;
        let query = format!("?fieldValidation={}{}", case.validation, if dry { "&dryRun=All" } else { "" });
        let path = kind.path(self.places.of(case.place)) + &query;
        let (mut code, mut object) = self
            .send(
                kind,
                number,
                Call {
                    verb: if dry { "create, dry run" } else { "create" },
                    method: Method::POST,
                    path: &path,
                    content_type: case.content_type,
                    body: case.body.clone(),
                    as_author: case.by == By::Author,
                },
            )
            .await;
        let named: Value = serde_json::from_slice(&case.body).unwrap_or_default();
        if code == 409
            && kind != Kind::Action
            && let Some(name) = named["metadata"]["name"].as_str()
        {
            let path = format!("{}/{name}{query}", kind.path(self.places.of(case.place)));
            let call = Call::merge("patch of what is there", &path, &named);
            (code, object) = self.send(kind, number, Call { as_author: case.by == By::Author, ..call }).await;
        }
        let accepted = code < 300;
        let tally = self.counts.tally(kind);
        tally.sent += 1;
        tally.dry += u64::from(dry);
        tally.accepted += u64::from(accepted);
        tally.refused += u64::from(!accepted);
        (accepted && !dry).then_some(object)
    }

    async fn change(
        &mut self,
        stored: &Stored,
        created: &Value,
        what: Change,
        random: &mut Random,
        number: u64,
    ) {
        let kind = stored.kind;
        let path = stored.path();
        let uid = created["metadata"]["uid"].as_str().unwrap_or_default();
        match what {
            Change::Merge(change) => {
                self.send(kind, number, Call::merge("patch", &path, &change)).await;
            }
            Change::Status(change) => {
                self.counts.forged.insert(format!("{}/{}", stored.namespace, stored.name));
                let path = format!("{path}/status");
                self.send(kind, number, Call::merge("patch of status", &path, &change)).await;
            }
            Change::Pod => {
                let path = format!("/api/v1/namespaces/{}/pods", stored.namespace);
                let body = specs::pod(random, number, &stored.name, uid).to_string().into_bytes();
                let (verb, method) = ("create pod", Method::POST);
                let call = Call { verb, method, path: &path, content_type: JSON, body, as_author: false };
                self.send(kind, number, call).await;
            }
            Change::Cancel => {
                let change = json!({"metadata": {"annotations": {ANNOTATION_CANCEL: run_id(uid, 1)}}});
                self.send(kind, number, Call::merge("patch", &path, &change)).await;
            }
            Change::Template(change) => {
                if let Some(template) = self.template(stored, created) {
                    match change {
                        Some(change) => {
                            let path = template.path();
                            let call = Call::merge("patch of a template", &path, &change);
                            self.send(template.kind, number, call).await;
                        }
                        None => self.delete(&template, number).await,
                    }
                }
            }
            Change::Delete => self.delete(stored, number).await,
        }
    }

    /// The template that an action names, where it is one of the cases'.
    fn template(&self, stored: &Stored, created: &Value) -> Option<Stored> {
        let reference = &created["spec"]["templateRef"];
        let name = reference["name"].as_str()?.to_owned();
        let namespace = stored.namespace.clone();
        match reference["kind"].as_str() {
            Some("ClusterDeploymentActionTemplate") => name
                .starts_with(&self.places.prefix)
                .then_some(Stored { kind: Kind::ClusterTemplate, namespace, name }),
            _ => Some(Stored { kind: Kind::Template, namespace, name }),
        }
    }

    async fn delete(&mut self, stored: &Stored, number: u64) {
        let path = stored.path();
        let (verb, method) = ("delete", Method::DELETE);
        let call = Call { verb, method, path: &path, content_type: JSON, body: Vec::new(), as_author: false };
        let (code, left) = self.send(stored.kind, number, call).await;
        // Finalizers of a case's own would hold it.
        if code < 300 && left["metadata"]["finalizers"].is_array() {
            let free = json!({"metadata": {"finalizers": null}});
            self.send(stored.kind, number, Call::merge("release", &path, &free)).await;
        }
    }

    /// Removes what is left.
    pub(crate) async fn clear(&mut self, left: impl IntoIterator<Item = Stored>) {
        for stored in left {
            self.delete(&stored, 0).await;
        }
    }

    async fn send(&mut self, kind: Kind, number: u64, call: Call<'_>) -> (u16, Value) {
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header("content-type", call.content_type)
            .header("accept", JSON);
        if call.as_author {
            request = request.header("impersonate-user", AUTHOR);
        }
        let sent = call.body.clone();
        let request = request.body(Body::from(call.body)).expect("a request");
        let response = self.client.send(request).await.expect("the API server answers");
        let code = response.status().as_u16();
        let answer = response.into_body().collect().await.expect("a whole answer").to_bytes();
        let about = || {
            let sent: String = String::from_utf8_lossy(&sent).chars().take(MOST_TOLD).collect();
            format!("case {number}, {} {sent}", call.path)
        };
        self.counts.answered((kind, call.verb, about), code, &answer);
        (code, if code < 300 { serde_json::from_slice(&answer).unwrap_or_default() } else { Value::Null })
    }
}
