//! Which actions a list shows, and which page of it. This is pure.

use std::{cmp::Reverse, sync::Arc};

use k8s_openapi::jiff::Timestamp;
use kube::{
    ResourceExt,
    core::{Expression, Selector, SelectorExt},
};

use crate::{api::DeploymentAction, cli::view::summary::last_activity};

/// How many actions one page has.
pub(super) const PAGE: usize = 200;

/// Which actions a list shows. All texts may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) namespace: String,
    pub(super) phase: String,
    /// Labels, as kubectl's selectors have them: `a=b`, `a!=b`, `a` and `!a`, with commas between.
    pub(super) labels: String,
    /// A part of the name, namespace, image, template, lock or reason.
    pub(super) text: String,
    /// The page, from 1.
    pub(super) page: usize,
}

/// A page of a list.
#[derive(Debug)]
pub(super) struct Listed {
    /// The actions, the latest activity first.
    pub(super) actions: Vec<Arc<DeploymentAction>>,
    /// How many fit the filter.
    pub(super) fitting: usize,
    /// The page that this is, from 1.
    pub(super) page: usize,
    /// How many pages there are.
    pub(super) pages: usize,
}

impl Filter {
    /// Reads it from the query of an address.
    pub(super) fn of(query: &str) -> Self {
        let mut filter = Self { page: 1, ..Self::default() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim().to_owned();
            match &*name {
                "namespace" => filter.namespace = value,
                "phase" => filter.phase = value,
                "labels" => filter.labels = value,
                "text" => filter.text = value,
                "page" => filter.page = value.parse().unwrap_or(1).max(1),
                _ => {}
            }
        }
        filter
    }

    /// The query that leads to a page of the same list.
    pub(super) fn query(&self, page: usize) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("namespace", &self.namespace),
            ("phase", &self.phase),
            ("labels", &self.labels),
            ("text", &self.text),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        query.finish()
    }

    /// Whether everything fits.
    pub(super) fn is_empty(&self) -> bool {
        [&self.namespace, &self.phase, &self.labels, &self.text].into_iter().all(String::is_empty)
    }

    /// Whether an action fits.
    pub(super) fn fits(&self, action: &DeploymentAction) -> bool {
        let status = action.status.as_ref();
        let phase = || status.and_then(|status| status.phase).map_or("", Into::into);
        (self.namespace.is_empty() || action.metadata.namespace.as_deref() == Some(&self.namespace))
            && (self.phase.is_empty() || self.phase.eq_ignore_ascii_case(phase()))
            && (self.labels.is_empty() || selector(&self.labels).matches(action.labels()))
            && (self.text.is_empty() || self.has_text(action))
    }

    fn has_text(&self, action: &DeploymentAction) -> bool {
        let wanted = self.text.to_lowercase();
        let status = action.status.as_ref();
        let image = status.and_then(|status| status.image.as_ref()).map(|image| &image.resolved);
        let template = action.spec.template_ref.as_ref().map(|template| &template.name);
        let lock = action.spec.lock.as_ref().map(|lock| &lock.name);
        let reasons = status.into_iter().flat_map(|status| &status.conditions).map(|of| &of.reason);
        [action.metadata.name.as_ref(), action.metadata.namespace.as_ref()]
            .into_iter()
            .chain([image, action.spec.image.as_ref(), template, lock])
            .flatten()
            .chain(reasons)
            .any(|text| text.to_lowercase().contains(&wanted))
    }

    /// The page of these actions.
    pub(super) fn page_of(&self, all: Vec<Arc<DeploymentAction>>) -> Listed {
        let mut fitting: Vec<(Option<Timestamp>, Arc<DeploymentAction>)> = all
            .into_iter()
            .filter(|action| self.fits(action))
            .map(|action| (last_activity(&action), action))
            .collect();
        fitting.sort_by(|(one_at, one), (other_at, other)| {
            let name = |of: &DeploymentAction| (of.metadata.namespace.clone(), of.metadata.name.clone());
            Reverse(one_at).cmp(&Reverse(other_at)).then_with(|| name(one).cmp(&name(other)))
        });
        let count = fitting.len();
        let pages = count.div_ceil(PAGE).max(1);
        let page = self.page.clamp(1, pages);
        let actions = fitting.into_iter().skip((page - 1) * PAGE).take(PAGE).map(|(_, action)| action);
        Listed { actions: actions.collect(), fitting: count, page, pages }
    }
}

/// A selector of labels.
fn selector(text: &str) -> Selector {
    let terms = text.split(',').map(str::trim).filter(|term| !term.is_empty());
    terms
        .map(|term| {
            let part = |text: &str| text.trim().to_owned();
            if let Some((key, value)) = term.split_once("!=") {
                Expression::NotEqual(part(key), part(value))
            } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
                Expression::Equal(part(key), part(value))
            } else if let Some(key) = term.strip_prefix('!') {
                Expression::DoesNotExist(part(key))
            } else {
                Expression::Exists(part(term))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn action(name: &str, namespace: &str, second: usize) -> Arc<DeploymentAction> {
        let time = Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
        serde_json::from_value(json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": time,
                "labels": {"app": name, "team": "a"}},
            "spec": {"image": "registry.example.com/Tools:1", "templateRef": {"name": "release"},
                "lock": {"name": "prod"}},
            "status": {"phase": "Running"}}))
        .map(Arc::new)
        .unwrap()
    }

    #[test]
    fn an_action_fits_by_namespace_phase_labels_and_text() {
        let one = action("web", "shop", 1);
        for query in [
            "",
            "namespace=shop",
            "phase=Running",
            "phase=running",
            "labels=app%3Dweb",
            "labels=app%3D%3Dweb,team,!x,app!%3Dapi",
            "text=WE",
            "text=tools%3A1",
            "text=relea",
            "text=prod",
            "namespace=shop&phase=Running&labels=team&text=web",
            "unknown=x",
        ] {
            assert!(Filter::of(query).fits(&one), "{query}");
        }
        for query in
            ["namespace=sho", "phase=Failed", "labels=app%3Dapi", "labels=!team", "labels=x", "text=zzz"]
        {
            assert!(!Filter::of(query).fits(&one), "{query}");
        }
    }

    #[test]
    fn pages_hold_each_action_once_the_latest_first() {
        let all: Vec<_> = (0..450).map(|at| action(&format!("a{at:03}"), "shop", at)).collect();
        let mut names = Vec::new();
        for page in 1..=3 {
            let listed = Filter { page, ..Filter::default() }.page_of(all.clone());
            assert_eq!((listed.fitting, listed.page, listed.pages), (450, page, 3));
            names.extend(listed.actions.iter().map(|action| action.name_any()));
        }
        let expected: Vec<String> = (0..450).rev().map(|at| format!("a{at:03}")).collect();
        assert_eq!(names, expected);
        let beyond = Filter { page: 99, ..Filter::default() }.page_of(all);
        assert_eq!((beyond.page, beyond.actions.len()), (3, 50));
        let none = Filter::of("text=zzz&page=4").page_of(Vec::new());
        assert_eq!((none.page, none.pages, none.fitting), (1, 1, 0));
    }

    #[test]
    fn a_filter_s_query_leads_back_to_it() {
        let query = "namespace=a%26b&phase=Failed&labels=x%3Dy&text=%3Cb%3E&page=7";
        let filter = Filter::of(query);
        assert_eq!(filter.query(7), query);
        assert_eq!(Filter::of(&filter.query(7)), filter);
        assert_eq!(Filter::of("page=-3&page=x").page, 1);
        assert!(Filter::of("page=3").is_empty() && !filter.is_empty());
    }
}
