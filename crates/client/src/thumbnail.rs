//! The small picture beside every file: the codec of `darkslide_media` where it knows the format, a tool of the
//! system where one is installed, and none otherwise.
//!
//! **A thumbnail never stops a backup**, and never slows one down: it is made behind everything else. Whatever a hostile file does to
//! a decoder ends in no thumbnail: a crash, an endless loop, too much memory. Decoders beside this process run in a group of their own
//! with limits on time, memory and output, and are killed as a group.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::library::archive::Entry;
use crate::library::opened::Opened;
use darkslide_media::file_type::{Format, MediaKind};
use darkslide_media::thumbnail::{self, Thumbnail};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, oneshot};

/// How many thumbnails are made at once: decoding is the most that a backup asks of processor and memory.
const THUMBNAILS_MAX: usize = 2;

/// The longest that one thumbnail may take, waiting for its turn and for a processor included.
const TIME_MAX: Duration = Duration::from_mins(20);

/// The longest that one tool may take, waiting for a processor included.
const TOOL_TIME_MAX: Duration = Duration::from_mins(5);

/// The longest that one tool may keep a processor.
const TOOL_PROCESSOR_TIME_MAX: Duration = Duration::from_secs(30);

/// The most address space that a tool may have, in bytes: what a picture of 100 megapixels needs, with its buffers.
const TOOL_MEMORY_MAX: u64 = 1536 << 20;

/// The largest file that a tool may write, in bytes.
const TOOL_OUTPUT_MAX: u64 = 64 << 20;

/// The largest entry of an archive that is copied out of it for a tool, in bytes.
const TOOL_UNPACKED_MAX: u64 = 512 << 20;

/// What to make a thumbnail of.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The picture or video; of a Live Photo the still.
    pub path: PathBuf,
    /// Where its bytes are, if not in the file at that path.
    pub entry: Option<Entry>,
    /// What it is.
    pub format: Format,
    /// EXIF orientation, 1 to 8.
    pub orientation: u8,
    /// Where in the file the camera's own thumbnail lies: offset and length.
    pub embedded: Option<(u64, u64)>,
}

