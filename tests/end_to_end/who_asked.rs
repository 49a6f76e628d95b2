//! Who asked for a run, and who cancelled it, as the status says.

use longshore::api::{
    ANNOTATION_CANCEL, ANNOTATION_CANCEL_BY, ANNOTATION_ON_BEHALF_OF, ANNOTATION_RERUN, ANNOTATION_RERUN_BY,
    Reason, status::Requester,
};
use serde_json::{Value, json};

use crate::{
    access::person::{Actions, Person, actions, rule},
    support::{
        action::{Action, Done},
        namespace::{Namespace, in_namespace},
    },
};

async fn writer(namespace: &Namespace, name: &str) -> Actions {
    let user = format!("{name}@{}", namespace.name);
    let person = Person::new(namespace, &user, &[rule("longshore.dev", "deploymentactions", "*")]).await;
    actions(&person, &namespace.name)
}

fn annotated(name: &str, value: impl Into<Value>) -> Value {
    json!({"metadata": {"annotations": {name: value.into()}}})
}

fn user(requester: Option<&Requester>) -> &str {
    requester.and_then(|by| by.user.as_deref()).unwrap_or("nobody").split('@').next().unwrap()
}

#[tokio::test]
async fn the_status_and_the_history_say_who_asked_and_who_cancelled() {
    in_namespace(async |namespace| {
        let (alice, bob) = (writer(namespace, "alice").await, writer(namespace, "bob").await);
        let action = namespace
            .apply("deploy", Action::script("echo up; exec sleep 1000").with("runPolicy", "Manual"))
            .await;
        let claim = annotated(ANNOTATION_ON_BEHALF_OF, "Dora");
        alice.must_patch("deploy", &claim).await;
        alice.must_patch("deploy", &json!({"spec": {"runToken": "1"}})).await;
        action.under_way().await;
        let run = Done::of(action.get().await).run().clone();
        assert_eq!(user(run.requested_by.as_ref()), "alice");
        assert_eq!(run.requested_by.unwrap().claimed_on_behalf_of.as_deref(), Some("Dora"));

        // Another run is asked for meanwhile, and the annotations are removed, as Flux does.
        bob.must_patch("deploy", &annotated(ANNOTATION_RERUN, "again")).await;
        let seen = action.until("the rerun is on record", |seen| seen.status().pending_rerun.is_some()).await;
        let pending = seen.status().pending_rerun.clone().unwrap();
        assert_eq!((pending.token.as_str(), user(pending.requested_by.as_ref())), ("again", "bob"));
        alice.must_patch("deploy", &annotated(ANNOTATION_RERUN, Value::Null)).await;
        bob.must_patch("deploy", &annotated(ANNOTATION_CANCEL, run.id.as_str())).await;

        let second = action
            .until("run 2 is under way", |seen| seen.run().started_at.is_some() && seen.run().number == 2)
            .await;
        assert_eq!(user(second.run().requested_by.as_ref()), "bob");
        assert_eq!(second.status().last_handled_rerun.as_deref(), Some("again"));
        assert!(second.status().pending_rerun.is_none());
        let past = &second.status().history[0];
        assert_eq!((past.reason.as_str(), past.number), (Reason::Cancelled.as_str(), 1));
        assert_eq!(user(past.requested_by.as_ref()), "alice");
        assert_eq!(user(past.cancel_requested_by.as_ref()), "bob");

        // Whoever may change the action cannot put somebody else's name under what they ask for.
        let forged = json!({"metadata": {"annotations": {
            ANNOTATION_CANCEL: second.run().id, ANNOTATION_CANCEL_BY: "bob@x", ANNOTATION_RERUN_BY: "bob@x",
        }}});
        alice.must_patch("deploy", &forged).await;
        let ended = action.finished().await;
        assert_eq!(user(ended.run().cancel_requested_by.as_ref()), "alice");
    })
    .await;
}
