//! Combines each generation of an action with each generation of its template only once. The patterns of a
//! template can take long, and somebody can annotate an action many times a second.

use kube::ResourceExt;

use super::{
    expand::{Blocked, Lookup, check},
    validate::Checked,
};
use crate::api::DeploymentAction;

/// The version of a template, if it was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// It was there.
    Found {
        /// Its UID.
        uid: String,
        /// Its generation.
        generation: i64,
    },
    /// It did not exist.
    Missing,
    /// It was not read yet.
    Unread,
}

/// The generations of an action and its template. Each change of the spec of one of them gives it another
/// generation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Generations {
    uid: String,
    generation: i64,
    template: Option<Version>,
}

impl Generations {
    /// The generation of this action, with this version of its template.
    #[must_use]
    pub(crate) fn of(action: &DeploymentAction, template: Option<Version>) -> Self {
        Self {
            uid: action.uid().unwrap_or_default(),
            generation: action.metadata.generation.unwrap_or_default(),
            template,
        }
    }
}

/// An action combined with its template.
#[derive(Debug)]
pub(crate) struct Expanded {
    /// The generations that were combined.
    pub of: Generations,
    /// Whether the spec was checked. An action at rest does not need that.
    full: bool,
    /// The template that the spec names, as the cache had it.
    pub template: Option<Lookup>,
    /// The combined spec, checked.
    pub checked: Result<Checked, Blocked>,
}

impl Expanded {
    /// Combines the action with its template, and checks the result.
    #[must_use]
    pub(crate) fn of(action: &DeploymentAction, template: Option<Lookup>, architecture: &str) -> Self {
        let checked = check(action, template.as_ref(), architecture);
        Self { full: true, checked, ..Self::unneeded(action, template) }
    }

    /// For an action at rest: nothing of it is to be executed, so nothing is checked.
    #[must_use]
    pub(crate) fn unneeded(action: &DeploymentAction, template: Option<Lookup>) -> Self {
        Self {
            of: Generations::of(action, template.as_ref().map(Lookup::version)),
            full: false,
            template,
            checked: Err(Blocked::Unread("nothing of it is to be executed".to_owned())),
        }
    }

    /// Whether the spec was checked.
    #[must_use]
    pub(crate) const fn is_full(&self) -> bool {
        self.full
    }
}

impl Lookup {
    /// The version of the template.
    #[must_use]
    pub fn version(&self) -> Version {
        match self {
            Self::Found(template) => {
                Version::Found { uid: template.uid.clone(), generation: template.generation }
            }
            Self::Missing => Version::Missing,
            Self::Unread => Version::Unread,
        }
    }

    /// Whether checking an action with this template may take longer than its size suggests.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        matches!(self, Self::Found(template) if !template.spec.parameters.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{spec::expand::Template, testing::objects::action};

    fn template(uid: &str, generation: i64) -> Lookup {
        Lookup::Found(Template {
            kind: crate::api::template::TemplateKind::DeploymentActionTemplate,
            name: "deploy".into(),
            uid: uid.into(),
            generation,
            spec: crate::api::template::TemplateSpec::default(),
        })
    }

    #[test]
    fn another_generation_of_action_or_template_is_checked_anew_and_an_annotation_is_not() {
        let versions = [None, Some(Lookup::Missing), Some(Lookup::Unread)]
            .into_iter()
            .chain([("a", 1), ("a", 2), ("b", 1)].map(|(uid, generation)| Some(template(uid, generation))));
        let versions: Vec<_> = versions.collect();
        let of = |action: &DeploymentAction, version: &Option<Lookup>| {
            Generations::of(action, version.as_ref().map(Lookup::version))
        };
        for (at, known) in versions.iter().enumerate() {
            let known = Expanded::of(&action(), known.clone(), "amd64").of;
            for (other, version) in versions.iter().enumerate() {
                assert_eq!(known == of(&action(), version), at == other, "{at} {other}");
            }
        }
        let known = Expanded::of(&action(), None, "amd64").of;
        let same = |change: fn(&mut DeploymentAction)| {
            let mut changed = action();
            change(&mut changed);
            known == of(&changed, &None)
        };
        assert!(same(|action| {
            action.annotations_mut().insert("a".into(), "b".into());
            action.metadata.resource_version = Some("77".into());
        }));
        assert!(!same(|action| action.metadata.generation = Some(77)));
        assert!(!same(|action| action.metadata.uid = Some("another".into())));
    }
}
