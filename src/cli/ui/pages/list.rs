//! The list of actions.

use k8s_openapi::jiff::Timestamp;
use maud::{Markup, html};
use strum::VariantArray;

use super::parts::{action_path, ago, class, problem};
use crate::{
    api::Phase,
    cli::{
        terminal::line,
        ui::{
            filter::{Filter, Listed, PAGE},
            row::Row,
            watched::Scope,
        },
        view::summary::Tone,
    },
};

/// What the list has beside its rows.
#[derive(Debug)]
pub(in crate::cli::ui) struct Around<'a> {
    pub(in crate::cli::ui) filter: &'a Filter,
    pub(in crate::cli::ui) scope: &'a Scope,
    /// The state of the actions that is shown.
    pub(in crate::cli::ui) revision: u64,
    /// The namespaces to choose from.
    pub(in crate::cli::ui) namespaces: &'a [String],
    /// Why the list may be out of date.
    pub(in crate::cli::ui) problem: Option<&'a str>,
    /// The address of the API server.
    pub(in crate::cli::ui) server: &'a str,
}

/// The main part of the page.
pub(in crate::cli::ui) fn main(listed: &Listed, around: &Around<'_>, now: Timestamp) -> Markup {
    let events = format!("/events?since={}&{}", around.revision, around.filter.query(listed.page));
    html! {
        h1 { "Actions" }
        p.quiet { "of " (line(around.server)) }
        (filters(around))
        div #list data-live=(events) data-first[listed.page == 1] data-most=(PAGE) {
            @if let Some(words) = around.problem { (problem(words)) }
            @if let Scope::Namespace(namespace, why) = around.scope {
                details.note {
                    summary { "These are the actions of the namespace " (line(namespace)) " alone." }
                    (problem(why))
                }
            }
            p {
                span #count { (listed.fitting) } @if listed.fitting == 1 { " action" } @else { " actions" }
                @if !around.filter.is_empty() { " fit. " a href="/" { "Show all" } }
            }
            @if !listed.actions.is_empty() {
                table.list {
                    caption.hidden { "Actions, the latest activity first" }
                    thead {
                        tr {
                            @for title in ["Action", "State", "Last runs", "Active", "Image", "Template", "Lock"] {
                                th scope="col" { (title) }
                            }
                        }
                    }
                    tbody #rows {
                        @for action in &listed.actions { (row(&Row::of(action), now)) }
                    }
                }
            }
            (pages(listed, around.filter))
        }
    }
}

/// One action.
pub(in crate::cli::ui) fn row(of: &Row, now: Timestamp) -> Markup {
    let summary = &of.summary;
    let phase = if summary.phase_word().is_empty() { "Unknown" } else { summary.phase_word() };
    html! {
        tr data-key=(of.key()) data-active=[summary.active.map(Timestamp::as_millisecond)] {
            th scope="row" {
                a href=(action_path(&summary.namespace, &summary.name)) { (line(&summary.name)) }
                span.quiet { (line(&summary.namespace)) }
            }
            td data-title="State" {
                span class=(class(Tone::of(summary.phase))) { (phase) }
                @if summary.reason != phase && !summary.reason.is_empty() {
                    span.quiet { (line(&summary.reason)) }
                }
            }
            td data-title="Last runs" { (marks(of)) }
            td data-title="Active" { (ago(summary.active, now)) }
            td data-title="Image" { (line(&of.image)) }
            td data-title="Template" { (line(&of.template)) }
            td data-title="Lock" { (line(&of.lock)) }
        }
    }
}

fn marks(of: &Row) -> Markup {
    html! {
        @if !of.marks.is_empty() {
            ol.marks {
                @for mark in &of.marks {
                    li class=(class(mark.tone)) title=(line(&mark.words)) {
                        span aria-hidden="true" { (mark.sign()) }
                        span.hidden { (line(&mark.words)) }
                    }
                }
            }
        }
    }
}

fn filters(around: &Around<'_>) -> Markup {
    let filter = around.filter;
    html! {
        form.filters role="search" action="/" method="get" {
            label { "Namespace"
                select name="namespace" {
                    option value="" { "all" }
                    @for namespace in around.namespaces {
                        option value=(namespace) selected[*namespace == filter.namespace] { (line(namespace)) }
                    }
                    @if !filter.namespace.is_empty() && !around.namespaces.contains(&filter.namespace) {
                        option value=(filter.namespace) selected { (line(&filter.namespace)) }
                    }
                }
            }
            label { "State"
                select name="phase" {
                    option value="" { "all" }
                    @for phase in Phase::VARIANTS {
                        @let word: &str = phase.into();
                        option value=(word) selected[word.eq_ignore_ascii_case(&filter.phase)] { (word) }
                    }
                }
            }
            label { "Labels"
                input type="text" name="labels" value=(filter.labels) placeholder="app=orders,!test" autocomplete="off";
            }
            label { "Text"
                input #text type="search" name="text" value=(filter.text) placeholder="name, image, template, lock, reason"
                    autocomplete="off" aria-keyshortcuts="/";
            }
            button type="submit" { "Filter" }
        }
    }
}

fn pages(listed: &Listed, filter: &Filter) -> Markup {
    let link = |page: usize| format!("/?{}", filter.query(page));
    html! {
        @if listed.pages > 1 {
            nav.pages aria-label="Pages of the list" {
                @if listed.page > 1 { a rel="prev" href=(link(listed.page - 1)) { "Newer" } }
                span { "page " (listed.page) " of " (listed.pages) }
                @if listed.page < listed.pages { a rel="next" href=(link(listed.page + 1)) { "Older" } }
            }
        }
    }
}
