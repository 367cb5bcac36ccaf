//! The engine's events as a person likes to see them: files, bytes, rate, time left, and what is being worked on.
//!
//! It only draws. Without a terminal it is silent, except for what needs the user: failures, a full server.

use crate::output::{Output, bytes, printable};
use darkslide_client::event::{Event, Events, Outcome};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

/// How often the line is redrawn while nothing happens.
const TICK: Duration = Duration::from_millis(200);

/// How long a name may be on the line.
const NAME_CHARACTERS: usize = 28;

/// The drawing end of one command's events.
#[derive(Debug)]
pub(crate) struct Progress {
    /// For the engine.
    pub(crate) events: Events,
    drawing: JoinHandle<()>,
}

impl Progress {
    /// Begins to draw under the given verb, such as “backing up”.
    pub(crate) fn begin(output: Output, verb: &'static str) -> Self {
        let (events, receiver) = Events::channel();
        let drawing = tokio::spawn(draw(output, verb, receiver));
        Self { events, drawing }
    }

    /// Waits until all that was told has been drawn. Every other copy of `events` must be gone.
    pub(crate) async fn end(self) {
        drop(self.events);
        // It fails only if drawing panicked, which must not turn a good backup into a failed command.
        let _drawn = self.drawing.await;
    }
}

async fn draw(output: Output, verb: &'static str, mut events: Receiver<Event>) {
    let mut line = Line::new(output, verb);
    while let Some(event) = events.recv().await {
        line.show(event);
    }
    line.bar.finish_and_clear();
}

/// What is on the line.
struct Line {
    output: Output,
    verb: &'static str,
    bar: ProgressBar,
    working_on: VecDeque<Arc<Path>>,
    files: u64,
    done: u64,
    thumbnails_left: u64,
}

impl Line {
    fn new(output: Output, verb: &'static str) -> Self {
        let target =
            if output.shows_progress() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        bar.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is valid"));
        bar.enable_steady_tick(TICK);
        Self { output, verb, bar, working_on: VecDeque::new(), files: 0, done: 0, thumbnails_left: 0 }
    }

    fn show(&mut self, event: Event) {
        match event {
            Event::Scanned { found } => self.bar.set_message(format!("scanning: {found} files found")),
            Event::Planned { assets, bytes } => self.plan(assets, bytes),
            Event::Started { name, .. } if !self.bar.is_hidden() => self.working_on.push_back(name),
            Event::Started { .. } => {}
            Event::Moved { bytes, .. } => self.bar.inc(bytes),
            Event::Finished { name, outcome } => self.finish(&name, &outcome),
            Event::Waiting { reason, delay } => {
                self.say(&format!("{reason}; trying again in {:.0} s", delay.as_secs_f32().max(1.0)));
            }
            Event::ThumbnailsLeft { left } => self.thumbnails_left = left,
            Event::StorageFull { reason } => {
                self.say(&format!("the server takes no more: {reason}\nFree some space, or ask for more, and run this again."));
            }
        }
        self.describe();
    }

    fn plan(&mut self, files: u64, bytes: u64) {
        self.files += files;
        self.bar.inc_length(bytes);
        let style = ProgressStyle::with_template(
            "{spinner} {wide_msg}\n  [{bar:30}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}{left}",
        );
        let style = style.expect("the template is valid").progress_chars("=> ");
        self.bar.set_style(style.with_key("left", time_left));
    }

    fn finish(&mut self, name: &Path, outcome: &Outcome) {
        self.done += 1;
        let place = self.working_on.iter().position(|other| other.as_os_str() == name.as_os_str());
        drop(place.and_then(|place| self.working_on.remove(place)));
        if let Outcome::Failed(reason) = outcome {
            self.say(&format!("{}: {reason}", name.display()));
        }
    }

    fn describe(&self) {
        if self.thumbnails_left > 0 && self.done >= self.files {
            let left = self.thumbnails_left;
            return self.bar.set_message(format!("all originals are safe; thumbnails to make: {left}"));
        }
        if self.files == 0 || self.bar.is_hidden() {
            return;
        }
        let names = self.working_on.iter().take(2).map(|name| short(name)).collect::<Vec<_>>().join(", ");
        self.bar.set_message(format!("{}: {} of {} files  {names}", self.verb, self.done, self.files));
    }

    /// A line of its own above the progress; without progress, a line on standard error.
    fn say(&self, text: &str) {
        let text = &printable(text);
        if self.bar.is_hidden() {
            self.output.warn(text);
        } else {
            self.bar.println(text);
        }
    }
}

/// Nothing is said before anything has moved: nobody knows yet.
fn time_left(state: &ProgressState, text: &mut dyn std::fmt::Write) {
    if state.pos() > 0 {
        // What cannot be drawn is not worth a failure.
        let _ = write!(text, ", {:#} left", HumanDuration(state.eta()));
    }
}

/// The last part of a path, clipped in the middle.
fn short(path: &Path) -> String {
    let name = printable(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy());
    let characters: Vec<char> = name.chars().collect();
    if characters.len() <= NAME_CHARACTERS {
        return name;
    }
    let half = NAME_CHARACTERS / 2 - 1;
    let head: String = characters.iter().take(half).collect();
    let tail: String = characters.iter().skip(characters.len() - half).collect();
    format!("{head}…{tail}")
}

/// Bytes and duration as a rate: `12 MB in 3 s (4 MB/s)`.
pub(crate) fn rate(moved: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if moved == 0 || seconds < 0.1 {
        return format!("{} in {seconds:.1} s", bytes(moved));
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people"
    )]
    let per_second = (moved as f64 / seconds) as u64;
    format!("{} in {seconds:.1} s, {}/s", bytes(moved), bytes(per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(short(Path::new("/a/IMG_1.jpg")), "IMG_1.jpg");
        assert_eq!(short(Path::new(&"x".repeat(60))).chars().count(), 27);
    }
}
