//! Ourselves, as a user would run us: the release binary as server and as client, over HTTP on 127.0.0.1.

use super::Side;
use super::measure::{Background, Measured, measure, median, wait_for_port};
use crate::postgres::free_port;
use crate::shell::root;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const EMAIL: &str = "bench@example.org";

/// One server and one account.
pub(crate) struct Darkslide {
    work: PathBuf,
    server: Option<Background>,
}

impl Darkslide {
    /// The corpora are noise: thumbnails are off.
    pub(crate) fn without_thumbnails() -> Self {
        Self { work: PathBuf::new(), server: None }
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env("DARKSLIDE_HOME", self.work.join("home"));
        command
    }
}

impl Side for Darkslide {
    fn name(&self) -> String {
        "darkslide".to_owned()
    }

    fn prepare(&mut self, work: &Path) -> Result<()> {
        self.work = work.to_path_buf();
        let port = free_port()?;
        self.server = Some(serve(&work.join("server"), port)?);
        std::fs::write(work.join("password"), "a password for the bench\n")?;
        let code = one_time_code(&work.join("server"))?;
        let url = format!("http://127.0.0.1:{port}");
        let password = work.join("password").to_string_lossy().into_owned();
        let words = [
            "signup",
            &url,
            "--email",
            EMAIL,
            "--password-file",
            &password,
            "--code",
            &code,
            "--keys",
            "key-file",
        ];
        measure(&mut self.client(&words)).map(drop)
    }

    fn backup(&mut self, corpus: &Path) -> Result<Measured> {
        measure(&mut self.client(&[
            "backup",
            "--no-thumbnails",
            "--album-per-folder",
            &corpus.to_string_lossy(),
        ]))
    }

    fn restore(&mut self, target: &Path) -> Result<Measured> {
        measure(&mut self.client(&["restore", "--to", &target.to_string_lossy()]))
    }

    fn finish(&mut self) -> Result<Option<u64>> {
        Ok(self.server.take().and_then(|server| server.memory()))
    }
}

/// From starting the process on an empty folder to its first answer: the median of some starts.
pub(crate) fn cold_start(work: &Path, runs: usize) -> Result<Duration> {
    let mut times = Vec::new();
    for run in 0..runs.max(1) {
        let port = free_port()?;
        let begin = Instant::now();
        let _server = serve(&work.join(format!("cold-{run}")), port)?;
        times.push(begin.elapsed());
    }
    median(&times).context("at least one run")
}

fn serve(data: &Path, port: u16) -> Result<Background> {
    let listen = format!("127.0.0.1:{port}");
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", &listen, "--log-level", "warn", "--data-dir"]).arg(data);
    let server = Background::start(&mut command)?;
    wait_for_port(port)?;
    ping(port)?;
    Ok(server)
}

/// One request, by hand: the server must answer, not only listen.
fn ping(port: u16) -> Result<()> {
    use std::io::{Read, Write};
    let mut connection = std::net::TcpStream::connect(("127.0.0.1", port))?;
    connection.write_all(b"GET /ping HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    anyhow::ensure!(answer.contains("pong"), "the server answered: {answer}");
    Ok(())
}

fn one_time_code(data: &Path) -> Result<String> {
    let output = Command::new(binary())
        .args(["account", "--data-dir"])
        .arg(data)
        .args(["--json", "code", EMAIL])
        .output()?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok(answer.get("code").and_then(serde_json::Value::as_str).context("no code")?.to_owned())
}

fn binary() -> PathBuf {
    root().join("target/release/darkslide")
}
