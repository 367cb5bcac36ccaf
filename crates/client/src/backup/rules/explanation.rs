//! The reason for each decision, as a value: why an asset is safe, waits, is left alone, or is stuck.
//!
//! Its text is the one sentence that the owner reads.

use std::fmt;

use darkslide_protocol::FileId;

use crate::backup::plan::BACK;
use crate::library::device::AssetKind;
use crate::local_time::{day, minute};

/// What can be said of an asset: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// It is in the vault, as it is, and in its albums.
    BackedUp {
        /// The file.
        file: FileId,
        /// When a run found that, µs since the epoch.
        at: i64,
        /// When the server last read it back and found it whole, µs since the epoch; `None` where nobody asked.
        receipt: Option<i64>,
        /// False for a Live Photo of which only the still has come; its video is sent as soon as it does.
        is_whole: bool,
    },
    /// It is in the vault, as it is, and a rule leaves it alone since.
    Kept {
        /// The file.
        file: FileId,
        /// When a run found that it is there, µs since the epoch.
        at: i64,
        /// The rule.
        skip: Skip,
    },
    /// It will be backed up.
    Waiting(Wait),
    /// A rule leaves it alone.
    Skipped(Skip),
    /// It cannot be, until somebody does something.
    Blocked {
        /// Why, and what is to be done.
        reason: String,
        /// Until when it has its pause, if it has one, µs since the epoch.
        until: Option<i64>,
    },
}

/// What an asset waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// Nothing but its turn.
    Turn,
    /// A network.
    Network,
    /// The server, which did not answer the last run.
    Server,
    /// A network that costs nothing.
    Unmetered(AssetKind),
    /// The way home.
    Home,
    /// The charger.
    Charger,
    /// The end of power saving.
    Power,
    /// The delay that the owner chose, until then.
    Delay(i64),
    /// A Live Photo's video, until then at most.
    Motion(i64),
    /// A network that an original may be fetched by.
    Fetch,
    /// The owner's leave to fetch originals from the cloud.
    FetchLeave,
    /// So many bytes of free space on the device, for the copy by which it is read.
    CacheRoom(u64),
    /// Its owner to bring an original of so many bytes from the cloud to the device: it is too large for any cache.
    Download(u64),
    /// The app to be in the foreground: the server takes no parts that could go on another time.
    Foreground,
    /// The next time that the system lets the app run: this time is over, or too short for it.
    Grant,
    /// The owner to open the app.
    AppOpened,
    /// The owner to unlock the private space.
    PrivateSpace,
    /// The owner to exempt the app from battery optimisation.
    BatteryExemption,
    /// Room in the vault.
    Storage,
}

/// Which rule leaves an asset alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// None of its albums is selected.
    NotSelected,
    /// It is in an album that is excluded.
    Excluded(String),
    /// Its owner deleted it from the vault then, µs since the epoch, and it was here before.
    Deleted(i64),
    /// It is neither a picture nor a video, for this reason.
    NotMedia(String),
}

impl Explanation {
    /// Whether nothing need be done.
    pub fn is_backed_up(&self) -> bool {
        matches!(self, Self::BackedUp { .. } | Self::Kept { .. })
    }
}

impl Wait {
    /// Whether nothing at all can be sent for as long as that is so.
    pub fn is_of_the_whole_run(&self) -> bool {
        matches!(
            self,
            Self::Turn
                | Self::Network
                | Self::Server
                | Self::Grant
                | Self::AppOpened
                | Self::PrivateSpace
                | Self::BatteryExemption
                | Self::Storage
        )
    }

    /// Whether it is about where one original lies, whatever the moment allows to others.
    pub fn is_of_the_original(&self) -> bool {
        matches!(self, Self::Fetch | Self::FetchLeave | Self::CacheRoom(_) | Self::Download(_))
    }
}

/// What a receipt adds to a sentence.
pub(crate) fn read_back(receipt: Option<i64>) -> String {
    receipt.map_or_else(String::new, |at| format!("; the server read it back whole on {}", day(at)))
}

/// When what is blocked is tried again.
pub(crate) fn blocked_until(until: Option<i64>) -> String {
    match until {
        Some(until) => format!(
            "It is tried again after {}, and at once when it changes or you ask for a backup.",
            minute(until)
        ),
        None => "The next backup tries again.".to_owned(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BackedUp { file, at, receipt, is_whole } => {
                write!(formatter, "Backed up on {} as file {file}", day(*at))?;
                if !is_whole {
                    formatter.write_str(", without its video, which has not arrived yet")?;
                }
                write!(formatter, "{}.", read_back(*receipt))
            }
            Self::Kept { file, at, skip } => {
                write!(formatter, "Backed up on {} as file {file}. Left alone since: {skip}.", day(*at))
            }
            Self::Waiting(wait) => write!(formatter, "Waiting: {wait}."),
            Self::Skipped(skip) => write!(formatter, "Skipped: {skip}."),
            Self::Blocked { reason, until } => {
                write!(formatter, "Blocked: {reason}. {}", blocked_until(*until))
            }
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turn => formatter.write_str("its turn comes in the next backup"),
            Self::Network => formatter.write_str("there is no network"),
            Self::Server => formatter.write_str("the server cannot be reached; the next backup tries again"),
            Self::Unmetered(AssetKind::Video) => formatter
                .write_str("videos go over unmetered networks only, unless you allow mobile data for them"),
            Self::Unmetered(_) => formatter
                .write_str("photos go over unmetered networks only, unless you allow mobile data for them"),
            Self::Home => formatter.write_str("nothing is sent while roaming, unless you allow it"),
            Self::Charger => {
                formatter.write_str("in the background it goes only while charging, as you chose")
            }
            Self::Power => formatter.write_str("the device saves power; ask for a backup to send it now"),
            Self::Delay(until) => write!(formatter, "the delay that you chose ends at {}", minute(*until)),
            Self::Motion(until) => {
                write!(formatter, "its video has not arrived; without it it goes at {}", minute(*until))
            }
            Self::Fetch => formatter
                .write_str("its original is in the cloud, and is fetched over unmetered networks only"),
            Self::FetchLeave => {
                formatter.write_str("its original is in the cloud, and fetching is switched off")
            }
            Self::CacheRoom(bytes) => {
                let mega = bytes.div_ceil(1_000_000);
                write!(formatter, "{mega} MB must be free on the device for the copy by which it is read")
            }
            Self::Download(bytes) => {
                let mega = bytes.div_ceil(1_000_000);
                write!(
                    formatter,
                    "its original of {mega} MB is in the cloud, and too large to be fetched: download it to the device"
                )
            }
            Self::Foreground => formatter.write_str("it is a long video: open the app to send it"),
            Self::Grant => formatter.write_str(
                "the system's time for the app is over, or too short for it; it goes on the next time",
            ),
            Self::AppOpened => {
                formatter.write_str("the app was closed by hand, so nothing wakes it: open it once")
            }
            Self::PrivateSpace => formatter.write_str("the private space is locked"),
            Self::BatteryExemption => {
                formatter.write_str("the system optimises the app's battery use: exempt it in the settings")
            }
            Self::Storage => formatter.write_str("there is no room left in the vault"),
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSelected => formatter.write_str("none of its albums is selected for backup"),
            Self::Excluded(album) => write!(formatter, "it is in {album:?}, which is excluded from backup"),
            Self::Deleted(at) => write!(formatter, "you deleted it from the vault on {}; {BACK}", day(*at)),
            Self::NotMedia(reason) => formatter.write_str(reason),
        }
    }
}
