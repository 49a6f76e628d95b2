//! Patterns of parameters: each is read once for a look at an action, and matched within bounds.
//!
//! Matching takes time in proportion to pattern and value: 20 ns for each state of the pattern and each
//! byte of the value at worst. Without a bound, 64 parameters with the pattern `(a{1,50}){1,50}b` and
//! values of 32 KiB would keep the operator busy for minutes, at each look.

use std::error::Error;

use regex_automata::nfa::thompson::{Config, WhichCaptures, pikevm::PikeVM};

/// The largest compiled pattern, in bytes.
const MAX_BYTES: usize = 512 << 10;
/// What matching all values of an action may take, in states times bytes: less than half a second.
const MAX_STEPS: usize = 20_000_000;

/// A pattern that was read.
#[derive(Debug)]
pub(super) struct Pattern(PikeVM);

/// What is left for matching.
#[derive(Debug)]
pub(super) struct Steps(usize);

impl Default for Steps {
    fn default() -> Self {
        Self(MAX_STEPS)
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, to be put after what it is.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let config = Config::new().nfa_size_limit(Some(MAX_BYTES)).which_captures(WhichCaptures::None);
        PikeVM::builder().thompson(config).build(text).map(Self).map_err(|error| {
            if error.size_limit().is_some() {
                return format!(
                    "takes more than {MAX_BYTES} bytes when it is compiled: bound the length by maxLength \
                     instead of counts such as {{1,255}}, and write letters that are meant instead of \\w"
                );
            }
            // The library draws the pattern with a caret below; the last line says what is wrong.
            let words = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            let words = words.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("is no regular expression: {words}")
        })
    }

    /// Whether the pattern is in the value.
    ///
    /// # Errors
    /// That finding out takes too long, to be put after the parameter's name.
    pub(super) fn is_in(&self, value: &str, steps: &mut Steps) -> Result<bool, String> {
        let takes = self.0.get_nfa().states().len().saturating_mul(value.len() + 1);
        steps.0 = steps.0.checked_sub(takes).ok_or_else(|| {
            format!(
                "takes {takes} steps to be matched with its pattern (states of the pattern times bytes of the value), \
                 and all parameters together may take {MAX_STEPS}: give a shorter value, or have the pattern made simpler"
            )
        })?;
        Ok(self.0.is_match(&mut self.0.create_cache(), value))
    }
}
