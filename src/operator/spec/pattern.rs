//! Patterns of parameters. Each is read once for each generation of an action and its template, and matched
//! within bounds.
//!
//! Reading takes up to 8 us for each KiB of the compiled pattern. A character that stands for letters of all
//! scripts in either case takes 35 us. Matching takes time in proportion to pattern and value: up to 12 ns
//! for each state of the pattern and each byte of the value. So all patterns and values of an action take a
//! third of a second at worst. Without a bound, 64 parameters with the pattern `(a{1,50}){1,50}b` and values
//! of 32 KiB would keep a core busy for minutes.

use std::error::Error;

use regex_automata::nfa::thompson::{Config, WhichCaptures, pikevm::PikeVM};

/// The largest compiled pattern, in bytes.
const MAX_BYTES: usize = 512 << 10;
/// The same for all patterns of a template together.
const MAX_ALL_BYTES: usize = 4 << 20;
/// The most steps for matching all values of an action, in states times bytes.
const MAX_STEPS: usize = 10_000_000;

/// A pattern that was read.
#[derive(Debug)]
pub(super) struct Pattern(PikeVM);

/// The bytes and steps that are left for reading and matching patterns.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    steps: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: MAX_ALL_BYTES, steps: MAX_STEPS }
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it. The text follows the pattern's name in a message.
    pub(super) fn read(text: &str, budget: &mut Budget) -> Result<Self, String> {
        let most = MAX_BYTES.min(budget.bytes);
        let config = Config::new().nfa_size_limit(Some(most)).which_captures(WhichCaptures::None);
        let read = PikeVM::builder().thompson(config).build(text).map_err(|error| {
            if error.size_limit().is_some() && most < MAX_BYTES {
                return format!(
                    "takes, with those before it, more than {MAX_ALL_BYTES} bytes when it is compiled: make \
                     the patterns simpler, or let the script check"
                );
            }
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
        })?;
        budget.bytes = budget.bytes.saturating_sub(read.get_nfa().memory_usage());
        Ok(Self(read))
    }

    /// Whether the pattern is in the value.
    ///
    /// # Errors
    /// Finding out takes too long. The text follows the parameter's name in a message.
    pub(super) fn is_in(&self, value: &str, budget: &mut Budget) -> Result<bool, String> {
        let takes = self.0.get_nfa().states().len().saturating_mul(value.len() + 1);
        budget.steps = budget.steps.checked_sub(takes).ok_or_else(|| {
            format!(
                "takes {takes} steps to be matched with its pattern (states of the pattern times bytes of the value), \
                 and all parameters together may take {MAX_STEPS}: give a shorter value, or ask for a simpler pattern"
            )
        })?;
        Ok(self.0.is_match(&mut self.0.create_cache(), value))
    }
}
