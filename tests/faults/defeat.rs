//! Protections of the operator, taken away one at a time from outside, so that the suite can be seen to
//! fail without each of them. The operator itself is as it is shipped.

use std::{collections::HashMap, sync::Mutex};

use axum::body::{Body as Answer, Bytes};
use http::{Response, StatusCode, header, request::Parts};
use kube::Client;
use longshore::api::{LABEL_ACTION, LABEL_ACTION_UID};
use serde_json::{Value, json};

use super::call::Call;

/// The protection that is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protection {
    /// The read of the live action before a creation: it is answered with what this operator wrote or
    /// saw last.
    LiveRead,
    /// The check whose pod has an attempt's name, and the UIDs that deletions and patches are bound to:
    /// each pod looks as if it were the action's.
    Uid,
    /// The resource version that a status is written against: it is made the one that stands.
    CompareAndSwap,
    /// The write of a status before its pod: it is swallowed, and looks as if it had been made.
    StatusFirst,
    /// The status' record of who asks for the pod: it looks as if nobody else ever had.
    Launcher,
}

impl Protection {
    pub(crate) const ALL: [Self; 5] =
        [Self::LiveRead, Self::Uid, Self::CompareAndSwap, Self::StatusFirst, Self::Launcher];
}

/// One protection of one operator, taken away.
pub(crate) struct Defeat {
    of: Protection,
    /// Actions as they were written last, or as they look as if they had been.
    written: Mutex<HashMap<String, Value>>,
    /// The process that the operator calls itself.
    process: Mutex<Value>,
}

impl Defeat {
    pub(crate) fn new(of: Protection) -> Self {
        Self { of, written: Mutex::default(), process: Mutex::default() }
    }

    /// The answer to a request that is not sent at all.
    pub(crate) fn instead(&self, call: Call, head: &Parts) -> Option<Response<Answer>> {
        let reads = matches!(self.of, Protection::LiveRead | Protection::StatusFirst);
        let believed = self.written.lock().unwrap().get(&name(head)).cloned();
        believed.filter(|_| reads && call == Call::GetAction).map(|believed| answer(&believed))
    }

    /// The request as it is sent, or the answer where none is sent.
    pub(crate) async fn request(
        &self,
        client: &Client,
        call: Call,
        head: Parts,
        body: Bytes,
    ) -> Result<(Parts, Bytes), Response<Answer>> {
        let mut object: Value = serde_json::from_slice(&body).unwrap_or_default();
        match (self.of, call) {
            (Protection::StatusFirst, Call::WriteStatus) => {
                let run = &object["status"]["run"];
                let announces = object["status"]["phase"] == "Launching"
                    && run["bundleSha256"].is_string()
                    && run["podUID"].is_null();
                let mut written = self.written.lock().unwrap();
                if announces {
                    written.insert(name(&head), object.clone());
                    return Err(answer(&object));
                }
                written.remove(&name(&head));
                Ok((head, body))
            }
            (Protection::Launcher, Call::WriteStatus) => {
                let process = &object["status"]["run"]["launcher"]["process"];
                if process.is_string() {
                    *self.process.lock().unwrap() = process.clone();
                }
                Ok((head, body))
            }
            (Protection::CompareAndSwap, Call::WriteStatus) => {
                let path = head.uri.path().trim_end_matches("/status");
                let read = http::Request::get(path).body(Vec::new()).expect("a request");
                if let Ok(live) = client.request::<Value>(read).await {
                    object["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
                }
                Ok(with_body(head, &object))
            }
            (Protection::Uid, Call::DeletePod) => {
                object["preconditions"] = Value::Null;
                Ok(with_body(head, &object))
            }
            (Protection::Uid, Call::PatchPod) => {
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.remove("uid");
                }
                Ok(with_body(head, &object))
            }
            _ => Ok((head, body)),
        }
    }

    /// The answer as the operator gets it.
    pub(crate) fn answer(&self, call: Call, code: StatusCode, asked: &Bytes, body: Bytes) -> Bytes {
        if !code.is_success() {
            return body;
        }
        match (self.of, call) {
            (Protection::LiveRead, Call::WriteStatus) => {
                let asked: Value = serde_json::from_slice(asked).unwrap_or_default();
                let name = asked["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                if let Ok(written) = serde_json::from_slice(&body) {
                    self.written.lock().unwrap().insert(name, written);
                }
                body
            }
            (Protection::Uid, Call::GetPod | Call::ListPods) => each(&body, own),
            (Protection::Launcher, Call::GetAction | Call::ListActions | Call::WriteStatus) => {
                each(&body, |action| self.launch(action))
            }
            _ => body,
        }
    }

    /// The action as one whose pod nobody but this operator has ever asked for.
    fn launch(&self, action: &mut Value) {
        let process = self.process.lock().unwrap();
        if let Some(launcher) = action.pointer_mut("/status/run/launcher")
            && process.is_string()
        {
            *launcher = json!({"process": *process});
        }
    }

    /// The event of a watch as the operator gets it.
    pub(crate) fn event(&self, call: Call, line: Bytes) -> Bytes {
        if (self.of, call) == (Protection::LiveRead, Call::ActionEvent) {
            // The operator's cache.
            let event: Value = serde_json::from_slice(&line).unwrap_or_default();
            let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let mut written = self.written.lock().unwrap();
            if written.get(&name).is_none_or(|known| version(known) < version(&event["object"])) {
                written.insert(name, event["object"].clone());
            }
        }
        let change: &dyn Fn(&mut Value) = match (self.of, call) {
            (Protection::Uid, Call::PodEvent) => &own,
            (Protection::Launcher, Call::ActionEvent) => &|action| self.launch(action),
            _ => return line,
        };
        let Ok(mut event) = serde_json::from_slice::<Value>(&line) else { return line };
        change(&mut event["object"]);
        // The type comes first, as the API server has it.
        format!("{{\"type\":{},\"object\":{}}}\n", event["type"], event["object"]).into()
    }
}

/// An object, or a list of them, with each of them changed.
fn each(body: &Bytes, change: impl Fn(&mut Value)) -> Bytes {
    let mut object: Value = serde_json::from_slice(body).unwrap_or_default();
    change(&mut object);
    object["items"].as_array_mut().into_iter().flatten().for_each(change);
    object.to_string().into()
}

/// The action's name.
fn name(head: &Parts) -> String {
    head.uri.path().split('/').nth(7).unwrap_or_default().to_owned()
}

/// The pod as one of the action that its labels name.
fn own(pod: &mut Value) {
    let labels = &pod["metadata"]["labels"];
    let (Some(action), Some(uid)) = (labels[LABEL_ACTION].as_str(), labels[LABEL_ACTION_UID].as_str()) else {
        return;
    };
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction", "name": action, "uid": uid,
        "controller": true, "blockOwnerDeletion": true,
    }]);
}

fn version(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    text.parse().unwrap_or_default()
}

fn with_body(mut head: Parts, body: &Value) -> (Parts, Bytes) {
    head.headers.remove(header::CONTENT_LENGTH);
    (head, body.to_string().into())
}

fn answer(object: &Value) -> Response<Answer> {
    let answer = Response::builder().header(header::CONTENT_TYPE, "application/json");
    answer.body(Answer::from(object.to_string())).expect("an answer")
}
