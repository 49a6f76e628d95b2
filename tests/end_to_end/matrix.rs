//! Any image: each kind of image under each profile. The way by which the runner gets in is that of
//! the operator, so two test binaries share this.

use longshore::api::Reason;
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

fn in_registry(image: &str) -> String {
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
