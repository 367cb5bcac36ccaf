//! Ourselves, as a user would run us: the release binary as server and as client, on 127.0.0.1.

use super::super::background::Background;
use super::super::measure::{Measured, measure, measure_within};
use super::Side;
use crate::shell::{output_within, root};
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const EMAIL: &str = "bench@example.org";

/// The bench signs in more often than people do.
const SIGN_IN_RATE: &str = "1000";

/// How long anything may take that moves no pictures.
const PATIENCE: Duration = Duration::from_mins(2);

/// How we are run.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options {
    /// Whether thumbnails are made.
    pub(crate) thumbnails: bool,
    /// Whether the two speak TLS.
    pub(crate) tls: bool,
}

/// One server and one account.
#[derive(Default)]
pub(crate) struct Darkslide {
    options: Options,
    server: Option<Server>,
    account: Option<Account>,
}

impl Darkslide {
    /// Not running yet.
    pub(crate) fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// The server; it runs between [`Side::prepare`] and [`Side::finish`].
    pub(crate) fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("it was prepared")
    }

    /// The client that made the account.
    pub(crate) fn account(&self) -> Result<&Account> {
        self.account.as_ref().context("it was prepared")
    }

    /// What backs a corpus up.
    pub(crate) fn backup_command(&self, corpus: &Path) -> Result<Command> {
        let mut command = self.account()?.client();
        command.arg("backup").arg("--album-per-folder").arg(corpus);
        if !self.options.thumbnails {
            command.arg("--no-thumbnails");
        }
        Ok(command)
    }
}

impl Side for Darkslide {
    fn name(&self) -> String {
        let suffix = match (self.options.thumbnails, self.options.tls) {
            (false, false) => "",
            (true, _) => ", thumbnails",
            (false, true) => ", TLS",
        };
        format!("darkslide{suffix}")
    }

    fn prepare(&mut self, work: &Path) -> Result<()> {
        let server = Server::start(&work.join("server"), self.options.tls, &[])?;
        self.account = Some(Account::sign_up(&server, &work.join("home"))?);
        self.server = Some(server);
        Ok(())
    }

    fn backup(&mut self, corpus: &Path) -> Result<Measured> {
        measure(&mut self.backup_command(corpus)?)
    }

    fn restore(&mut self, target: &Path) -> Result<Option<Measured>> {
        measure(self.account()?.client().arg("restore").arg("--to").arg(target)).map(Some)
    }

    fn finish(&mut self) -> Result<Option<u64>> {
        self.account = None;
        Ok(self.server.take().and_then(|server| server.memory()))
    }
}

/// A server that runs; dropping it ends it.
pub(crate) struct Server {
    data: PathBuf,
    certificate: Option<PathBuf>,
    process: Background,
}

impl Server {
    /// Starts one over a folder, with more settings, and waits for its first answer.
    pub(crate) fn start(data: &Path, tls: bool, settings: &[&str]) -> Result<Self> {
        let certificate = if tls { Some(make_certificate(data)?) } else { None };
        let command = |port| serve(port, data, certificate.as_deref(), settings);
        let server = Self { data: data.to_path_buf(), process: Background::listen(command)?, certificate };
        ping(server.port(), tls)?;
        Ok(server)
    }

    /// The same without TLS, at a port where one was before.
    pub(crate) fn start_at(port: u16, data: &Path, settings: &[&str]) -> Result<Self> {
        let process = Background::listen_at(port, |port| serve(port, data, None, settings))?;
        ping(port, false)?;
        Ok(Self { data: data.to_path_buf(), certificate: None, process })
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.process.port
    }

    fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port())
    }

    /// Its most resident memory so far, in bytes.
    pub(crate) fn memory(&self) -> Option<u64> {
        self.process.memory()
    }

    /// How many files the operator is told that the account has.
    pub(crate) fn files(&self) -> Result<u64> {
        let answer = operator(&self.data, &["list"])?;
        let files = answer.pointer("/accounts/0/files").and_then(serde_json::Value::as_u64);
        files.context("the operator is told how many files there are")
    }
}

/// A client's home, signed in.
pub(crate) struct Account {
    /// Where it keeps what it knows.
    pub(crate) home: PathBuf,
}

impl Account {
    /// Makes the account of the bench.
    pub(crate) fn sign_up(server: &Server, home: &Path) -> Result<Self> {
        let code = operator(&server.data, &["code", EMAIL])?;
        let code = code.get("code").and_then(serde_json::Value::as_str).context("no code")?;
        Self::enter(server, home, &["signup", "--code", code])
    }

    /// Signs in to it on another computer, as it were.
    pub(crate) fn sign_in(server: &Server, home: &Path) -> Result<Self> {
        Self::enter(server, home, &["login"])
    }

    fn enter(server: &Server, home: &Path, words: &[&str]) -> Result<Self> {
        let account = Self { home: home.to_path_buf() };
        let password = server.data.join("password-of-the-bench");
        std::fs::write(&password, "a password for the bench\n")?;
        let mut command = account.client();
        command.args(words).args([&server.url(), "--email", EMAIL, "--keys", "key-file", "--password-file"]);
        command.arg(password);
        if let Some(certificate) = &server.certificate {
            command.arg("--ca-file").arg(certificate);
        }
        measure_within(PATIENCE, &mut command)?;
        Ok(account)
    }

    /// The client, without a command yet.
    pub(crate) fn client(&self) -> Command {
        let mut command = Command::new(binary());
        command.env("DARKSLIDE_HOME", &self.home);
        command
    }
}

fn serve(port: u16, data: &Path, certificate: Option<&Path>, settings: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--log-level", "warn", "--data-dir"]);
    command.arg(data).args(["--sign-in-rate", SIGN_IN_RATE]).args(settings);
    if let Some(certificate) = certificate {
        command.arg("--tls-certificate").arg(certificate);
        command.arg("--tls-key").arg(certificate.with_file_name("key.pem"));
    }
    command
}

/// One request, by hand: the server must answer, not only listen. It listens before its database is ready, and a command that opens
/// the database meanwhile would be in its way.
fn ping(port: u16, tls: bool) -> Result<()> {
    let request: &[u8] = b"GET /ping HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
    let answer = if tls { ask_over_tls(port, request)? } else { ask(port, request)? };
    anyhow::ensure!(answer.contains("pong"), "the server answered: {answer}");
    Ok(())
}

fn ask(port: u16, request: &[u8]) -> Result<String> {
    let mut connection = std::net::TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(request)?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).context("the server does not answer")?;
    Ok(answer)
}

fn ask_over_tls(port: u16, request: &[u8]) -> Result<String> {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}")]);
    openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = openssl.spawn()?;
    child.stdin.as_mut().context("it has an input")?.write_all(request)?;
    let mut answer = String::new();
    child.stdout.as_mut().context("it has an output")?.read_to_string(&mut answer)?;
    child.wait()?;
    Ok(answer)
}

/// What an operator is answered, on the machine where the data is.
fn operator(data: &Path, words: &[&str]) -> Result<serde_json::Value> {
    let mut command = Command::new(binary());
    let output =
        output_within(PATIENCE, command.args(["account", "--data-dir"]).arg(data).arg("--json").args(words))?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A certificate that we sign ourselves, as `docs/operations.md` says.
fn make_certificate(data: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(data)?;
    let certificate = data.join("cert.pem");
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-days", "2", "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"]).arg(data.join("key.pem"));
    openssl.arg("-out").arg(&certificate);
    measure(&mut openssl).context("openssl is needed: apt-get install openssl")?;
    Ok(certificate)
}

fn binary() -> PathBuf {
    root().join("target/release/darkslide")
}
