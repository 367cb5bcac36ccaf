//! How one file of a folder stands, as a value: what the vault has of it, what keeps it out, and what becomes of it by itself. Its text is
//! what `explain` says; `status` tells what is blocked by the same value.

use std::fmt;

use darkslide_protocol::FileId;

use super::rules::explanation::{blocked_until, read_back};
use crate::library::PassReason;
use crate::library::settle::Unsettled;
use crate::local_time::day;

/// What can be said of a file of a folder: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is here, and the vault has it.
    Safe {
        /// What the vault has.
        kept: Kept,
        /// What would become of a change to it.
        next: Next,
    },
    /// It is not here, and the vault has it.
    Absent {
        /// Why it is not.
        why: Absence,
        /// What the vault has.
        kept: Kept,
    },
    /// The vault does not have it as it is.
    Pending {
        /// Why not.
        cause: Cause,
        /// What becomes of that.
        next: Next,
    },
    /// It could not be backed up.
    Blocked {
        /// When that was last tried, µs since the epoch.
        at: i64,
        /// Why, and what is to be done.
        reason: String,
        /// Until when it has its pause, if it has one, µs since the epoch.
        until: Option<i64>,
        /// Whether it is tried again.
        next: Next,
    },
    /// It is no picture, or lies where none are looked for.
    LeftAlone(String),
    /// A rule leaves this picture alone.
    Skipped(String),
    /// It is a folder.
    Folder,
    /// There is nothing, and nothing is known of it.
    NothingThere,
}

/// What the vault has of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When a run found that, µs since the epoch.
    pub at: i64,
    /// Under which number.
    pub file: Option<FileId>,
    /// When the server last read it back whole, µs since the epoch.
    pub receipt: Option<i64>,
    /// As what.
    pub how: KeptAs,
}

/// As what the vault has a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptAs {
    /// As it is here, in these albums.
    It(Vec<String>),
    /// As a version that its owner replaced by an earlier one, which is in these albums.
    Replaced(Vec<String>),
    /// As it is here, in these albums, and the server's copy is known to be damaged.
    Damaged(Vec<String>),
    /// Its owner deleted it there.
    Deleted,
}

/// Why a file is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It was removed to free space.
    Freed,
    /// It was deleted or moved.
    Gone,
    /// All of its watch folder is away, for this reason.
    Offline(String),
    /// All of the folder that it was backed up from is away.
    Unreachable,
    /// It may not be looked at, for this reason: whether it is there is not known.
    Unreadable(String),
}

/// Why the vault does not have a file as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No backup has seen it.
    New,
    /// It changed.
    Changed {
        /// Since then, µs since the epoch.
        since: i64,
    },
    /// The vault has another version of its file now, and it was not looked yet whether this one is kept there.
    Displaced,
    /// The server's copy of it is damaged.
    Damaged {
        /// When that was found, µs since the epoch.
        found: i64,
    },
    /// There was no room.
    NoRoom {
        /// In these words.
        reason: String,
        /// Its bytes.
        bytes: u64,
    },
    /// It was removed to free space, and is back.
    Back,
}

/// What the agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agent {
    /// None is running.
    Absent,
    /// Its owner paused it.
    Paused,
    /// Nobody is signed in.
    SignedOut,
    /// One is running and does not answer.
    Silent,
    /// It stands back for another command that is suspended, or hangs: in these words.
    StandsBack(String),
    /// Something failed that passes, such as the server being away.
    Retries(String),
    /// It works, or would if there was something to do.
    Works,
}

/// What becomes of a file by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next run looks at it.
    Run,
    /// It has not settled.
    Settles(Unsettled),
    /// Nothing can be sent now, for this reason; it is tried again.
    Retries(String),
    /// Its folder is away, for this reason; it goes on when it is back.
    Offline(String),
    /// Its folder is paused; the command that goes on.
    Paused(&'static str),
    /// No agent is running.
    NoAgent,
    /// The agent does not answer.
    AgentSilent,
    /// The agent waits for another command, which somebody has to see to: in these words.
    AgentStandsBack(String),
    /// The agent is paused.
    AgentPaused,
    /// Nobody is signed in.
    SignedOut,
    /// A pattern of its watch folder.
    Excluded(String),
    /// Nothing: nobody looks after its folder.
    Nothing,
}

impl Agent {
    /// What becomes of a file that it looks after and that has settled.
    pub fn next(&self) -> Next {
        match self {
            Self::Absent => Next::NoAgent,
            Self::Silent => Next::AgentSilent,
            Self::StandsBack(what) => Next::AgentStandsBack(what.clone()),
            Self::Paused => Next::AgentPaused,
            Self::SignedOut => Next::SignedOut,
            Self::Retries(what) => Next::Retries(what.clone()),
            Self::Works => Next::Run,
        }
    }
}

