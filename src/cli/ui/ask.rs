//! What a person may ask for on the page.

/// What a person may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Rerun,
    Cancel,
    Suspend,
    Resume,
}

impl Ask {
    pub(super) const ALL: [Self; 4] = [Self::Rerun, Self::Cancel, Self::Suspend, Self::Resume];

    /// The word in addresses.
    pub(super) const fn verb(self) -> &'static str {
        match self {
            Self::Rerun => "rerun",
            Self::Cancel => "cancel",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
        }
    }

    /// Reads the word of an address.
    pub(super) fn parse(verb: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ask| ask.verb() == verb)
    }

    /// What it is called, and what happens then.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Rerun => ("Rerun", "Another run begins: the same again, with the same package digests."),
            Self::Cancel => ("Cancel", "The script gets SIGTERM, and SIGKILL after its grace period."),
            Self::Suspend => ("Suspend", "New runs are held back. A run that is under way goes on."),
            Self::Resume => ("Resume", "Runs may begin again. One begins if it was held back or is due."),
        }
    }

    /// What was done, once it is done.
    pub(super) const fn done(self) -> &'static str {
        match self {
            Self::Rerun => "A rerun is asked for.",
            Self::Cancel => "The run is being cancelled.",
            Self::Suspend => "New runs are held back.",
            Self::Resume => "Runs may begin again.",
        }
    }
}
