//! The step that opens the box with a run's sensitive outputs, and creates their Secret.
//!
//! The operator can read no Secret, and so not find out whether one that is there is its own. That is not needed: the
//! Secret's name follows from the operator's key, and nobody else can know it before the Secret is there. If
//! something has the name all the same, an earlier try created it and its answer was lost. Then the next name is
//! taken. So the status names only a Secret whose creation was answered. One that was created in vain holds the same
//! values and goes with the action.

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ObjectMeta, PostParams},
};
use zeroize::Zeroize;

use crate::{
    api::{
        DeploymentAction, LABEL_ACTION, LABEL_ACTION_UID, LABEL_MANAGED_BY, LABEL_RUN, MANAGED_BY,
        OUTPUTS_KEYS, OUTPUTS_TYPE,
        status::{OutputsSecret, RunStatus},
    },
    operator::{
        call::{CallError, FIELD_MANAGER, call},
        lifecycle::facts::SecretRefusal,
        pod::names::short_name,
    },
    record::outcome::Sealed,
    seal::{self, Attempt, Master, Masters, Values},
};

/// The most names that are tried: creations whose answer was lost, and one more.
const MOST_NAMES: u32 = 5;

/// Creates the Secret with what is in the box `sealed`, from the log of the pod with this UID. That pod is of the
/// latest attempt of the action's run.
///
/// # Errors
/// The box does not open, or the API server did not create the Secret.
pub(crate) async fn keep(
    client: &Client,
    keys: Option<&Masters>,
    action: &DeploymentAction,
    pod_uid: &str,
    sealed: &Sealed,
) -> Result<OutputsSecret, SecretRefusal> {
    let refused = |may_pass, message: &str| SecretRefusal { may_pass, message: message.to_owned() };
    let run = action.status.as_ref().and_then(|status| status.run.as_ref());
    let (Some(run), Some(uid), Some(owner)) =
        (run, action.metadata.uid.as_deref(), action.controller_owner_ref(&()))
    else {
        return Err(refused(false, "the action has no run"));
    };
    let attempt = Attempt { action_uid: uid, run_id: &run.id, number: run.attempt };
    let keys =
        keys.ok_or_else(|| refused(true, &format!("the operator has not read Secret {OUTPUTS_KEYS} yet")))?;
    let (master, values) = open(keys, run, &attempt, pod_uid, sealed)?;
    let mut secret = secret(action, run, owner, values);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &action.namespace().unwrap_or_default());
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let mut result = Err(refused(false, "every name that it could have is taken"));
    for number in 0..MOST_NAMES {
        let end = master.name_part(&attempt, number);
        secret.metadata.name =
            Some(format!("{}-outputs-{}-{end}", short_name(&action.name_any()), run.number));
        match call(secrets.create(&parameters, &secret)).await {
            Ok(mut created) => {
                wipe(&mut created);
                result = Ok(OutputsSecret {
                    name: created.name_any(),
                    uid: created.uid().unwrap_or_default(),
                    keys: secret.data.iter().flatten().map(|(name, _)| name.clone()).collect(),
                });
                break;
            }
            Err(error) if is_name_taken(&error) => {}
            Err(error) => {
                result = Err(SecretRefusal { may_pass: may_pass(&error), message: error.to_string() });
                break;
            }
        }
    }
    wipe(&mut secret);
    result
}

/// Opens the box, and says with which key. A status that was lost does not name the key, so all are tried.
fn open<'a>(
    keys: &'a Masters,
    run: &RunStatus,
    attempt: &Attempt<'_>,
    pod_uid: &str,
    sealed: &Sealed,
) -> Result<(&'a Master, Values), SecretRefusal> {
    let id = run.outputs_key.as_deref();
    let opened = keys.with_first(id).find_map(|(_, master)| {
        let values = seal::open(master, attempt, pod_uid, &sealed.text).ok()?;
        Some((master, values))
    });
    opened.ok_or_else(|| match id.filter(|id| keys.get(id).is_none()) {
        // Somebody may put it back.
        Some(id) => SecretRefusal {
            may_pass: true,
            message: format!("their key {id} was removed from Secret {OUTPUTS_KEYS}: put it back"),
        },
        None => SecretRefusal { may_pass: false, message: seal::SealError::Opening.to_string() },
    })
}

