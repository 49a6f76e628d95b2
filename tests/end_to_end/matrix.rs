//! Any image: each kind of image under each profile. The way by which the runner gets in is that of
//! the operator, so two test binaries share this.

use longshore::api::{ConditionType, Reason};
use serde_json::{Value, json};

use crate::{
    action::{Action, Done},
    namespace::{Namespace, setting},
};

/// What a script in an image shows of where it is.
const SCRIPT: &str = r#"
    echo "uid=$(id -u) gid=$(id -g)"
    echo "secret=$(cat "$TOKEN")"
    if touch /longshore-probe 2>/dev/null; then echo root=writable; else echo root=read-only; fi
    for folder in "$PWD" "$HOME" "$TMPDIR"; do echo kept > "$folder/file" && cat "$folder/file"; done
    echo "shown=yes" >> "$LONGSHORE_OUTPUT"
"#;

/// What scripts do by habit, damaged by an editor. It does not go on past `set -e`, it loses no output by
/// emptying its own folder, and what it started has its time when it is stopped.
const HABITS: &str = "\u{feff}set -e\r\ncat <<EOF\r\nhere\r\nEOF\r\ncd \"$(dirname \"$0\")\"; rm -rf ./*\r\n\
    echo kept=yes >> \"$LONGSHORE_OUTPUT\"\r\n\
    sh -c 'trap \"sleep 2; echo released; exit 0\" TERM; while :; do sleep 0.2; done'\r\necho not here\r\n";

/// By then a shell has its trap, also on a machine that starts fifty pods at once on two cores.
const DEADLINE_SECONDS: i64 = 15;

/// Images with a shell, and the user that each has under Baseline.
const IMAGES: [(&str, &str); 10] = [
    ("glibc", "0"),
    ("musl", "0"),
    ("busybox", "0"),
    ("entrypoint", "0"),
    ("user-numeric", "1234"),
    ("user-numeric-group", "1234"),
    ("user-named", "1234"),
    ("user-root", "0"),
    ("user-none", "0"),
    ("two-platforms", "0"),
];

/// bash, dash with glibc and with musl, and busybox's ash.
const SHELLS: [(&str, &str); 4] =
    [("/bin/bash", "glibc"), ("/bin/dash", "glibc"), ("/bin/dash", "musl"), ("/bin/sh", "busybox")];

/// Runs the matrix's row of `profile`.
pub(crate) async fn row(namespace: &Namespace, profile: &str) {
    if profile == "Baseline" {
        namespace.enforce("baseline").await;
    }
    namespace.secret("token", json!({"token": "not-for-the-log"})).await;
    let mut actions = Vec::new();
    for (image, _) in IMAGES {
        actions.push(namespace.apply(image, script(profile).image(&in_registry(image))).await);
    }
    let mut habits = Vec::new();
    for (shell, image) in SHELLS {
        let script = json!({"inline": HABITS, "interpreter": [shell]});
        let action = of(profile, Action::script("")).with("script", script).outputs(&["kept"]);
        let action = action.with("runDeadlineSeconds", DEADLINE_SECONDS).image(&in_registry(image));
        let name = format!("habits-{image}-{}", shell.rsplit('/').next().unwrap());
        habits.push(namespace.apply(&name, action).await);
    }
    let lingering =
        of(profile, Action::command(&["/who", "linger"])).with("runDeadlineSeconds", DEADLINE_SECONDS);
    let lingering = namespace.apply("lingering", lingering.image(&in_registry("no-users"))).await;
    let scratch = namespace
        .apply("scratch", of(profile, Action::command(&["/show", "a b"])).image(&in_registry("scratch")))
        .await;
    let mut foreign = Vec::new();
    for image in ["arm64-index", "arm64-manifest"] {
        foreign.push(namespace.apply(image, script(profile).image(&in_registry(image))).await);
    }
    for (action, (image, own_user)) in actions.iter().zip(IMAGES) {
        assert_shown(&action.finished().await, image, profile, own_user);
    }
    for action in habits {
        let done = action.finished().await;
        done.assert_failed(Reason::DeadlineExceeded, Some(143)).assert_log_complete();
        // In between, some shells say that their `sleep` was terminated.
        let tail = done.tail();
        let as_meant =
            tail.starts_with("here\n") && tail.ends_with("released\n") && !tail.contains("not here");
        assert!(as_meant, "{} under {profile}: {tail}", action.name);
        assert_eq!(done.output("kept"), "yes");
        let told = &done.condition(ConditionType::InputsAdjusted).message;
        assert!(told.contains("CR and LF") && told.contains("byte order mark"), "{told}");
    }
    let done = lingering.finished().await;
    done.assert_failed(Reason::DeadlineExceeded, Some(143)).assert_tail_has(&["released\n"]);
    let done = scratch.finished().await;
    done.assert_succeeded().assert_tail_has(&["a b"]);
    for action in foreign {
        let done = action.finished().await;
        done.assert_failed(Reason::ImagePlatformMissing, None).assert_says(&["arm64", "amd64"]);
        assert!(done.status().image.is_none());
    }
}

fn assert_shown(done: &Done, image: &str, profile: &str, own_user: &str) {
    done.assert_succeeded();
    let numeric = image.starts_with("user-numeric");
    let user = match profile {
        "Restricted" if numeric => "1234",
        "Restricted" => "65532",
        "UserNamespaceRoot" => "0",
        _ => own_user,
    };
    let root = if profile == "Restricted" || (user != "0" && profile == "Baseline") {
        "root=read-only\n"
    } else {
        "root=writable\n"
    };
    let said = format!("{image} under {profile}: {}", done.tail());
    assert!(done.tail().starts_with(&format!("uid={user} ")), "{said}");
    assert!(done.tail().contains(root), "{said}");
    assert!(done.tail().contains("secret=***\n") && done.tail().contains("kept\nkept\nkept\n"), "{said}");
    assert_eq!(done.output("shown"), "yes");
    let unverified = done.status().conditions.iter().any(|condition| condition.type_ == "ImageUnverified");
    assert!(!unverified, "{said}");
}

pub(crate) fn in_registry(image: &str) -> String {
    format!("{}/test/{image}:1", setting("LONGSHORE_REGISTRY"))
}

fn script(profile: &str) -> Action {
    of(profile, Action::script(SCRIPT)).outputs(&["shown"])
}

fn of(profile: &str, action: Action) -> Action {
    let mut token: Value = crate::action::from_secret("TOKEN", "token", "token");
    token["as"] = "File".into();
    action.with("variables", json!([token])).with("podTemplate", json!({"securityProfile": profile}))
}
