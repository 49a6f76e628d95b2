//! An operator with an archive in a folder: logs are stored whole, outlive operators, pods and actions, and go by
//! retention. It is a process on this machine, in place of the one that is deployed.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures::TryStreamExt;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use longshore::{
    api::{
        Reason,
        status::{StoredLogStatus, StoredState},
    },
    archive::{Archive, Entry, LogKey, Query, Settings},
};

use crate::{
    node::Cluster,
    support::{
        action::{Action, Done, Handle},
        long_log::{assert_whole, writer},
        namespace::{Namespace, in_namespace, tool, within},
        turns::alone,
    },
};

/// The deployed operator is away as long as this lives.
struct Away;

impl Away {
    fn scale(replicas: u8) {
        let replicas = format!("--replicas={replicas}");
        let scaled = tool("kubectl")
            .args(["scale", "deployment/longshore", "--namespace=longshore-system", &replicas])
            .stdout(Stdio::null())
            .status();
        assert!(scaled.expect("kubectl").success());
    }

    async fn begin(namespace: &Namespace) -> Self {
        Self::scale(0);
        let away = Self;
        // One that is still ending would tell the runner that it has the log.
        let pods: Api<Pod> = Api::namespaced(namespace.client.clone(), "longshore-system");
        let operators = ListParams::default().labels("app.kubernetes.io/name=longshore");
        within(Duration::from_mins(1), "the deployed operator is away", async || {
            pods.list(&operators).await.ok()?.items.is_empty().then_some(())
        })
        .await;
        away
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        Self::scale(1);
    }
}

/// An operator of the test's own.
struct Operator(Child);

