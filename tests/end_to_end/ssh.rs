//! git and ssh with a key from a Secret, in images that differ in what they know of their user. `git` (Debian)
//! and `musl-ssh` (with Alpine's users) know no user 65532. `git-ubi` has an application's user with a home of
//! its own. The rest has no shell.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{
    action::{Action, Done},
    matrix::in_registry,
    namespace::{Namespace, in_namespace},
};

/// ssh refuses a key that others can read, and looks for it in the home that the C library gives. Both show
/// without a server.
const KEYS: &str = r#"
    set -e
    echo "user=$(id -u)"
    ssh-keygen -y -f "$KEY" > /dev/null
    ssh-keygen -y -f ~/.ssh/id_ed25519 > /dev/null
    echo "mode=$(stat -L -c %a "$KEY") link=$(stat -L -c %a ~/.ssh/id_ed25519)"
    ssh -v -o ProxyCommand=true host 2>&1 | grep -e 'id_ed25519 type' -e 'No user' | tr -d '\r' | sed 's/.*identity file/ssh has/'
"#;

/// A clone by ssh, from a server in the same container that knows the key.
const CLONE: &str = r#"
    server="$TMPDIR/server"; mkdir -p "$server" /run/sshd 2>/dev/null || true
    ssh-keygen -q -t ed25519 -N '' -f "$server/host"
    ssh-keygen -y -f "$KEY" > "$server/keys"
    printf '%s\n' "ListenAddress 127.0.0.1:2222" "HostKey $server/host" "AuthorizedKeysFile $server/keys" \
        "StrictModes no" "PidFile none" "UsePAM no" > "$server/config"
    /usr/sbin/sshd -f "$server/config" -E "$server/log"
    git -c init.defaultBranch=main init -q work; cd work
    git status --porcelain
    git -c user.name=a -c user.email=b commit -q --allow-empty -m first
    cd ..; git clone -q --bare work "$server/repository"
    export GIT_SSH_COMMAND="ssh -o StrictHostKeyChecking=accept-new"
    git clone -q "ssh://127.0.0.1:2222$server/repository" cloned || { cat "$server/log"; exit 1; }
    echo "cloned=$(git -C cloned log --format=%s)"
    if [ -s ~/.ssh/known_hosts ]; then echo "known hosts are in the home"; fi
"#;

#[tokio::test]
async fn git_and_ssh_work_restricted() {
    in_namespace(async |namespace| {
        let all = run(namespace, "Restricted", &["git", "git-ubi"]).await;
        // The library is told of the script's home, and so ssh goes by it.
        assert_keys(&all["git"], "65532", "/longshore/home/run");
        assert_keys(&all["git-ubi"], "1001", "/longshore/home/run");
        assert_keys(&all["musl-ssh"], "65532", "/longshore/home/run");
        for done in [&all["git"], &all["git-ubi"]] {
            done.assert_tail_has(&["cloned=first\n", "known hosts are in the home\n"]);
        }
        all["no-users"]
            .assert_tail_has(&["user 65532: longshore at /longshore/home/run\n", "key: 600, own\n"]);
        // What an image says of its own user stands, with musl.
        all["distroless"].assert_tail_has(&["user 65532: nonroot at /home/nonroot\n", "key: 600, own\n"]);
    })
    .await;
}

#[tokio::test]
async fn git_and_ssh_work_as_root_of_a_user_namespace() {
    in_namespace(async |namespace| {
        let all = run(namespace, "UserNamespaceRoot", &[]).await;
        for done in [&all["git"], &all["git-ubi"], &all["musl-ssh"]] {
            assert_keys(done, "0", "/root");
        }
        all["no-users"].assert_tail_has(&["user 0: root at /root\n", "key: 600, own\n"]);
        all["distroless"].assert_tail_has(&["user 0: root at /root\n", "key: 600, own\n"]);
    })
    .await;
}

#[tokio::test]
async fn git_and_ssh_work_as_the_image_s_user() {
    in_namespace(async |namespace| {
        namespace.enforce("baseline").await;
        let all = run(namespace, "Baseline", &["git"]).await;
        assert_keys(&all["git"], "0", "/root");
        all["git"].assert_tail_has(&["cloned=first\n"]);
        assert_keys(&all["git-ubi"], "1001", "/opt/app-root/src");
        assert_keys(&all["musl-ssh"], "0", "/root");
        all["no-users"].assert_tail_has(&["user 0: root at /root\n", "key: 600, own\n"]);
        all["distroless"].assert_tail_has(&["user 65532: nonroot at /home/nonroot\n", "key: 600, own\n"]);
    })
    .await;
}

/// How they ended, by image.
type All = BTreeMap<&'static str, Done>;

/// Runs them all; those of `cloning` clone too.
async fn run(namespace: &Namespace, profile: &str, cloning: &[&str]) -> All {
    let script = "ssh-keygen -q -t ed25519 -N '' -f \"$TMPDIR/key\"\n\
        { echo 'key<<END'; cat \"$TMPDIR/key\"; echo END; } >> \"$LONGSHORE_OUTPUT\"";
    let made = namespace.run(Action::script(script).outputs(&["key"]).image(&in_registry("git"))).await;
    namespace.secret("deploy-key", json!({"id_ed25519": format!("{}\n", made.output("key"))})).await;
    let mut started = Vec::new();
    for image in ["git", "git-ubi", "musl-ssh", "no-users", "distroless"] {
        let action = match image {
            "no-users" | "distroless" => Action::command(&["/who"]),
            _ if cloning.contains(&image) => Action::script(&format!("{KEYS}{CLONE}")),
            _ => Action::script(KEYS),
        };
        started.push((image, namespace.apply(image, of(profile, image, action)).await));
    }
    let mut all = All::new();
    for (image, action) in started {
        let done = action.finished().await;
        done.assert_succeeded();
        all.insert(image, done);
    }
    all
}

fn of(profile: &str, image: &str, action: Action) -> Action {
    let mut key: Value = crate::support::action::from_secret("KEY", "deploy-key", "id_ed25519");
    key["as"] = "File".into();
    key["path"] = "~/.ssh/id_ed25519".into();
    action
        .image(&in_registry(image))
        .with("variables", json!([key]))
        .with("podTemplate", json!({"securityProfile": profile}))
}

fn assert_keys(done: &Done, user: &str, home: &str) {
    // 3: a key of this kind was read there.
    let has = format!("ssh has {home}/.ssh/id_ed25519 type 3\n");
    done.assert_tail_has(&[&format!("user={user}\n"), "mode=600 link=600\n", &has]);
    assert!(!done.tail().contains("No user"), "{}", done.tail());
}