/// Makes thumbnails, a few at a time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Thumbnailer {
    enabled: bool,
    turns: Arc<Semaphore>,
    desks: Desks,
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
        let limiter = on_path("prlimit").map(Arc::new);
        Self { tools: Arc::new(tools), limiter, ..Self::without_tools() }
    }

    /// With the codec alone.
    pub fn without_tools() -> Self {
        Self {
            enabled: true,
            turns: Arc::new(Semaphore::new(THUMBNAILS_MAX)),
            desks: Desks::default(),
            tools: Arc::default(),
            limiter: None,
        }
    }

    /// Makes none: every file gets the placeholder.
    pub fn off() -> Self {
        Self { enabled: false, ..Self::without_tools() }
    }

    /// Whether any are made.
    pub fn is_on(&self) -> bool {
        self.enabled
    }

    /// Whether it is worth trying: somebody here reads the format, or a camera put a small picture inside.
    pub fn may_make(&self, subject: &Subject) -> bool {
        let by_tool = || self.has_tool(subject.format);
        self.enabled && (subject.embedded.is_some() || thumbnail::is_decoded(subject.format) || by_tool())
    }

    fn has_tool(&self, format: Format) -> bool {
        self.tools.iter().any(|tool| tool.program.may_read(format))
    }

    /// The thumbnail as a JPEG; none where none can be made. It takes its time, and leaves the processor to whatever else wants it.
    pub async fn make(&self, subject: Subject) -> Option<Vec<u8>> {
        if !self.enabled {
            return None;
        }
        let name = subject.path.clone();
        let made = tokio::time::timeout(TIME_MAX, self.try_make(subject)).await;
        let late = made.is_err();
        let made = made.ok().flatten();
        if made.is_none() {
            tracing::debug!(file = %name.display(), late, "no thumbnail could be made");
        }
        made.map(|thumbnail| thumbnail.jpeg)
    }

    async fn try_make(&self, subject: Subject) -> Option<Thumbnail> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let for_codec = subject.clone();
        let decoded = self.desks.run(move || {
            let thumbnail = decode(&for_codec);
            // A decoder that never ends keeps its turn: it keeps a processor, too.
            (thumbnail, turn)
        });
        // A decoder that panicked is one that failed.
        let (thumbnail, turn) = match decoded.await {
            Some((thumbnail, turn)) => (thumbnail, Some(turn)),
            None => (None, None),
        };
        if thumbnail.is_some() {
            return thumbnail;
        }
        let made = self.by_tools(&subject).await;
        drop(turn);
        made
    }

    async fn by_tools(&self, subject: &Subject) -> Option<Thumbnail> {
        let unpacked = match &subject.entry {
            Some(entry) if self.has_tool(subject.format) => Some(self.unpacked(entry.clone()).await?),
            _ => None,
        };
        for tool in self.tools.iter().filter(|tool| tool.program.may_read(subject.format)) {
            let input = unpacked.as_ref().map_or(subject.path.as_path(), |unpacked| unpacked.path());
            if let Some(thumbnail) = self.by_tool(tool, input).await {
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
        step_back(child.id());
        if !ends_well(child).await {
            return None;
        }
        let encoded = self.desks.run(move || {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(&output).ok()?;
            file.take(TOOL_OUTPUT_MAX).read_to_end(&mut bytes).ok()?;
            // Tools turn pictures themselves.
            thumbnail::from_bytes(&bytes, format, 1).ok()
        });
        encoded.await?
    }

    /// A copy of an entry for tools, which read files only, under a name of our own. It is gone when it is dropped.
    async fn unpacked(&self, entry: Entry) -> Option<tempfile::NamedTempFile> {
        if entry.fingerprint().size > TOOL_UNPACKED_MAX {
            return None;
        }
        let copied = self.desks.run(move || {
            let mut file = tempfile::NamedTempFile::new().ok()?;
            std::io::copy(&mut entry.open().ok()?, file.as_file_mut()).ok()?;
            Some(file)
        });
        copied.await?
    }

    fn command(&self, tool: &Tool, input: &Path, output: &Path) -> Command {
        let mut command = match &self.limiter {
            Some(limiter) => {
                let mut command = Command::new(limiter.as_path());
                command
                    .arg(format!("--as={TOOL_MEMORY_MAX}"))
                    .arg(format!("--fsize={TOOL_OUTPUT_MAX}"))
                    .arg(format!("--cpu={}", TOOL_PROCESSOR_TIME_MAX.as_secs()))
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

/// Threads that get what the others leave of the processors. Each is a pool of one: a decoder that splits a picture for others finds nobody
/// but itself, works row by row, and holds no more of it than that.
#[derive(Clone, Debug, Default)]
struct Desks(Arc<Mutex<Vec<ThreadPool>>>);

impl Desks {
    /// Runs work at a desk that is free. None if it panicked.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let desk = free.map_or_else(Self::another, Ok);
        let desk = desk.inspect_err(|error| tracing::debug!(%error, "no thread for a thumbnail")).ok()?;
        let (done, result) = oneshot::channel();
        desk.spawn(move || {
            // Nobody waits any more only when the run is over.
            let _ = done.send(work());
        });
        // Work that nobody waits for any more keeps its desk, which is nobody's then.
        let result = result.await.ok();
        if result.is_some() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(desk);
        }
        result
    }

    fn another() -> Result<ThreadPool, ThreadPoolBuildError> {
        ThreadPoolBuilder::new()
            .num_threads(1)
            .thread_name(|_| "thumbnail".to_owned())
            .start_handler(|_| step_back(None))
            .panic_handler(drop)
            .build()
    }
}

/// Lets everything else go first: this thread, or another process. Where that cannot be had, work is done all the same.
fn step_back(process: Option<u32>) {
    #[cfg(target_os = "linux")]
    {
        const LEAST_URGENT: i32 = 19;
        let process = process.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        let _ = rustix::process::setpriority_process(process, LEAST_URGENT);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = process;
}

fn decode(subject: &Subject) -> Option<Thumbnail> {
    let Subject { format, orientation, embedded, .. } = *subject;
    let file = Opened::open(&subject.path, subject.entry.as_ref()).ok()?;
    let made = thumbnail::from_reader(file, format, orientation, embedded);
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
        Subject { path: path.to_owned(), entry: None, format, orientation: 1, embedded: None }
    }

    #[tokio::test]
    async fn a_damaged_or_missing_picture_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let damaged = folder.path().join("a.jpg");
        std::fs::write(&damaged, b"\xff\xd8\xff\xe0 nothing").unwrap();
        let thumbnailer = Thumbnailer::without_tools();
        for (path, format) in [
            (damaged.as_path(), Format::Jpeg),
            (damaged.as_path(), Format::Heif),
            (Path::new("/gone.mp4"), Format::Mp4),
        ] {
            assert_eq!(thumbnailer.make(subject(path, format)).await, None, "{}", path.display());
        }
    }

    #[test]
    fn only_what_somebody_reads_is_tried() {
        let picture = |format| subject(Path::new("/a"), format);
        let codec = Thumbnailer::without_tools();
        assert!(codec.may_make(&picture(Format::Jpeg)) && !codec.may_make(&picture(Format::Mp4)));
        assert!(codec.may_make(&Subject { embedded: Some((10, 20)), ..picture(Format::Heif) }));
        assert!(!Thumbnailer::off().may_make(&picture(Format::Jpeg)));
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
        std::fs::write(&poster, thumbnail::PLACEHOLDER).unwrap();
        let script = format!("for last; do :; done; cp {} \"$last\"", poster.display());
        let made = scripted(folder.path(), &script).make(subject(Path::new("/v.mp4"), Format::Mp4)).await;
        assert!(made.is_some());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_tool_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for script in ["exit 3", "exit 0", "kill -9 $$"] {
            let made = scripted(folder.path(), script).make(subject(Path::new("/v.mp4"), Format::Mp4)).await;
            assert!(made.is_none(), "{script}");
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
