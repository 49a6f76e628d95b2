//! The masker alone, for measurements and tests from outside of this crate.

use std::rc::Rc;

use super::{mask::Masker, patterns::Patterns, secrets::Secrets};

/// Masks one text after another, as the runner masks the log of a script with these secret values.
#[derive(Debug)]
pub struct Masking {
    patterns: Patterns,
    masker: Masker,
}

impl Masking {
    /// Masks these values. Those of fewer than 6 bytes are left out.
    #[must_use]
    pub fn of<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let patterns = Patterns::default().with(&forms(values));
        Self { masker: Masker::new(patterns.clone()), patterns }
    }

    /// Masks these values too, from here on.
    pub fn learn<'a>(&mut self, values: impl IntoIterator<Item = &'a [u8]>) {
        self.patterns = self.patterns.with(&forms(values));
        self.masker.learn(&self.patterns);
    }

    /// Takes the next bytes of the text, and returns those that are certain by now.
    pub fn push<'a>(&'a mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.masker.push(bytes)
    }

    /// Ends the text, and returns the rest of it. The next byte begins another text.
    pub fn finish(&mut self) -> &[u8] {
        self.masker.finish()
    }
}

fn forms<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<Rc<[u8]>> {
    let mut secrets = Secrets::default();
    for value in values {
        secrets.add("", value);
    }
    // Above the bound the runner would run nothing.
    secrets.take_forms().unwrap_or_default().into_iter().map(Rc::from).collect()
}
