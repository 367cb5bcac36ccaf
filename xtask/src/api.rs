//! The API against its own document: the real server, an account, and schemathesis, which makes up calls from `/v1/openapi.json` and
//! compares every answer with it.
//!
//! Two runs make the same calls. Nothing is left out in silence: `schemathesis.toml` says what is, and why.

use crate::postgres::free_port;
use crate::setup::Tools;
use crate::shell::{cargo, command, execute, root};
use anyhow::{Context, Result, bail, ensure};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const EMAIL: &str = "api@example.org";

/// What is tried together, each with a session of its own. The call that ends a device's sessions is tried by itself: told the caller's
/// own device, it would end the session that all others need.
const RUNS: [[&str; 2]; 2] = [["--exclude-path", "/v1/devices/{id}"], ["--include-path", "/v1/devices/{id}"]];

/// How long the server may take to its first answer.
const START_MAX: Duration = Duration::from_secs(30);

/// Builds the server, starts it, and lets schemathesis loose on it.
pub(crate) fn run(tools: &Tools) -> Result<()> {
    execute(&mut cargo(&["build", "--locked", "--bin", "darkslide"]))?;
    let work = tempfile::Builder::new().prefix("darkslide-api-").tempdir()?;
    let server = RunningServer::start(work.path())?;
    let tokens = [server.sign_up()?, server.sign_up()?];
    for (selection, token) in RUNS.into_iter().zip(&tokens) {
        // It leaves its notes where it runs.
        let tried = execute(schemathesis(tools, &server, token, selection).current_dir(work.path()));
        if tried.is_err() {
            println!("the server said:\n{}", server.log());
        }
        tried?;
    }
    Ok(())
}

fn schemathesis(tools: &Tools, server: &RunningServer, token: &str, selection: [&str; 2]) -> Command {
    let ours = root().join("xtask");
    let mut run = command(&tools.path("schemathesis"), &["--config-file"]);
    run.arg(ours.join("schemathesis.toml")).args(["run", &server.url("/v1/openapi.json"), "--checks", "all"]);
    run.args(selection).args(["--header", &format!("X-Auth-Token: {token}")]);
    run.env("SCHEMATHESIS_HOOKS", "schemathesis_hooks").env("PYTHONPATH", ours);
    run.env("DARKSLIDE_URL", server.url("")).env("DARKSLIDE_TOKEN", token);
    run.env("PYTHONDONTWRITEBYTECODE", "1");
    run
}

/// The server as a user starts it, in a folder that goes with it.
struct RunningServer {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl RunningServer {
    fn start(folder: &Path) -> Result<Self> {
        let port = free_port()?;
        let log = std::fs::File::create(folder.join("log"))?;
        let process = Command::new(binary())
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--log-level", "warn", "--data-dir"])
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("could not start the server")?;
        let server = Self { process, folder: folder.to_owned(), port };
        server.wait_until_it_answers()?;
        Ok(server)
    }

    fn wait_until_it_answers(&self) -> Result<()> {
        let begin = Instant::now();
        while self.call("GET /ping", "").is_err() {
            if begin.elapsed() > START_MAX {
                bail!("the server does not answer:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Proves an address, and returns the token of the session that this starts. The account has no keys: where it does, a token comes
    /// sealed.
    fn sign_up(&self) -> Result<String> {
        let output = Command::new(binary())
            .args(["account", "--data-dir"])
            .arg(self.folder.join("data"))
            .args(["--json", "code", EMAIL])
            .output()?;
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let code = answer.get("code").and_then(serde_json::Value::as_str).context("no code")?;
        let body = serde_json::json!({ "email": EMAIL, "ott": code, "source": "xtask" });
        let answer = self.call("POST /users/verify-email", &body.to_string())?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let token = answer.get("token").and_then(serde_json::Value::as_str);
        token.map(str::to_owned).context("no session token")
    }

    /// One request by hand, and the body of its answer, which must be 200.
    fn call(&self, line: &str, body: &str) -> Result<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
        let length = body.len();
        write!(
            connection,
            "{line} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("not an answer of HTTP")?;
        ensure!(head.split(' ').nth(1) == Some("200"), "{line}: {answer}");
        Ok(body.to_owned())
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        // Both fail only when the process is gone already, which is what is wanted.
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

fn binary() -> PathBuf {
    root().join("target/debug/darkslide")
}
