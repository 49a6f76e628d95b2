//! The conditions. kstatus, `kubectl wait`, Helm, Flux and Argo CD read them.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use strum::{IntoStaticStr, VariantArray};

/// The longest message of a condition, in bytes; the API allows 32 KiB.
pub const MAX_MESSAGE_BYTES: usize = 2048;

/// Defines `ConditionType` from the table below: each condition's name, whether it is one of Longshore's own
/// beside the outcome, and when it is True.
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

// Only Ready and Succeeded are there while they are not True.
conditions! {
    Ready, usual "The action has done what it should.";
    Succeeded, usual "The latest run succeeded.";
    Finished, usual "The latest run has ended.";
    Reconciling, usual "A run is under way.";
    Stalled, usual "The latest run failed, and nothing more happens by itself.";
    OutputsLost, own "The script's outputs were lost with its log, or the Secret with the sensitive ones could not be created, or the API server did not store the whole status. The verdict stands. The message says what is lost.";
    OutputsPending, own "The Secret with the sensitive outputs could not be created yet. The operator tries again, at most for an hour, or for a minute if another run follows. The verdict stands. The message says why.";
    LogNotStored, own "The archive did not take the log, or not all of it. The verdict stands. The message says what is missing.";
    OutputsDropped, own "Outputs of the script were dropped because they are undeclared, too long or malformed. The message names them.";
    ValuesUnmasked, own "A secret value or a sensitive output is too short to be masked in the log, or the script asked to mask a value that is too short, too long or one too many. The message says which.";
    InputsAdjusted, own "The script's line endings or its byte order mark were removed, keys of variablesFrom cannot be variables or cannot be read by a shell, or another user runs than the image names. The message says which.";
    ImageUnverified, own "The node reports an image whose digest is not one of the image's known digests.";
    VerdictDisputed, own "Later evidence contradicts the verdict, which stands.";
    RequestIgnored, own "An annotation asks for something impossible: it is malformed, or names a thing that does not exist. Nothing is done. The message names the annotation and the cause.";
    TemplateOutdated, own "The template is newer than the latest run. No run starts by itself: set a new spec.runToken to use it. The message says the generation.";
    SourceOutdated, own "The ConfigMap with the script is newer than the latest run. No run starts by itself: set a new spec.runToken, or the annotation longshore.dev/rerun, to use it. The operator sees a change within about a minute.";
    SidecarsEnded, own "Containers that others injected into the pod did not end after the script, so the node ended them. The pod shows Failed (DeadlineExceeded) for that reason. The verdict stands. The message names the containers.";
}

impl ConditionType {
    /// The conditions that say something beside the outcome.
    pub fn own() -> impl Iterator<Item = Self> {
        Self::VARIANTS.iter().copied().filter(|condition| condition.is_own())
    }

    /// The type, as the status has it.
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

/// Builds the conditions of a status, one after the other.
#[derive(Debug, Default)]
pub struct Builder(Vec<Condition>);

impl Builder {
    /// Adds a condition. `status` is `None` for Unknown.
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

    /// Adds a condition that is True, if there is a message.
    #[must_use]
    pub fn when(self, kind: ConditionType, reason: &str, message: Option<&str>) -> Self {
        match message {
            Some(message) => self.with(kind, Some(true), reason, message),
            None => self,
        }
    }

    /// The conditions, each with the time at which its status last changed. If `before` has the same status, it
    /// is the time there, else `now`.
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
