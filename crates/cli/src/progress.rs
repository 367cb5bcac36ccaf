//! The engine's events as a person likes to see them: files, bytes, rate, time left, what is being worked on, what is waited for.
//!
//! It only draws. Without a terminal it is silent, except for what needs the user: failures, a full server.

use crate::output::{Output, bytes, printable};
use crate::pace::{InWork, Pace};
use console::{Term, truncate_str};
use darkslide_client::event::{Event, Events, Outcome};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;

/// How often the line is redrawn while nothing happens.
const TICK: Duration = Duration::from_millis(200);

/// How long a name may be on a terminal of 80 columns or less.
const NAME_CHARACTERS: usize = 40;

/// How long the bar is on a terminal of 80 columns or less.
const BAR_CHARACTERS: u16 = 20;

/// Files that are named at once; on a low terminal fewer.
const FILES_SHOWN_MAX: usize = 12;

/// How long the last of it may take.
const DRAWN_WITHIN: Duration = Duration::from_secs(5);

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

    /// Waits until all that was told has been drawn. Every other copy of `events` must be gone, but for that of a thread which a disk keeps that does
    /// not answer: nobody waits for that.
    pub(crate) async fn end(mut self) {
        drop(self.events);
        // It fails only if drawing panicked, which must not turn a good backup into a failed command.
        let _drawn = tokio::time::timeout(DRAWN_WITHIN, &mut self.drawing).await;
        self.drawing.abort();
    }
}

async fn draw(output: Output, verb: &'static str, mut events: Receiver<Event>) {
    let mut block = Block::new(output, verb);
    while let Some(event) = events.recv().await {
        block.show(event);
    }
    block.bar.finish_and_clear();
}

/// Rows and columns of a terminal.
type Size = fn() -> (u16, u16);

/// What is shown: how far all of it is, what is being worked on, and what is waited for.
struct Block {
    output: Output,
    verb: &'static str,
    bar: ProgressBar,
    /// Rows and columns of the terminal.
    size: Size,
    pace: Pace,
    thumbnails_left: u64,
    waiting: Option<String>,
}

impl Block {
    fn new(output: Output, verb: &'static str) -> Self {
        let target =
            if output.shows_progress() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let block = Self::on(target, || Term::stderr().size(), output, verb);
        block.bar.enable_steady_tick(TICK);
        block
    }

