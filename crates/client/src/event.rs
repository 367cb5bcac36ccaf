//! What the engine tells while it works: one closed enum over a bounded channel.
//!
//! It says what happened, once each, and draws nothing; a listener that stopped listening stops no work.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::backup::Waiting;

/// How many events may wait for a slow listener before the engine waits for it.
const EVENTS_WAITING_MAX: usize = 1024;

/// One thing that happened. Names are paths on this device, or titles where a file has no path yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The scan goes on: so many files have been found in all.
    Scanned {
        /// Files found since the run began.
        found: u64,
    },
    /// The scan is over: this much is to be looked at or sent. What is unchanged is not counted.
    Planned {
        /// Assets to work on.
        assets: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// The scan is over: these have not settled, and are left to a later run, however long this one goes on.
    Unsettled(Vec<Waiting>),
    /// What was named or found cannot be read. It is told before any work begins, and is not among what is planned.
    Unreadable {
        /// Where it is.
        name: Arc<Path>,
        /// Why.
        reason: String,
    },
    /// Work on one file begins.
    Started {
        /// The file.
        name: Arc<Path>,
        /// Its plaintext bytes.
        bytes: u64,
    },
    /// Bytes of one file's original crossed the network, in either direction, or were read to see whether they are what they were.
    Moved {
        /// The file.
        name: Arc<Path>,
        /// Bytes since the last such event of this file: of ciphertext, where they crossed the network.
        bytes: u64,
    },
    /// Work on one file is over.
    Finished {
        /// The file.
        name: Arc<Path>,
        /// How it ended.
        outcome: Outcome,
    },
    /// The network or the server failed in a way that passes; work goes on after the delay.
    Waiting {
        /// What failed, for people.
        reason: String,
        /// How long nothing is tried.
        delay: Duration,
    },
    /// All originals are where they will be in this run; at most thumbnails are still to come.
    OriginalsDone,
    /// All that is left of the run, or will be behind the originals: so many thumbnails are still to be made.
    ThumbnailsLeft {
        /// Of files that are in the vault.
        left: u64,
    },
    /// Whether the screen is to stay on from now on. Never told where its owner did not wish so; when the run is over, it is not.
    ScreenStaysOn(bool),
    /// The vault or the server's disk is full. Told once for as long as pictures wait for room; nothing is sent that has none.
    StorageFull {
        /// What is full, and what is to be done.
        reason: String,
    },
}

/// How the work on one file ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Sent and committed.
    Uploaded,
    /// Already in the vault: nothing was sent.
    Linked,
    /// Taken out of the vault's trash: nothing was sent.
    Untrashed,
    /// Written to disk and compared with its content hash.
    Downloaded,
    /// Read back from the server and compared with its content hash.
    Verified,
    /// Left alone on purpose.
    Skipped(String),
    /// Neither a picture nor a video.
    NotMedia(String),
    /// The vault has no room for it. What is to be done about that is told once for all.
    NoRoom,
    /// It did not work; it is tried again in the next run.
    Failed(String),
}

/// Where events go. Cheap to clone; the default goes nowhere.
#[derive(Clone, Debug, Default)]
pub struct Events(Option<mpsc::Sender<Event>>);

impl Events {
    /// A channel: the engine's end and the listener's.
    pub fn channel() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
        (Self(Some(sender)), receiver)
    }

    /// For callers that do not listen.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Tells the listener, waiting for room if it is behind.
    pub async fn send(&self, event: Event) {
        if let Some(sender) = &self.0 {
            // A listener that went away is not a reason to stop.
            let _ = sender.send(event).await;
        }
    }

    /// Tells the listener from a thread that may block.
    pub fn send_blocking(&self, event: Event) {
        if let Some(sender) = &self.0 {
            let _ = sender.blocking_send(event);
        }
    }
}
