//! The small picture beside every file: the codec of `darkslide_media` where it knows the format, a tool of the
//! system where one is installed, and a black placeholder otherwise.
//!
//! It never fails: **a thumbnail never stops a backup**. Whatever a hostile file does to a decoder ends in the
//! placeholder: a crash, an endless loop, too much memory. Decoders beside this process run in a group of their own
//! with limits on time, memory and output, and are killed as a group.

use std::ffi::OsString;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use darkslide_media::file_type::{Format, MediaKind};
use darkslide_media::thumbnail::{self, PLACEHOLDER, Thumbnail};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

/// How many thumbnails are made at once: decoding is the most that a backup asks of processor and memory.
const THUMBNAILS_MAX: usize = 2;

/// The longest that one thumbnail may take, waiting for its turn included.
const TIME_MAX: Duration = Duration::from_mins(2);

/// The longest that one tool may take.
const TOOL_TIME_MAX: Duration = Duration::from_secs(30);

/// The most address space that a tool may have, in bytes: what a picture of 100 megapixels needs, with its buffers.
const TOOL_MEMORY_MAX: u64 = 1536 << 20;

/// The largest file that a tool may write, in bytes.
const TOOL_OUTPUT_MAX: u64 = 64 << 20;

/// What to make a thumbnail of.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The picture or video; of a Live Photo the still.
    pub path: PathBuf,
    /// Its bytes, where they are in memory anyway.
    pub bytes: Option<Bytes>,
    /// What it is.
    pub format: Format,
    /// EXIF orientation, 1 to 8.
    pub orientation: u8,
    /// Where in the file the camera's own thumbnail lies: offset and length.
    pub embedded: Option<(u64, u64)>,
}

/// A JPEG, and whether it says anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The encoded picture.
    pub jpeg: Vec<u8>,
    /// It is the placeholder.
    pub is_placeholder: bool,
}

/// Makes thumbnails, a few at a time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Thumbnailer {
    enabled: bool,
    turns: Arc<Semaphore>,
    tools: Arc<Vec<Tool>>,
    limiter: Option<Arc<PathBuf>>,
}

/// A program that turns a file into a JPEG or PNG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    HeifThumbnailer,
    HeifConvert,
    VipsThumbnail,
    Ffmpeg,
}

#[derive(Clone, Debug)]
struct Tool {
    program: Program,
    path: PathBuf,
}

impl Program {
    /// In the order in which they are tried: the cheapest first.
    const ALL: [Self; 4] = [Self::HeifThumbnailer, Self::HeifConvert, Self::VipsThumbnail, Self::Ffmpeg];

    fn name(self) -> &'static str {
        match self {
            Self::HeifThumbnailer => "heif-thumbnailer",
            Self::HeifConvert => "heif-convert",
            Self::VipsThumbnail => "vipsthumbnail",
            Self::Ffmpeg => "ffmpeg",
        }
    }

    fn may_read(self, format: Format) -> bool {
        match self {
            Self::HeifThumbnailer | Self::HeifConvert => matches!(format, Format::Heif | Format::Avif),
            Self::VipsThumbnail => format.kind() == MediaKind::Image,
            Self::Ffmpeg => true,
        }
    }

    fn output_format(self) -> Format {
        if self == Self::HeifThumbnailer { Format::Png } else { Format::Jpeg }
    }

    /// Input paths are absolute, so that none is taken for an option.
    fn arguments(self, input: &Path, output: &Path) -> Vec<OsString> {
        let side = thumbnail::LONGEST_SIDE;
        let text = |text: &str| OsString::from(text);
        let (input, output) = (input.as_os_str().to_owned(), output.as_os_str().to_owned());
        match self {
            Self::HeifThumbnailer => vec![text("-s"), text(&side.to_string()), input, output],
            Self::HeifConvert => vec![text("-q"), text("90"), input, output],
            Self::VipsThumbnail => {
                vec![input, text("--size"), text(&format!("{side}>")), text("-o"), output]
            }
            Self::Ffmpeg => {
                let scale = format!("scale={side}:{side}:force_original_aspect_ratio=decrease");
                let before = ["-v", "error", "-nostdin", "-protocol_whitelist", "file", "-i"].map(text);
                let after = ["-frames:v", "1", "-vf", &scale, "-f", "image2", "-c:v", "mjpeg"].map(text);
                before.into_iter().chain([input]).chain(after).chain([output]).collect()
            }
        }
    }
}

