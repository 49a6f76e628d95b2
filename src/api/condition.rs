//! The conditions, and the words in which kstatus, `kubectl wait`, Helm, Flux and Argo CD read them.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use strum::{IntoStaticStr, VariantArray};

/// The longest message of a condition, in bytes; the API allows 32 KiB.
pub const MAX_MESSAGE_BYTES: usize = 2048;

/// Makes the type of what is told below: each condition's name, whether it is one of Longshore's own beside the
/// outcome, and when it is True.
macro_rules! conditions {
    ($($name:ident, $own:ident $when:literal;)*) => {
        /// The types of conditions that an action has.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
        #[allow(clippy::doc_markdown, reason = "the sentences are those of a table too")]
        pub enum ConditionType {
            $(#[doc = $when] $name,)*
        }

        impl ConditionType {
            /// When it is True.
            #[must_use]
            pub const fn when(self) -> &'static str {
                match self {
                    $(Self::$name => $when,)*
                }
            }

            const fn is_own(self) -> bool {
                match self {
                    $(Self::$name => conditions!(@ $own),)*
                }
            }
        }
    };
    (@ own) => { true };
    (@ usual) => { false };
}

// Of these, only Ready and Succeeded are there while they are not True.
conditions! {
    Ready, usual "The action has done what it should.";
    Succeeded, usual "The latest run succeeded.";
    Finished, usual "The latest run has ended.";
    Reconciling, usual "A run is under way.";
    Stalled, usual "The latest run failed, and nothing more happens by itself.";
    OutputsLost, own "The script's outputs were lost with its log, or the API server did not store the status with all that came with the run. The verdict stands. The message says which.";
    OutputsDropped, own "Outputs that the script wrote were dropped: undeclared, too long, or malformed. The message says which.";
    ValuesUnmasked, own "A secret value is too short to be masked in the log. The message says whose.";
    InputsAdjusted, own "The script's line endings or its byte order mark were taken out, or keys of variablesFrom are no variables, or none that a shell can read, or another user runs than the one that the image names. The message says which.";
    ImageUnverified, own "What the node reports that it ran is none of the image's digests that are known.";
    VerdictDisputed, own "What came later contradicts the verdict, which stands.";
    RequestIgnored, own "An annotation asks for something that cannot be done: it is malformed, or names what is not there. Nothing is done. The message says which and why.";
    TemplateOutdated, own "The template has changed since the latest run was made of it, which starts nothing: a new spec.runToken runs it as it is now. The message says which generation.";
    SourceOutdated, own "The ConfigMap with the script has changed since the latest run read it, which starts nothing: a new spec.runToken, or the annotation longshore.dev/rerun, runs it as it is now. Seen within about a minute.";
    SidecarsEnded, own "Containers that others injected into the pod did not end after the script, and were ended. The pod shows Failed (DeadlineExceeded) for that; the verdict stands. The message says which.";
}

impl ConditionType {
    /// Those that say something beside the outcome.
    pub fn own() -> impl Iterator<Item = Self> {
        Self::VARIANTS.iter().copied().filter(|condition| condition.is_own())
    }

    /// The type as the status has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Conditions, to look at.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a>(pub &'a [Condition]);

impl<'a> Conditions<'a> {
    /// The condition of this type.
    #[must_use]
    pub fn get(self, kind: ConditionType) -> Option<&'a Condition> {
        self.0.iter().find(|condition| condition.type_ == kind.as_str())
    }

    /// Whether the condition of this type is True.
    #[must_use]
    pub fn is_true(self, kind: ConditionType) -> bool {
        self.get(kind).is_some_and(|condition| condition.status == "True")
    }
}

/// Conditions as they should be, one after the other.
#[derive(Debug, Default)]
pub struct Builder(Vec<Condition>);

impl Builder {
    /// Adds a condition; `status` is `None` for Unknown.
    #[must_use]
    pub fn with(mut self, kind: ConditionType, status: Option<bool>, reason: &str, message: &str) -> Self {
        let mut message = message.to_owned();
        crate::record::outcome::truncate(&mut message, MAX_MESSAGE_BYTES);
        self.0.push(Condition {
            type_: kind.as_str().to_owned(),
            status: match status {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            }
            .to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        });
        self
    }

    /// Adds a condition that is True, where there is something to say.
    #[must_use]
    pub fn when(self, kind: ConditionType, reason: &str, message: Option<&str>) -> Self {
        match message {
            Some(message) => self.with(kind, Some(true), reason, message),
            None => self,
        }
    }

    /// The conditions, with the time at which each last changed its status: as `before` has it
    /// where the status is the same, else `now`.
    #[must_use]
    pub fn build(mut self, before: &[Condition], generation: i64, now: &Time) -> Vec<Condition> {
        for condition in &mut self.0 {
            condition.observed_generation = Some(generation);
            condition.last_transition_time = before
                .iter()
                .find(|old| old.type_ == condition.type_ && old.status == condition.status)
                .map_or_else(|| now.clone(), |old| old.last_transition_time.clone());
        }
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let first = Builder::default().with(ConditionType::Ready, Some(false), "Launching", "a").build(
            &[],
            1,
            &at(1),
        );
        let same = Builder::default().with(ConditionType::Ready, Some(false), "Running", "b").build(
            &first,
            1,
            &at(2),
        );
        let other = Builder::default().with(ConditionType::Ready, Some(true), "Succeeded", "").build(
            &same,
            1,
            &at(3),
        );
        assert_eq!(same[0].last_transition_time, at(1));
        assert_eq!(other[0].last_transition_time, at(3));
    }
}
