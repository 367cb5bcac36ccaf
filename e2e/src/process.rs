//! The real server as a process that can be killed at any instant and started again at the same address.
//!
//! The listening socket belongs to the test and is handed to each process as its standard input: no port is ever
//! guessed or lost, and connections made while no process runs wait for the next one. One-time codes are read from
//! where an operator reads them, the process's standard error; its log is standard output.

use crate::engine::Engine;
use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Flags with which tests run unless they say otherwise: anybody may sign up, and often.
const TEST_FLAGS: [&str; 3] = ["--open-registration", "--sign-in-rate=100000", "--upload-url-rate=1000000"];

/// A server, running or killed.
#[derive(Debug)]
pub struct ServerProcess {
    folder: Folder,
    database_url: String,
    flags: Vec<String>,
    listener: TcpListener,
    child: Option<Child>,
}

/// Where one server keeps everything.
#[derive(Debug)]
enum Folder {
    Temporary(TempDir),
    Given(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Given(path) => path,
        }
    }
}

impl ServerProcess {
    /// Starts a server over an empty folder and a fresh database.
    pub async fn start(engine: &Engine) -> Self {
        Self::start_with(engine, &[]).await
    }

    /// The same with further flags, which win over the tests' usual ones.
    pub async fn start_with(engine: &Engine, flags: &[&str]) -> Self {
        Self::start_in(Folder::Temporary(tempfile::tempdir().unwrap()), engine, flags).await
    }

    /// The same over a folder that the caller made.
    pub async fn start_at(folder: &Path, engine: &Engine, flags: &[&str]) -> Self {
        Self::start_in(Folder::Given(folder.to_owned()), engine, flags).await
    }

    async fn start_in(folder: Folder, engine: &Engine, flags: &[&str]) -> Self {
        let data_dir = folder.path().join("data");
        std::fs::create_dir_all(&data_dir).unwrap();
        let database_url = engine.create_database(&data_dir).await;
        let usual = TEST_FLAGS.iter().filter(|usual| !flags.iter().any(|flag| same_flag(usual, flag)));
        let flags = usual.chain(flags).map(|flag| (*flag).to_owned()).collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut server = Self { folder, database_url, flags, listener, child: None };
        server.restart();
        server
    }

    /// What a person would type into a client: the server's URL, without a slash at its end.
    pub fn base(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// The folder that the server calls its own.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The database that the server uses.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Starts a process over the same folder, database and socket. The last one must have ended.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "one process at a time");
        self.child = Some(self.command().spawn().expect("the server's binary is built beside the tests"));
    }

    /// The command that `restart` runs, for tests that run it under something else.
    pub fn command(&self) -> Command {
        let mut command = Command::new(server_binary());
        self.pass_everything(&mut command);
        command
    }

    /// Gives a command the server's arguments, socket and outputs.
    pub fn pass_everything(&self, command: &mut Command) {
        let socket = OwnedFd::from(self.listener.try_clone().unwrap());
        command
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--database-url", &self.database_url])
            .args(&self.flags)
            .stdin(Stdio::from(socket))
            .stdout(self.append_to("log"))
            .stderr(self.append_to("terminal"));
    }

    /// Takes a child that the caller spawned from [`command`](Self::pass_everything) as this server's process.
    pub fn adopt(&mut self, child: Child) {
        assert!(self.child.is_none(), "one process at a time");
        self.child = Some(child);
    }

    /// kill -9, and waits until the process is gone.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks the process to end and waits until it did; it must end well.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        terminate(child.id());
        let status = child.wait().unwrap();
        assert!(status.success(), "the server ended with {status}: {}", self.terminal());
    }

    /// The same where the server's process is a child of the one that was adopted.
    pub fn end_with(&mut self, process: u32) {
        terminate(process);
        let status = self.child.take().expect("the server runs").wait().unwrap();
        assert!(status.success(), "the server ended with {status}: {}", self.terminal());
    }

    /// The newest one-time code that was sent to an address.
    pub fn code_for(&self, email: &str) -> String {
        let line = format!("one-time code for {email}: ");
        let terminal = self.terminal();
        let code = terminal.lines().rev().find_map(|text| text.strip_prefix(&line));
        code.unwrap_or_else(|| panic!("no code for {email} in: {terminal}")).trim().to_owned()
    }

    /// What an operator saw on the terminal.
    pub fn terminal(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("terminal")).unwrap_or_default()
    }

    /// The log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The requests that were answered so far, each as its method and its route's template.
    pub fn requests(&self) -> Vec<(String, String)> {
        let log = self.log();
        let field = |line: &str, name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        log.lines().filter_map(|line| Some((field(line, "method")?, field(line, "route")?))).collect()
    }

    fn append_to(&self, name: &str) -> File {
        OpenOptions::new().create(true).append(true).open(self.folder.path().join(name)).unwrap()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        self.show_what_went_wrong();
    }
}

impl ServerProcess {
    /// A failing test shows what the server had to say.
    #[expect(clippy::print_stderr, reason = "a failing test explains itself on the terminal")]
    fn show_what_went_wrong(&self) {
        if !std::thread::panicking() {
            return;
        }
        let tail =
            |text: String| text.lines().rev().take(40).map(|line| format!("{line}\n")).collect::<Vec<_>>();
        for line in tail(self.log()).iter().rev().chain(tail(self.terminal()).iter().rev()) {
            eprint!("server: {line}");
        }
    }
}

/// SIGTERM.
pub fn terminate(process: u32) {
    let process = rustix::process::Pid::from_raw(process.cast_signed()).expect("a process has a positive id");
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
}

/// The binary that serves for these tests: cargo builds it beside them.
pub fn server_binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).expect("tests are built into target/<profile>/deps");
    profile.join("darkslide-e2e-serve")
}

fn same_flag(one: &str, other: &str) -> bool {
    let name = |flag: &str| flag.split('=').next().map(str::to_owned);
    name(one) == name(other)
}
