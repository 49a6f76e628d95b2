//! What a request brings: the parameters of its address, and the fields of its form.

use std::sync::Arc;

use axum::Extension;
use http::Uri;

/// The fields of a form that came from here.
#[derive(Debug, Clone)]
pub(super) struct Form(pub(super) Arc<Vec<(String, String)>>);

/// A form's field. It is empty if it is not there.
pub(super) fn field<'a>(Extension(Form(form)): &'a Extension<Form>, name: &str) -> &'a str {
    form.iter().find(|(of, _)| of == name).map_or("", |(_, value)| value)
}

/// A parameter of the query.
pub(super) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query().unwrap_or_default().as_bytes();
    form_urlencoded::parse(query).find(|(of, _)| of == name).map(|(_, value)| value.into_owned())
}