impl Thumbnailer {
    /// With whatever tools are on `PATH` now.
    pub fn new() -> Self {
        let tools = Program::ALL
            .into_iter()
            .filter_map(|program| Some(Tool { program, path: on_path(program.name())? }))
            .collect();
        Self {
            enabled: true,
            turns: Arc::new(Semaphore::new(THUMBNAILS_MAX)),
            tools: Arc::new(tools),
            limiter: on_path("prlimit").map(Arc::new),
        }
    }

    /// With the codec alone.
    pub fn without_tools() -> Self {
        Self {
            enabled: true,
            turns: Arc::new(Semaphore::new(THUMBNAILS_MAX)),
            tools: Arc::default(),
            limiter: None,
        }
    }

    /// Makes none: every file gets the placeholder.
    pub fn off() -> Self {
        Self { enabled: false, ..Self::without_tools() }
    }

    /// The thumbnail, or the placeholder.
    pub async fn make(&self, subject: Subject) -> Made {
        if !self.enabled {
            return Made { jpeg: PLACEHOLDER.to_vec(), is_placeholder: true };
        }
        let name = subject.path.clone();
        match tokio::time::timeout(TIME_MAX, self.try_make(subject)).await {
            Ok(Some(thumbnail)) => Made { jpeg: thumbnail.jpeg, is_placeholder: false },
            outcome => {
                tracing::debug!(file = %name.display(), late = outcome.is_err(), "no thumbnail could be made");
                Made { jpeg: PLACEHOLDER.to_vec(), is_placeholder: true }
            }
        }
    }

    async fn try_make(&self, subject: Subject) -> Option<Thumbnail> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let for_codec = subject.clone();
        let decoded = tokio::task::spawn_blocking(move || {
            let thumbnail = decode(&for_codec);
            // A decoder that never ends keeps its turn: it keeps a processor, too.
            (thumbnail, turn)
        });
        // A decoder that panicked is one that failed.
        let (thumbnail, turn) = match decoded.await {
            Ok((thumbnail, turn)) => (thumbnail, Some(turn)),
            Err(_) => (None, None),
        };
        if thumbnail.is_some() {
            return thumbnail;
        }
        let made = self.by_tools(&subject).await;
        drop(turn);
        made
    }

    async fn by_tools(&self, subject: &Subject) -> Option<Thumbnail> {
        for tool in self.tools.iter().filter(|tool| tool.program.may_read(subject.format)) {
            if let Some(thumbnail) = self.by_tool(tool, &subject.path).await {
                return Some(thumbnail);
            }
        }
        None
    }

    async fn by_tool(&self, tool: &Tool, input: &Path) -> Option<Thumbnail> {
        let folder = tempfile::tempdir().ok()?;
        let format = tool.program.output_format();
        let output = folder.path().join(if format == Format::Png { "out.png" } else { "out.jpg" });
        let child = self.command(tool, input, &output).spawn().ok()?;
        if !ends_well(child).await {
            return None;
        }
        let encoded = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(&output).ok()?;
            file.take(TOOL_OUTPUT_MAX).read_to_end(&mut bytes).ok()?;
            // Tools turn pictures themselves.
            thumbnail::from_bytes(&bytes, format, 1).ok()
        });
        encoded.await.ok()?
    }

    fn command(&self, tool: &Tool, input: &Path, output: &Path) -> Command {
        let mut command = match &self.limiter {
            Some(limiter) => {
                let mut command = Command::new(limiter.as_path());
                command
                    .arg(format!("--as={TOOL_MEMORY_MAX}"))
                    .arg(format!("--fsize={TOOL_OUTPUT_MAX}"))
                    .arg(format!("--cpu={}", TOOL_TIME_MAX.as_secs()))
                    .arg(&tool.path);
                command
            }
            None => Command::new(&tool.path),
        };
        command.args(tool.program.arguments(input, output));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        command
    }
}