    fn on(target: ProgressDrawTarget, size: Size, output: Output, verb: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target);
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid"));
        Self { output, verb, bar, size, pace: Pace::default(), thumbnails_left: 0, waiting: None }
    }

    fn show(&mut self, event: Event) {
        match event {
            Event::Scanned { found } => self.bar.set_message(format!("scanning: {found} files found")),
            Event::Planned { assets, bytes } => self.plan(assets, bytes),
            Event::Started { name, bytes } if !self.bar.is_hidden() => {
                self.pace.start(name, bytes, Instant::now());
            }
            // The summary says what is to be done when the vault is full.
            Event::Started { .. }
            | Event::OriginalsDone
            | Event::ScreenStaysOn(_)
            | Event::Unsettled(_)
            | Event::StorageFull { .. } => {}
            Event::Moved { name, bytes } => self.advance(&name, bytes),
            Event::Finished { name, outcome } => self.finish(&name, &outcome),
            Event::Unreadable { name, reason } => self.say(&format!("{}: {reason}", name.display())),
            Event::Waiting { reason, delay } => self.wait(&reason, delay),
            Event::ThumbnailsLeft { left } => self.thumbnails_left = left,
        }
        self.describe();
    }

    fn plan(&mut self, files: u64, bytes: u64) {
        self.pace.plan(files, bytes);
        self.bar.inc_length(bytes);
        let (_, columns) = (self.size)();
        let width = (columns / 4).clamp(BAR_CHARACTERS, 3 * BAR_CHARACTERS);
        let style = ProgressStyle::with_template(&format!(
            "{{spinner}} {{prefix}}\n  [{{bar:{width}}}] {{percent}} %, {{decimal_bytes}} of {{decimal_total_bytes}}, {{decimal_bytes_per_sec}}{{msg}}",
        ));
        let style = style.expect("the template is valid").progress_chars("=> ");
        self.bar.set_style(style);
        self.bar.set_message("");
    }

    fn advance(&mut self, name: &Path, bytes: u64) {
        self.waiting = None;
        self.bar.inc(self.pace.advance(name, bytes));
    }

    fn finish(&mut self, name: &Path, outcome: &Outcome) {
        self.bar.inc(self.pace.finish(name));
        if let Outcome::Failed(reason) = outcome {
            self.say(&format!("{}: {reason}", name.display()));
        }
    }

    fn wait(&mut self, reason: &str, delay: Duration) {
        let text = format!("{reason}; trying again in {:.0} s", delay.as_secs_f32().max(1.0));
        if self.bar.is_hidden() {
            self.say(&text);
        } else {
            self.waiting = Some(printable(&text));
        }
    }

    fn describe(&self) {
        if self.pace.files == 0 || self.bar.is_hidden() {
            return;
        }
        let (rows, columns) = (self.size)();
        let headline = if self.thumbnails_left > 0 && self.pace.files_done >= self.pace.files {
            format!("all originals are safe; thumbnails to make: {}", self.thumbnails_left)
        } else {
            format!("{}: {} of {} files", self.verb, self.pace.files_done, self.pace.files)
        };
        self.bar.set_prefix(headline);
        let lines = self.lines(usize::from(rows), usize::from(columns));
        let left = self.pace.left(Instant::now());
        let left = left.map_or_else(String::new, |left| format!(", {:#} left", HumanDuration(left)));
        let below: Vec<String> = std::iter::once(left).chain(lines).collect();
        self.bar.set_message(below.join("\n"));
    }

    /// The lines below the bar, as many and as long as there is room for: the files that take longest, and what is waited for.
    fn lines(&self, rows: usize, columns: usize) -> Vec<String> {
        let room = (rows / 3).clamp(1, FILES_SHOWN_MAX);
        let mut files: Vec<&InWork> = self.pace.in_work.iter().collect();
        files.sort_by_key(|file| std::cmp::Reverse(file.bytes));
        let mut lines: Vec<String> = files.iter().take(room).map(|file| file.line(columns)).collect();
        if let Some(more) = files.len().checked_sub(room).filter(|more| *more > 0) {
            lines.push(format!("    … and {more} more"));
        }
        lines.extend(self.waiting.iter().map(|waiting| format!("  Waiting: {waiting}")));
        lines.iter().map(|line| truncate_str(line, columns.saturating_sub(1), "…").into_owned()).collect()
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

impl InWork {
    fn line(&self, columns: usize) -> String {
        let name = short(&self.name, (columns / 2).clamp(NAME_CHARACTERS, 3 * NAME_CHARACTERS));
        if self.moved == 0 || self.moved >= self.bytes {
            return format!("    {name}  {}", bytes(self.bytes));
        }
        format!("    {name}  {} of {}", bytes(self.moved), bytes(self.bytes))
    }
}

/// The last part of a path, clipped in the middle.
fn short(path: &Path, most: usize) -> String {
    let name = printable(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy());
    let characters: Vec<char> = name.chars().collect();
    if characters.len() <= most {
        return name;
    }
    let half = (most / 2).saturating_sub(1);
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
    use indicatif::InMemoryTerm;
    use std::sync::Arc;

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(short(Path::new("/a/IMG_1.jpg"), 28), "IMG_1.jpg");
        assert_eq!(short(Path::new(&"x".repeat(60)), 28).chars().count(), 27);
    }

    /// What a person sees who leaves it open, on a small terminal and on a large one.
    #[test]
    fn a_backup_under_way() {
        let terminals: [(u16, u16, Size); 2] = [(24, 80, || (24, 80)), (60, 200, || (60, 200))];
        for (rows, columns, size) in terminals {
            let terminal = InMemoryTerm::new(rows, columns);
            let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
            let mut block = Block::on(target, size, Output { json: false, quiet: false }, "backing up");
            block.show(Event::Planned { assets: 3000, bytes: 9_000_000_000 });
            let name = |number: u64| -> Arc<Path> {
                let text = if number == 7 { "a name that goes on ".repeat(9) } else { "IMG".to_owned() };
                Path::new(&format!("/home/me/Pictures/2024/{text}_{number:04}.HEIC")).into()
            };
            for number in 0..40 {
                block.show(Event::Started { name: name(number), bytes: 1_000_000 * (number + 1) });
            }
            block.show(Event::Moved { name: name(39), bytes: 11_000_000 });
            block.show(Event::Finished {
                name: name(0),
                outcome: Outcome::Failed("it may not be read".into()),
            });
            block.show(Event::Finished { name: name(1), outcome: Outcome::Uploaded });
            block.show(Event::Waiting {
                reason: "the server does not answer".to_owned(),
                delay: Duration::from_secs(4),
            });
            block.bar.force_draw();
            // Rates, and how far the spinner has turned, are of the moment.
            let still = |line: &str| match line.split_once(" GB, ") {
                Some((before, _)) => format!("{before} GB, …"),
                None => line.replace(|c| ('\u{2800}'..='\u{28ff}').contains(&c), "⠋"),
            };
            let lines: Vec<String> = terminal.contents().lines().map(still).collect();
            insta::assert_snapshot!(format!("backup_{columns}x{rows}"), lines.join("\n"));
        }
    }

    #[test]
    fn files_in_work_fit_the_terminal() {
        let mut block = Block::new(Output { json: false, quiet: true }, "backing up");
        for number in 0..20u64 {
            let name = Path::new(&format!("/p/{}{number}.jpg", "long ".repeat(30))).into();
            block.pace.in_work.push_back(InWork { name, bytes: 1000 * number, moved: 400 });
        }
        block.waiting = Some("the server does not answer".to_owned());
        for (rows, columns, expected) in [(24, 80, 10), (60, 200, 14), (3, 20, 3)] {
            let lines = block.lines(rows, columns);
            assert_eq!(lines.len(), expected, "{rows} rows");
            assert!(lines.iter().all(|line| line.chars().count() < columns), "{lines:?}");
        }
        assert!(block.lines(24, 80)[0].ends_with("400 B of 19.00 kB"), "the largest comes first");
    }
}
