//! The operator's master keys for sensitive outputs. They are in a Secret in its own namespace.
//!
//! The leader creates the Secret when it starts, whether an action needs it or not. So no run waits for it, and a
//! missing right shows at once. Helm does not create it: under Argo CD a chart cannot look up the key that is
//! there, and would replace it at each sync.
//!
//! Each entry of the Secret is a key, and its name is the key's id. The id that sorts last seals. People add keys
//! and take old ones away. The operator has no right to change the Secret, and reads it again every minute.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    jiff::{Timestamp, tz::TimeZone},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tracing::{info, warn};
use zeroize::Zeroize;

use crate::{
    api::{LABEL_MANAGED_BY, MANAGED_BY, OUTPUTS_KEYS, OUTPUTS_KEYS_TYPE},
    operator::call::{CallError, FIELD_MANAGER, call},
    seal::{MASTER_BYTES, Master, Masters},
};

/// How often the Secret is read.
const EVERY: Duration = Duration::from_mins(1);
/// The same, while it cannot be read or created.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest id of a key. The status of a run names it.
const MAX_ID: usize = 63;

/// The keys as they were last read. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct OutputsKeys(Arc<RwLock<Option<Arc<Masters>>>>);

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("no random number: {0}")]
    Random(getrandom::Error),
}