impl Default for Thumbnailer {
    fn default() -> Self {
        Self::new()
    }
}

fn decode(subject: &Subject) -> Option<Thumbnail> {
    let Subject { format, orientation, embedded, .. } = *subject;
    let made = match &subject.bytes {
        Some(bytes) => thumbnail::from_reader(Cursor::new(bytes), format, orientation, embedded),
        None => {
            thumbnail::from_reader(std::fs::File::open(&subject.path).ok()?, format, orientation, embedded)
        }
    };
    made.inspect_err(|error| tracing::debug!(file = %subject.path.display(), %error, "not decoded")).ok()
}

/// Waits for a tool, and ends it with all that it started when it takes too long or nobody waits any more.
async fn ends_well(mut child: Child) -> bool {
    let group = Group(child.id());
    let status = tokio::time::timeout(TOOL_TIME_MAX, child.wait()).await;
    drop(group);
    matches!(status, Ok(Ok(status)) if status.success())
}

/// A process group that does not outlive its owner's interest.
struct Group(Option<u32>);

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(leader) = leader {
            // Nothing left to kill is the usual case.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| is_program(candidate))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(path: &Path, format: Format) -> Subject {
        Subject { path: path.to_owned(), bytes: None, format, orientation: 1, embedded: None }
    }

    #[tokio::test]
    async fn a_damaged_or_missing_picture_gets_the_placeholder() {
        let folder = tempfile::tempdir().unwrap();
        let damaged = folder.path().join("a.jpg");
        std::fs::write(&damaged, b"\xff\xd8\xff\xe0 nothing").unwrap();
        let thumbnailer = Thumbnailer::without_tools();
        for (path, format) in [
            (damaged.as_path(), Format::Jpeg),
            (damaged.as_path(), Format::Heif),
            (Path::new("/gone.mp4"), Format::Mp4),
        ] {
            let made = thumbnailer.make(subject(path, format)).await;
            assert!(made.is_placeholder, "{}", path.display());
            assert_eq!(made.jpeg, PLACEHOLDER);
        }
    }

    #[cfg(unix)]
    fn scripted(folder: &Path, script: &str) -> Thumbnailer {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.join("ffmpeg");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let tools = vec![Tool { program: Program::Ffmpeg, path }];
        Thumbnailer { tools: Arc::new(tools), ..Thumbnailer::new() }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_tool_is_used_where_the_codec_does_not_know_the_format() {
        let folder = tempfile::tempdir().unwrap();
        let poster = folder.path().join("poster.jpg");
        std::fs::write(&poster, PLACEHOLDER).unwrap();
        let script = format!("for last; do :; done; cp {} \"$last\"", poster.display());
        let made = scripted(folder.path(), &script).make(subject(Path::new("/v.mp4"), Format::Mp4)).await;
        assert!(!made.is_placeholder);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_tool_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for script in ["exit 3", "exit 0", "kill -9 $$"] {
            let made = scripted(folder.path(), script).make(subject(Path::new("/v.mp4"), Format::Mp4)).await;
            assert!(made.is_placeholder, "{script}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_tool_that_is_no_longer_waited_for_ends_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("alive");
        // The grandchild holds the pipe's writing end open for as long as it lives.
        let script = format!("mkfifo {0}; sleep 600 3>{0} & exec sleep 600", fifo.display());
        let thumbnailer = scripted(folder.path(), &script);
        let work =
            tokio::spawn(async move { thumbnailer.make(subject(Path::new("/v.mp4"), Format::Mp4)).await });
        let opened = tokio::task::spawn_blocking(move || {
            loop {
                match std::fs::File::open(&fifo) {
                    Ok(file) => return file,
                    Err(_) => std::thread::yield_now(),
                }
            }
        });
        let mut pipe = opened.await.unwrap();
        work.abort();
        let ended = tokio::task::spawn_blocking(move || pipe.read(&mut [0]).unwrap());
        assert_eq!(ended.await.unwrap(), 0);
    }
}
