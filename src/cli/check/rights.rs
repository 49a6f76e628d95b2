//! What the user may do.

use futures::future::join_all;
use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
};
use kube::{Api, api::PostParams};

use super::finding::{Finding, Verdict};
use crate::{
    api::LOG_GROUP,
    cli::{
        connect::Session,
        error::{CliError, FORBIDDEN},
        right::Right,
    },
};

/// Something that people do, and the rights for it.
struct Deed {
    what: &'static str,
    /// All of them are needed.
    rights: Vec<Right>,
    /// The verdict if one is missing.
    without: Verdict,
    /// What does not work then.
    effect: &'static str,
    /// Whether the right is one that people usually get.
    usual: bool,
}

fn deeds(namespace: &str) -> Vec<Deed> {
    let here = Some(namespace);
    let actions = |verb: &str| Right::own(verb, "deploymentactions", here);
    vec![
        Deed {
            what: "see actions",
            rights: vec![actions("get"), actions("list"), actions("watch")],
            without: Verdict::Bad,
            effect: "no command of this plugin works",
            usual: true,
        },
        Deed {
            what: "run actions",
            rights: vec![actions("create"), actions("update"), actions("patch")],
            without: Verdict::Bad,
            effect: "you can create no action, and rerun, cancel or suspend none",
            usual: true,
        },
        Deed {
            what: "see templates",
            rights: vec![
                Right::own("get", "deploymentactiontemplates", here),
                Right::own("list", "deploymentactiontemplates", here),
            ],
            without: Verdict::Note,
            effect: "templates cannot be listed, nor values compared with them",
            usual: true,
        },
        Deed {
            what: "choose freely",
            rights: vec![Right::new("create", "", "pods", here)],
            without: Verdict::Note,
            effect: "you need the verb use on each template, Secret and service account that an action names (docs/guides/access.md)",
            usual: false,
        },
        Deed {
            what: "read logs",
            rights: vec![Right::new("get", LOG_GROUP, "deploymentactions/log", here)],
            without: Verdict::Note,
            effect: "you see the last lines that the status keeps, and more with the right on pods/log",
            usual: true,
        },
        Deed {
            what: "see pods",
            rights: vec![Right::new("get", "", "pods", here), Right::new("list", "", "events", here)],
            without: Verdict::Note,
            effect: "describe shows neither pods nor their events",
            usual: true,
        },
    ]
}

/// The name under which the API server knows the user.
pub(super) async fn user(session: &Session) -> Result<String, CliError> {
    let reviews: Api<SelfSubjectReview> = Api::all(session.client.clone());
    let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
    let user = review.status.and_then(|status| status.user_info).and_then(|info| info.username);
    Ok(user.unwrap_or_else(|| "you".to_owned()))
}

pub(super) async fn findings(session: &Session, user: &str) -> Result<Vec<Finding>, CliError> {
    let mut findings = Vec::new();
    for deed in deeds(&session.namespace) {
        let asked = deed.rights.iter().map(|right| allowed(session, right));
        let mut missing = Vec::new();
        for (right, allowed) in deed.rights.iter().zip(join_all(asked).await) {
            if !allowed? {
                missing.push(right);
            }
        }
        findings.push(finding(&deed, &missing, user));
    }
    Ok(findings)
}

fn finding(deed: &Deed, missing: &[&Right], user: &str) -> Finding {
    if missing.is_empty() {
        return Finding::new(deed.what, Verdict::Ok, "you may");
    }
    if !deed.usual {
        return Finding::new(deed.what, deed.without, deed.effect);
    }
    let mut commands: Vec<String> = missing.iter().map(|right| right.grant(user)).collect();
    commands.dedup();
    let told: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let next = format!(
        "you may not {}\nsomebody who may grant it, such as an admin of the namespace, can run:\n{}",
        told.join(", "),
        commands.join("\n")
    );
    Finding::new(deed.what, deed.without, deed.effect).next(next).code(FORBIDDEN)
}

async fn allowed(session: &Session, right: &Right) -> Result<bool, CliError> {
    let (resource, part) = match right.resource.split_once('/') {
        Some((resource, part)) => (resource, Some(part.to_owned())),
        None => (right.resource.as_str(), None),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(right.verb.clone()),
                group: Some(right.group.clone()),
                resource: Some(resource.to_owned()),
                subresource: part,
                namespace: right.namespace.clone(),
                name: right.name.clone(),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(session.client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