impl OutputsKeys {
    /// The keys. `None` until they were read.
    #[must_use]
    pub(crate) fn current(&self) -> Option<Arc<Masters>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the keys again and again. Creates the Secret if there is none.
    pub(crate) async fn keep_fresh(self, client: Client, namespace: String) {
        let secrets: Api<Secret> = Api::namespaced(client, &namespace);
        let mut told = None;
        loop {
            let pause = match read(&secrets).await {
                Ok((keys, faults)) => {
                    told = told_once(told.as_ref(), faults);
                    *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
                    EVERY
                }
                // Keys that were read before stay in use.
                Err(error) => {
                    told = told_once(told.as_ref(), Some(error.to_string()));
                    AGAIN
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// Logs what is wrong, unless the last reading found the same.
fn told_once(before: Option<&String>, now: Option<String>) -> Option<String> {
    match &now {
        Some(why) if before != Some(why) => {
            warn!(why, "Secret {OUTPUTS_KEYS}: runs with sensitive outputs may have to wait");
        }
        None if before.is_some() => info!("Secret {OUTPUTS_KEYS} is as it should be"),
        _ => {}
    }
    now
}

/// Reads the keys, or creates the first one. Also returns what is wrong with the Secret.
async fn read(secrets: &Api<Secret>) -> Result<(Masters, Option<String>), KeysError> {
    if let Some(secret) = call(secrets.get_opt(OUTPUTS_KEYS)).await? {
        return Ok(keys(secret));
    }
    let mut bytes = [0; MASTER_BYTES];
    getrandom::fill(&mut bytes).map_err(KeysError::Random)?;
    let secret = first(ByteString(bytes.to_vec()));
    bytes.zeroize();
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match call(secrets.create(&parameters, &secret)).await {
        Ok(created) => {
            info!("created Secret {OUTPUTS_KEYS} with a key for sensitive outputs");
            Ok(keys(created))
        }
        // Somebody was faster. Without it, the next reading tells why.
        Err(error) if error.code() == Some(409) => {
            Ok(call(secrets.get_opt(OUTPUTS_KEYS)).await?.map(keys).unwrap_or_default())
        }
        Err(error) => Err(error.into()),
    }
}

fn first(key: ByteString) -> Secret {
    let id = Timestamp::now().to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
    Secret {
        metadata: ObjectMeta {
            name: Some(OUTPUTS_KEYS.to_owned()),
            labels: Some([(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())].into()),
            ..ObjectMeta::default()
        },
        type_: Some(OUTPUTS_KEYS_TYPE.to_owned()),
        data: Some([(id, key)].into()),
        ..Secret::default()
    }
}

/// The keys of the Secret. Other entries are left out, and named.
fn keys(secret: Secret) -> (Masters, Option<String>) {
    let (mut keys, mut bad) = (BTreeMap::new(), Vec::new());
    for (id, ByteString(mut bytes)) in secret.data.unwrap_or_default() {
        match Master::from_bytes(&bytes).filter(|_| id.len() <= MAX_ID) {
            Some(master) => {
                keys.insert(id, master);
            }
            None => bad.push(id),
        }
        bytes.zeroize();
    }
    let fault = if !bad.is_empty() {
        Some(format!(
            "the entries {} are no keys: a key has {MASTER_BYTES} bytes, and its id at most {MAX_ID} characters",
            bad.join(", ")
        ))
    } else if keys.is_empty() {
        Some("it holds no key".to_owned())
    } else {
        None
    };
    (Masters::new(keys), fault)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::Value;

    use super::*;
    use crate::operator::testing::server::{failure, server};

    fn secret(entries: &[(&str, &[u8])]) -> Secret {
        let data = entries.iter().map(|(id, bytes)| ((*id).to_owned(), ByteString(bytes.to_vec()))).collect();
        Secret { data: Some(data), ..Secret::default() }
    }

    #[test]
    fn every_key_is_read_and_what_is_none_is_named() {
        let (found, fault) = keys(secret(&[("20260101", &[1; 32]), ("20270101", &[2; 32])]));
        assert_eq!((found.newest(), fault), (Some("20270101"), None));
        let (found, fault) = keys(secret(&[("20260101", &[1; 32]), ("typo", b"too short")]));
        assert_eq!(found.newest(), Some("20260101"));
        assert!(fault.unwrap().contains("typo"));
        let (found, fault) = keys(secret(&[]));
        assert_eq!((found.newest(), fault.as_deref()), (None, Some("it holds no key")));
        let (found, _) = keys(secret(&[(&"x".repeat(64), &[1; 32])]));
        assert_eq!(found.newest(), None);
    }

    #[tokio::test]
    async fn without_a_secret_the_first_key_is_created() {
        let stored: Arc<Mutex<Option<Value>>> = Arc::default();
        let (client, seen) = server({
            let stored = Arc::clone(&stored);
            move |request| match request.method.as_str() {
                "POST" => {
                    *stored.lock().unwrap() = Some(request.body.clone());
                    (201, request.body.clone())
                }
                _ => match stored.lock().unwrap().clone() {
                    Some(secret) => (200, secret),
                    None => failure(404, "NotFound", "none"),
                },
            }
        });
        let secrets: Api<Secret> = Api::namespaced(client, "longshore-system");
        let (first, fault) = read(&secrets).await.unwrap();
        let (again, _) = read(&secrets).await.unwrap();
        assert!(first.newest().is_some() && first == again && fault.is_none());
        let seen = seen.lock().unwrap();
        let created: Vec<_> = seen.iter().filter(|request| request.method == "POST").collect();
        assert_eq!(created.len(), 1);
        assert_eq!(created[0].body["type"], OUTPUTS_KEYS_TYPE);
        assert_eq!(created[0].body["metadata"]["name"], OUTPUTS_KEYS);
    }

    #[tokio::test]
    async fn a_key_that_another_instance_created_meanwhile_counts() {
        let (client, _) = server({
            let asked = Arc::new(Mutex::new(false));
            move |request| match request.method.as_str() {
                "POST" => failure(409, "AlreadyExists", "there"),
                _ if std::mem::replace(&mut *asked.lock().unwrap(), true) => {
                    (200, serde_json::to_value(secret(&[("other", &[1; 32])])).unwrap())
                }
                _ => failure(404, "NotFound", "none"),
            }
        });
        let (found, _) = read(&Api::namespaced(client, "system")).await.unwrap();
        assert_eq!(found.newest(), Some("other"));
        let (client, _) = server(|_| failure(403, "Forbidden", "no right"));
        let refused = read(&Api::namespaced(client, "system")).await.unwrap_err();
        assert!(refused.to_string().contains("no right"), "{refused}");
    }
}