fn secret(action: &DeploymentAction, run: &RunStatus, owner: OwnerReference, values: Values) -> Secret {
    let labels = [
        (LABEL_MANAGED_BY, MANAGED_BY.to_owned()),
        (LABEL_ACTION, action.name_any()),
        (LABEL_ACTION_UID, owner.uid.clone()),
        (LABEL_RUN, run.number.to_string()),
    ];
    let data = values.into_iter().map(|(name, mut value)| (name, ByteString(std::mem::take(&mut *value))));
    Secret {
        metadata: ObjectMeta {
            labels: Some(labels.map(|(name, value)| (name.to_owned(), value)).into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some(OUTPUTS_TYPE.to_owned()),
        immutable: Some(true),
        data: Some(data.collect()),
        ..Secret::default()
    }
}

fn wipe(secret: &mut Secret) {
    for ByteString(value) in secret.data.iter_mut().flat_map(|data| data.values_mut()) {
        value.zeroize();
    }
}

fn is_name_taken(error: &CallError) -> bool {
    matches!(error, CallError::Kube(kube::Error::Api(status)) if status.reason == "AlreadyExists")
}

/// Whether a later try may succeed: a quota has room again, a policy is corrected, the server works again. The
/// object itself never changes.
fn may_pass(error: &CallError) -> bool {
    match error {
        CallError::Kube(kube::Error::Api(status)) => match status.code {
            400 | 404 | 413 | 422 => false,
            // plugin/pkg/admission/namespace/lifecycle/admission.go
            403 => !status.message.contains("because it is being terminated"),
            _ => true,
        },
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use zeroize::Zeroizing;

    use super::*;
    use crate::{
        api::status::DeploymentActionStatus,
        operator::testing::{
            objects::{self, UID},
            server::{Seen, failure, server},
        },
        seal::MASTER_BYTES,
    };

    fn master(byte: u8) -> Master {
        Master::from_bytes(&[byte; MASTER_BYTES]).unwrap()
    }

    fn keys(ids: &[(&str, u8)]) -> Masters {
        Masters::new(ids.iter().map(|(id, byte)| ((*id).to_owned(), master(*byte))).collect())
    }

    fn action(uid: &str) -> DeploymentAction {
        let mut action = objects::action();
        action.metadata.uid = Some(uid.into());
        let run = RunStatus {
            number: 3,
            id: "5f3c9a1b-3".into(),
            attempt: 1,
            outputs_key: Some("old".into()),
            ..RunStatus::default()
        };
        action.status = Some(DeploymentActionStatus { run: Some(run), ..DeploymentActionStatus::default() });
        action
    }

    fn sealed() -> Sealed {
        let of = Attempt { action_uid: UID, run_id: "5f3c9a1b-3", number: 1 };
        let values = [("token".to_owned(), Zeroizing::new(b"s3cr\xff".to_vec()))].into();
        let text = seal::seal(&master(1).public_key(&of), &of, "pod-1", &values).unwrap();
        Sealed { names: vec!["token".into()], unmasked: vec![], text }
    }

    fn created(request: &Seen) -> (u16, Value) {
        let mut object = request.body.clone();
        object["metadata"]["uid"] = json!("secret-uid");
        (201, object)
    }

    async fn kept(
        answer: impl Fn(&Seen) -> (u16, Value) + Send + Sync + Clone + 'static,
    ) -> (Result<OutputsSecret, SecretRefusal>, Vec<Seen>) {
        let (client, seen) = server(answer);
        let kept =
            keep(&client, Some(&keys(&[("old", 1), ("new", 2)])), &action(UID), "pod-1", &sealed()).await;
        let seen = seen.lock().unwrap().clone();
        (kept, seen)
    }

    #[tokio::test]
    async fn the_values_become_an_immutable_secret_that_the_action_owns() {
        let (kept, seen) = kept(created).await;
        let kept = kept.unwrap();
        assert_eq!(
            (seen.len(), kept.uid.as_str(), &kept.keys[..]),
            (1, "secret-uid", &["token".to_owned()][..])
        );
        let body = &seen[0].body;
        assert_eq!(body["metadata"]["name"], kept.name);
        assert!(kept.name.starts_with("deploy-outputs-3-") && kept.name.len() <= 63, "{}", kept.name);
        assert_eq!((body["type"].as_str(), body["immutable"].as_bool()), (Some(OUTPUTS_TYPE), Some(true)));
        assert_eq!(body["data"], json!({"token": "czNjcv8="}));
        let owner = &body["metadata"]["ownerReferences"][0];
        assert_eq!((owner["uid"].as_str(), owner["controller"].as_bool()), (Some(UID), Some(true)));
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_left_and_the_next_one_does_not_follow_from_it() {
        let first: Arc<Mutex<Option<String>>> = Arc::default();
        let (kept, seen) = kept({
            let first = Arc::clone(&first);
            move |request| {
                let name = request.body["metadata"]["name"].as_str().unwrap().to_owned();
                match first.lock().unwrap().get_or_insert_with(|| name.clone()) {
                    taken if *taken == name => failure(409, "AlreadyExists", "there"),
                    _ => created(request),
                }
            }
        })
        .await;
        let first = first.lock().unwrap().clone().unwrap();
        assert_eq!((seen.len(), kept.unwrap().name == first), (2, false));
    }

    #[tokio::test]
    async fn names_are_not_tried_without_end() {
        let (kept, seen) = kept(|_| failure(409, "AlreadyExists", "there")).await;
        assert_eq!((kept.unwrap_err().may_pass, seen.len()), (false, 5));
    }

    #[tokio::test]
    async fn what_may_pass_is_told_from_what_does_not() {
        for (code, reason, message, again) in [
            (403, "Forbidden", "exceeded quota: secrets", true),
            (
                403,
                "Forbidden",
                "unable to create new content in namespace shop because it is being terminated",
                false,
            ),
            (422, "Invalid", "data", false),
            (404, "NotFound", "namespaces \"shop\" not found", false),
            (500, "InternalError", "etcd", true),
            (409, "Conflict", "the quota was changed", true),
        ] {
            let (kept, seen) = kept(move |_| failure(code, reason, message)).await;
            let refusal = kept.unwrap_err();
            assert_eq!((refusal.may_pass, seen.len()), (again, 1), "{message}");
            assert!(refusal.message.contains(message), "{}", refusal.message);
        }
    }

    #[tokio::test]
    async fn a_box_of_another_action_does_not_open_and_nothing_is_created() {
        let (client, seen) = server(created);
        let all = keys(&[("old", 1), ("new", 2)]);
        let other = action("99999999-1234-4321-8765-123456789abc");
        for (action, pod) in [(&other, "pod-1"), (&action(UID), "pod-2")] {
            let refusal = keep(&client, Some(&all), action, pod, &sealed()).await.unwrap_err();
            assert!(!refusal.may_pass && refusal.message.contains("does not open"), "{}", refusal.message);
        }
        assert!(seen.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_key_that_was_removed_can_be_put_back_and_a_run_that_forgot_its_key_finds_it() {
        let (client, _) = server(created);
        let gone =
            keep(&client, Some(&keys(&[("new", 2)])), &action(UID), "pod-1", &sealed()).await.unwrap_err();
        assert!(gone.may_pass && gone.message.contains("key old was removed"), "{}", gone.message);
        let unread = keep(&client, None, &action(UID), "pod-1", &sealed()).await.unwrap_err();
        assert!(unread.may_pass);
        let mut forgot = action(UID);
        forgot.status.as_mut().unwrap().run.as_mut().unwrap().outputs_key = None;
        let all = keys(&[("old", 1), ("new", 2)]);
        keep(&client, Some(&all), &forgot, "pod-1", &sealed()).await.unwrap();
    }
}