impl Next {
    /// Of something that is to be backed up, why it waits or what it takes; none where it goes by itself now.
    pub fn hindrance(&self) -> Option<String> {
        Some(match self {
            Self::Run => return None,
            Self::Settles(reason) => reason.to_string(),
            Self::Retries(what) => format!("{what}; the agent tries again by itself"),
            Self::Offline(why) => format!("its folder is offline: {why}"),
            Self::Paused(resume) => format!("its folder is paused; `{resume}` goes on"),
            Self::NoAgent => {
                "no agent is running; `darkslide agent run` or `darkslide backup` sends it".to_owned()
            }
            Self::AgentSilent => {
                "the agent does not answer: it hangs, or was suspended; `darkslide agent status` says what to do".to_owned()
            }
            Self::AgentStandsBack(what) => format!("{what}; the agent goes on when that has ended"),
            Self::AgentPaused => "the agent is paused; `darkslide agent resume` goes on".to_owned(),
            Self::SignedOut => "nobody is signed in; run `darkslide login`".to_owned(),
            Self::Excluded(pattern) => PassReason::Excluded(pattern.clone()).to_string(),
            Self::Nothing => "it is in no watch or sync folder; `darkslide backup` sends it".to_owned(),
        })
    }

    /// Whether it goes one day without anybody doing anything here.
    fn is_under_way(&self) -> bool {
        matches!(self, Self::Run | Self::Settles(_) | Self::Retries(_) | Self::Offline(_))
    }
}

impl Standing {
    pub(super) fn left_alone(reason: impl Into<String>) -> Self {
        Self::LeftAlone(reason.into())
    }

    /// The bytes of what lacks nothing but room in the vault.
    pub fn bytes_without_room(&self) -> Option<u64> {
        match self {
            Self::Pending { cause: Cause::NoRoom { bytes, .. }, .. } => Some(*bytes),
            _ => None,
        }
    }