impl Operator {
    async fn start(namespace: &Namespace, folder: &Path, flags: &[&str]) -> Self {
        let deployments: Api<Deployment> = Api::namespaced(namespace.client.clone(), "longshore-system");
        let deployed = deployments.get("longshore").await.unwrap().spec.template.spec.unwrap();
        // Its files are not on this machine, and this one leads in a namespace of its own.
        let log = folder.with_extension("log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let other =
            ["--registry-ca-file", "--registry-credentials-file", "--listen", "--log", "--use-policy"];
        let arguments = deployed.containers[0].args.clone().unwrap();
        let arguments = arguments.iter().filter(|flag| !other.iter().any(|other| flag.starts_with(other)));
        let cluster = Cluster::running();
        let kubeconfig = folder.join("kubeconfig");
        std::fs::write(&kubeconfig, serde_json::to_string(&cluster.kubeconfig()).unwrap()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command
            .args(arguments)
            .arg(format!("--watch-namespace={}", namespace.name))
            .arg(format!("--namespace={}", namespace.name))
            .arg(format!("--archive-url=file://{}", folder.display()))
            .args(["--identity=test", "--use-policy=off", "--listen=127.0.0.1:0"])
            .arg("--log=info,longshore::operator::logs=debug")
            .args(flags)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(log);
        // Registries have addresses in the cluster's network. A process begins in the network of its thread.
        let started = std::thread::spawn(move || {
            cluster.enter();
            command.spawn()
        });
        Self(started.join().expect("its thread").expect("starting an operator"))
    }

    /// SIGKILL.
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(namespace: &Namespace) -> Self {
        let path = std::env::temp_dir().join(&namespace.name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn archive(&self) -> Archive {
        let url = format!("file://{}", self.0.display());
        Archive::connect(&Settings { url, ..Settings::default() }).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let log = self.0.with_extension("log");
        if std::thread::panicking() {
            println!("--- the operators:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
        }
        let _ = std::fs::remove_file(log);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn text(archive: &Archive, stored: &StoredLogStatus) -> String {
    let key: LogKey = stored.key.parse().unwrap();
    let entries: Vec<Entry> = archive.read(&key, Query::default()).try_collect().await.unwrap();
    let mut text = Vec::new();
    for entry in entries {
        let Entry::Text(part) = entry else { panic!("{entry:?}") };
        text.extend_from_slice(&part.text);
        text.push(b'\n');
    }
    String::from_utf8(text).unwrap()
}

/// The action once its run has ended and all is done for its log.
async fn stored(action: &Handle<'_>) -> (Done, StoredLogStatus) {
    action.finished().await;
    let done =
        action.until("its log is stored", |done| done.is_finished() && done.log().stored.is_some()).await;
    let stored = done.log().stored.clone().unwrap();
    assert_eq!(done.status().history[0].stored.as_ref(), Some(&stored));
    (done, stored)
}

#[tokio::test]
async fn logs_are_stored_whole_and_outlive_operators_pods_and_actions() {
    let _alone = alone().await;
    Box::pin(in_namespace(async |namespace| {
        let _away = Away::begin(namespace).await;
        let folder = Folder::new(namespace);
        let archive = folder.archive();
        let mut operator = Operator::start(namespace, &folder.0, &["--archive-keep-for=30d"]).await;

        let script = "echo one; echo two >&2; echo url=here >> \"$LONGSHORE_OUTPUT\"; exit 3";
        let bad = namespace.apply("bad", Action::script(script).outputs(&["url"])).await;
        let (done, of_bad) = stored(&bad).await;
        done.assert_failed(Reason::ScriptFailed, Some(3)).assert_log_complete();
        assert_eq!((of_bad.state, &of_bad.message), (StoredState::Complete, &None));
        assert!(of_bad.until.is_some());
        assert_eq!(text(&archive, &of_bad).await, "one\ntwo\n");
        let key: LogKey = of_bad.key.parse().unwrap();
        let record = archive.summary(&key).await.unwrap().record.unwrap();
        assert_eq!((record.verdict.reason.as_str(), record.verdict.exit_code), ("ScriptFailed", Some(3)));
        assert_eq!(record.executed.image, done.image().resolved);
        assert_eq!(record.outputs["url"], longshore::record::sha256_hex(b"here"));

        let long = namespace.apply("long", writer(20_000, 12)).await;
        long.under_way().await;
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(4)).await;
            operator.kill();
            operator = Operator::start(namespace, &folder.0, &["--archive-keep-for=30d"]).await;
        }
        let (done, of_long) = stored(&long).await;
        if of_long.state != StoredState::Complete {
            let key: LogKey = of_long.key.parse().unwrap();
            let all: Vec<Entry> = archive.read(&key, Query::default()).try_collect().await.unwrap();
            println!("{:?}", all.iter().filter(|entry| !matches!(entry, Entry::Text(_))).collect::<Vec<_>>());
        }
        assert_whole(done.assert_succeeded(), 240_000);
        assert_eq!((of_long.state, &of_long.message), (StoredState::Complete, &None));
        let truth = (1..=240_000).fold(String::new(), |text, line| text + &format!("{line:099}\n"));
        assert!(text(&archive, &of_long).await == truth, "not the same lines");

        // One action is deleted after its run, and one while it runs.
        bad.delete(&DeleteParams::background()).await;
        let cut = namespace
            .apply("cut", Action::script("trap 'echo last; exit 1' TERM; echo first; sleep 60 & wait"))
            .await;
        cut.under_way().await;
        let uid = cut.get().await.metadata.uid.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        cut.delete(&DeleteParams::background()).await;
        let of_cut = within(Duration::from_mins(2), "its log is in the archive", async || {
            let all = archive.stored().await.ok()?;
            all.into_iter().find(|log| log.key.action_uid() == uid && log.ended)
        })
        .await;
        let of_cut = StoredLogStatus { key: of_cut.key.to_string(), ..StoredLogStatus::default() };
        assert_eq!(text(&archive, &of_cut).await, "first\nlast\n");
        within(Duration::from_mins(1), "all pods of deleted actions are gone", async || {
            (namespace.pods().await.len() <= 1).then_some(())
        })
        .await;
        assert_eq!(text(&archive, &of_bad).await, "one\ntwo\n");

        // Another operator keeps less. It looks once at its start, and leaves alone what is not over yet.
        let is_empty = async || archive.stored().await.is_ok_and(|stored| stored.is_empty());
        for _ in 0..6 {
            operator.kill();
            operator = Operator::start(namespace, &folder.0, &["--archive-keep-for=1s"]).await;
            for _ in 0..20 {
                if is_empty().await {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        panic!("retention left {:?}", archive.stored().await);
    }))
    .await;
}
