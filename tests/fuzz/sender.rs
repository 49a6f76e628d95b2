//! Sends cases to the API server, counts its answers, and removes what it accepted.

use std::collections::{BTreeMap, HashSet, VecDeque};

use http::{Method, Request};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use serde_json::{Value, json};

use crate::{
    cases::{Case, Change},
    random::Random,
    specs,
};

const ACTIONS: &str = "/apis/longshore.dev/v1alpha1/namespaces";

/// What the API server answered, by verb and HTTP status.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) answers: BTreeMap<(&'static str, u16), u64>,
    /// Answers of 500 and above, as far as they go.
    pub(crate) faults: Vec<String>,
    /// `namespace/name` of actions whose status was written by somebody else than the operator.
    pub(crate) forged: HashSet<String>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        for (key, count) in other.answers {
            *self.answers.entry(key).or_default() += count;
        }
        self.faults.extend(other.faults);
        self.forged.extend(other.forged);
    }

    /// How many answers to `verb` have a status from `from` on, below `to`.
    pub(crate) fn of(&self, verb: &str, from: u16, to: u16) -> u64 {
        let fits = |(of, code): &(&str, u16)| *of == verb && (from..to).contains(code);
        self.answers.iter().filter(|(key, _)| fits(key)).map(|(_, count)| count).sum()
    }
}

/// One of those that send at the same time.
pub(crate) struct Sender<'a> {
    client: Client,
    /// Where no pod can be made.
    quiet: &'a [String],
    /// Where pods can be made.
    open: &'a str,
    /// What lives of its actions: namespace and name.
    live: VecDeque<(String, String)>,
    pub(crate) counts: Counts,
}

/// So many actions of one sender live at once.
const MOST_LIVE: usize = 12;

impl<'a> Sender<'a> {
    pub(crate) fn new(client: Client, quiet: &'a [String], open: &'a str) -> Self {
        Self { client, quiet, open, live: VecDeque::new(), counts: Counts::default() }
    }

    pub(crate) async fn play(&mut self, seed: u64, number: u64) {
        let case = Case::of(seed, number);
        let random = &mut Random::of(!seed, number);
        let namespace = if case.open { self.open } else { random.pick(self.quiet).as_str() };
        let path = format!("{ACTIONS}/{namespace}/deploymentactions?fieldValidation={}", case.validation);
        let answer =
            self.send("create", &Method::POST, &path, case.content_type, case.body, case.number).await;
        let Some(created) = answer else { return };
        let text = |field: &str| created["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (name, uid) = (text("name"), text("uid"));
        self.live.push_back((namespace.to_owned(), name.clone()));
        for change in case.changes {
            // At any moment of what the operator does.
            tokio::time::sleep(std::time::Duration::from_millis(*random.pick(&[0, 0, 20, 100]))).await;
            self.change(namespace, &name, &uid, change, random, number).await;
        }
        if self.live.len() > MOST_LIVE
            && let Some((namespace, name)) = self.live.pop_front()
        {
            self.delete(&namespace, &name, number).await;
        }
    }

    async fn change(
        &mut self,
        namespace: &str,
        name: &str,
        uid: &str,
        what: Change,
        random: &mut Random,
        number: u64,
    ) {
        const MERGE: &str = "application/merge-patch+json";
        let path = format!("{ACTIONS}/{namespace}/deploymentactions/{name}");
        let body = |value: &Value| value.to_string().into_bytes();
        match what {
            Change::Merge(change) => {
                self.send("patch", &Method::PATCH, &path, MERGE, body(&change), number).await;
            }
            Change::Status(change) => {
                self.counts.forged.insert(format!("{namespace}/{name}"));
                let path = format!("{path}/status");
                self.send("patch of status", &Method::PATCH, &path, MERGE, body(&change), number).await;
            }
            Change::Pod => {
                let pod = specs::pod(random, number, name, uid);
                let path = format!("/api/v1/namespaces/{namespace}/pods");
                self.send("create pod", &Method::POST, &path, "application/json", body(&pod), number).await;
            }
            Change::Delete => self.delete(namespace, name, number).await,
        }
    }

    async fn delete(&mut self, namespace: &str, name: &str, number: u64) {
        const MERGE: &str = "application/merge-patch+json";
        let path = format!("{ACTIONS}/{namespace}/deploymentactions/{name}");
        let answer =
            self.send("delete", &Method::DELETE, &path, "application/json", Vec::new(), number).await;
        // Finalizers of a case's own would hold it.
        if answer.is_some_and(|left| left["metadata"]["finalizers"].is_array()) {
            let free = json!({"metadata": {"finalizers": null}}).to_string().into_bytes();
            self.send("release", &Method::PATCH, &path, MERGE, free, number).await;
        }
    }

    /// Removes what is left.
    pub(crate) async fn finish(&mut self) {
        while let Some((namespace, name)) = self.live.pop_front() {
            self.delete(&namespace, &name, 0).await;
        }
    }

    async fn send(
        &mut self,
        verb: &'static str,
        method: &Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
        number: u64,
    ) -> Option<Value> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .header("accept", "application/json")
            .body(Body::from(body))
            .expect("a request");
        let response = self.client.send(request).await.expect("the API server answers");
        let status = response.status().as_u16();
        let answer = response.into_body().collect().await.expect("a whole answer").to_bytes();
        *self.counts.answers.entry((verb, status)).or_default() += 1;
        // A resource version that is no number: Kubernetes' own answer to a patch.
        let known = verb == "patch" && answer.windows(18).any(|words| words == b"strconv.ParseUint:");
        if status >= 500 && !known {
            let words: String = String::from_utf8_lossy(&answer).chars().take(500).collect();
            self.counts.faults.push(format!("case {number}: {verb}: {words}"));
        }
        (status < 300).then(|| serde_json::from_slice(&answer).unwrap_or_default())
    }
}