    /// Of what could not be backed up, the reason, and whether it is tried again, without the day: the same for all that share it.
    pub fn reason(&self) -> String {
        match self {
            Self::Blocked { reason, until, next, .. } => {
                let later =
                    "It is tried again after pauses that grow to a day; `darkslide explain` says when.";
                let when = until.filter(|_| next.is_under_way()).map(|_| later.to_owned());
                format!("{reason}. {}", when.unwrap_or_else(|| tries_again(None, next)))
            }
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safe { kept, next: Next::Excluded(pattern) } => {
                let excluded = PassReason::Excluded(pattern.clone());
                write!(formatter, "{kept} A change to it is not backed up: {excluded}.")
            }
            Self::Safe { kept, .. } => kept.fmt(formatter),
            Self::Absent { why, kept } => write!(formatter, "{why} {kept}"),
            Self::Pending { cause, next } => write_pending(formatter, cause, next),
            Self::Blocked { at, reason, until, next } => {
                write!(formatter, "Blocked on {}: {reason}. {}", day(*at), tries_again(*until, next))
            }
            Self::LeftAlone(reason) => write!(formatter, "Not backed up: {reason}."),
            Self::Skipped(reason) => write!(formatter, "Skipped: {reason}."),
            Self::Folder => formatter.write_str("It is a folder: name a picture in it."),
            Self::NothingThere => formatter.write_str("There is no such file, or it may not be read."),
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Backed up on {}", day(self.at))?;
        let Some(file) = self.file else { return formatter.write_str(".") };
        write!(formatter, " as file {file}")?;
        match &self.how {
            KeptAs::It(albums) => write!(formatter, ", in {}{}.", albums.join(", "), read_back(self.receipt)),
            KeptAs::Replaced(albums) => write!(
                formatter,
                ", in {}. An earlier version was brought back there, so what lies here is not sent again; `darkslide versions {file}` lists what can be had.",
                albums.join(", ")
            ),
            KeptAs::Damaged(albums) => write!(
                formatter,
                ", in {}. The server's copy is damaged: whoever still has it sends it again with the next backup.",
                albums.join(", ")
            ),
            KeptAs::Deleted => formatter.write_str(", and deleted from the vault since."),
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Freed => formatter.write_str("Removed from this device to free space."),
            Self::Gone => formatter.write_str("It is not on this device any more."),
            Self::Offline(why) => write!(formatter, "Its folder is offline: {why}."),
            Self::Unreachable => formatter.write_str("Its folder cannot be reached now."),
            Self::Unreadable(why) => write!(formatter, "It cannot be looked at now: {why}."),
        }
    }
}

fn tries_again(until: Option<i64>, next: &Next) -> String {
    match next.hindrance() {
        Some(hindrance) if !next.is_under_way() => format!("It is not tried again by itself: {hindrance}."),
        _ => blocked_until(until),
    }
}

fn write_pending(formatter: &mut fmt::Formatter<'_>, cause: &Cause, next: &Next) -> fmt::Result {
    let hindrance = next.hindrance();
    let (waiting, what) = match cause {
        Cause::New => {
            let hindrance = hindrance.unwrap_or_else(|| "no backup has seen it yet".to_owned());
            let lead = if next.is_under_way() { "Waiting" } else { "Not backed up" };
            return write!(formatter, "{lead}: {hindrance}.");
        }
        Cause::NoRoom { reason, .. } => {
            write!(
                formatter,
                "Waiting: {reason} for it; free some space in the vault, or ask its owner for more"
            )?;
            let hindrance = hindrance.filter(|_| !next.is_under_way());
            return write!(formatter, "{}.", hindrance.map_or_else(String::new, |why| format!("; {why}")));
        }
        Cause::Changed { since } => {
            (format!("it changed since {}", day(*since)), "the next backup reads it again")
        }
        Cause::Displaced => (
            "the vault has another version of it now".to_owned(),
            "the next backup looks whether this one is kept there",
        ),
        Cause::Damaged { found } => (
            format!("the server's copy was found to be damaged on {}", day(*found)),
            "it is sent again by the next backup",
        ),
        Cause::Back => {
            ("it was removed to free space, and is back".to_owned(), "the next backup looks at it")
        }
    };
    match hindrance {
        None => write!(formatter, "Waiting: {waiting}; {what}."),
        Some(hindrance) if next.is_under_way() => write!(formatter, "Waiting: {waiting}; {hindrance}."),
        Some(hindrance) => write!(formatter, "Not backed up as it is now: {waiting}, and {hindrance}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a file that no backup has seen, and of one that changed, is what will become of it.
    #[test]
    fn nothing_is_promised_that_will_not_happen() {
        let told = |cause: &Cause, next: &Next| {
            Standing::Pending { cause: cause.clone(), next: next.clone() }.to_string()
        };
        let causes = [
            Cause::New,
            Cause::Changed { since: 0 },
            Cause::Displaced,
            Cause::Damaged { found: 0 },
            Cause::Back,
        ];
        let mut text = String::new();
        for next in [
            Next::Run,
            Next::Settles(Unsettled::Incomplete),
            Next::Retries("the server does not answer".to_owned()),
            Next::Offline("its disk does not answer".to_owned()),
            Next::Paused("darkslide watch resume"),
            Next::NoAgent,
            Next::AgentSilent,
            Next::AgentStandsBack("another command hangs".to_owned()),
            Next::AgentPaused,
            Next::SignedOut,
            Next::Excluded("*.jpg".to_owned()),
            Next::Nothing,
        ] {
            let is_promised = next.is_under_way();
            for cause in &causes {
                let sentence = told(cause, &next);
                assert_eq!(sentence.starts_with("Waiting: "), is_promised, "{sentence}");
            }
            text += &format!("{}\n{}\n", told(&causes[0], &next), told(&causes[1], &next));
        }
        insta::assert_snapshot!(text);
    }

    /// What lacks nothing but room is counted by its bytes, and says what is in its way beside that.
    #[test]
    fn what_has_no_room_says_so_and_how_much_it_needs() {
        let cause = || Cause::NoRoom { reason: "there is no room".to_owned(), bytes: 7 };
        let pending = |cause, next| Standing::Pending { cause, next };
        assert_eq!(pending(cause(), Next::Run).bytes_without_room(), Some(7));
        assert_eq!(pending(Cause::New, Next::Run).bytes_without_room(), None);
        assert_eq!(Standing::Folder.bytes_without_room(), None);
        let away = pending(cause(), Next::Retries("the server is away".to_owned())).to_string();
        assert!(!away.contains("away"), "{away}");
        let alone = pending(cause(), Next::NoAgent).to_string();
        assert!(alone.contains("no agent is running"), "{alone}");
        let blocked =
            |next| Standing::Blocked { at: 0, reason: "it is broken".to_owned(), until: None, next };
        let told = blocked(Next::Retries("the server is away".to_owned())).to_string();
        assert!(told.ends_with("The next backup tries again."), "{told}");
    }

    #[test]
    fn what_is_blocked_says_when_it_is_tried_again() {
        let mut text = String::new();
        for (until, next) in [
            (None, Next::Run),
            (Some(1_700_000_000_000_000), Next::Run),
            (Some(1_700_000_000_000_000), Next::Nothing),
        ] {
            let told = Standing::Blocked { at: 0, reason: "its disk may be failing".to_owned(), until, next };
            text += &format!("{told}\n{}\n", told.reason());
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn what_is_safe_is_said_to_be_whatever_else_is_so() {
        let kept = |how| Kept { at: 0, file: Some(FileId(7)), receipt: None, how };
        let albums = || vec!["Paris".to_owned()];
        let safe = |how, next| Standing::Safe { kept: kept(how), next }.to_string();
        let excluded = Next::Excluded("*.jpg".to_owned());
        let text = [
            safe(KeptAs::It(albums()), Next::Run),
            safe(KeptAs::It(albums()), excluded),
            safe(KeptAs::Replaced(albums()), Next::Run),
            safe(KeptAs::Damaged(albums()), Next::Run),
            safe(KeptAs::Deleted, Next::Run),
            Standing::Absent {
                why: Absence::Offline("it is empty".to_owned()),
                kept: kept(KeptAs::It(albums())),
            }
            .to_string(),
        ];
        insta::assert_snapshot!(text.join("\n"));
    }
}
