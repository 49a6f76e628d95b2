//! The templates that actions may use.

use k8s_openapi::jiff::Timestamp;
use maud::{Markup, html};

use super::parts::{ago, problem, template_path};
use crate::cli::{terminal::line, view::template::Template};

/// The main part of the page.
pub(in crate::cli::ui) fn main(templates: &[Template], unread: Option<&str>, now: Timestamp) -> Markup {
    html! {
        h1 { "Templates" }
        @if let Some(why) = unread {
            details.note { summary { "The cluster's templates are not shown." } (problem(why)) }
        }
        @if templates.is_empty() { p { "There are no templates here." } }
        @else {
            table.list {
                caption.hidden { "Templates" }
                thead {
                    tr { @for title in ["Template", "Parameters", "Packages", "Image", "Generation", "Age"] { th scope="col" { (title) } } }
                }
                tbody {
                    @for of in templates {
                        tr {
                            th scope="row" {
                                a href=(template_path(of.namespace.as_deref(), &of.name)) { (line(&of.name)) }
                                span.quiet { (line(of.namespace.as_deref().unwrap_or("of the cluster"))) }
                            }
                            td data-title="Parameters" { (of.spec.parameters.len()) }
                            td data-title="Packages" { (of.spec.packages.len()) }
                            td data-title="Image" { (line(&of.spec.image)) }
                            td data-title="Generation" { (of.generation) }
                            td data-title="Age" { (ago(of.created, now)) }
                        }
                    }
                }
            }
        }
    }
}
