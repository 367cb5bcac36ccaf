//! Uploads by a client that this project did not write: tus-js-client, in Node, against the server as a process.

use darkslide_e2e::engine::{Engine, engines, open};
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::{self, ANDROID};
use serde_json::{Value, json};
use sqlx::Row as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Bytes of what is sent: some chunks of 256 KiB, and a piece.
const LENGTH: usize = 2_000_000;

/// What is said where it is not. Tests that pass are shown with nothing that they print, so this goes past that.
const NOT_TESTED: &[u8] =
    b"\n\nNOT TESTED: uploads by tus-js-client, which is not installed. `cargo xtask test` and `cargo xtask ci` install it.\n\n";

/// Where tus-js-client is, if it is.
fn modules() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("DARKSLIDE_NODE_MODULES") {
        return Some(PathBuf::from(path));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/node/node_modules");
    if path.join("tus-js-client").exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "CI must test with tus-js-client: set DARKSLIDE_NODE_MODULES");
    std::io::stderr().write_all(NOT_TESTED).unwrap();
    None
}

/// An account on a server, a file to send, and the client.
struct Scene {
    server: ServerProcess,
    token: String,
    bytes: Vec<u8>,
    folder: tempfile::TempDir,
    modules: PathBuf,
}

/// One run of the client.
struct Play {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Scene {
    async fn new(engine: &Engine) -> Option<Self> {
        let modules = modules()?;
        let server = ServerProcess::start(engine).await;
        let phone = mobile::sign_up(&server, ANDROID, "tus@example.org", "password").await;
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..LENGTH).map(|at| (at * 31 + at / 251).to_le_bytes()[0]).collect();
        std::fs::write(folder.path().join("bytes"), &bytes).unwrap();
        let token = phone.http.token.clone().unwrap();
        Some(Self { server, token, bytes, folder, modules })
    }

    fn play(&self, action: &str, upload: Option<&str>) -> Play {
        let told = json!({
            "action": action,
            "endpoint": format!("{}/v1/uploads", self.server.base()),
            "token": self.token,
            "path": self.folder.path().join("bytes"),
            "uploadUrl": upload,
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/processes/tus_client.cjs");
        let mut process = Command::new("node")
            .arg(script)
            .arg(told.to_string())
            .env("DARKSLIDE_NODE_MODULES", &self.modules)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Play { process, lines }
    }

    /// Plays until the client says this, and gives what it says of it.
    fn until(&self, action: &str, upload: Option<&str>, what: &str) -> Value {
        let mut play = self.play(action, upload);
        let told = play.wait_for(what);
        play.end();
        told
    }

    /// What is stored of the object that an upload became, if it is.
    async fn stored(&self, url: &str) -> Option<Vec<u8>> {
        let id = url.rsplit('/').next().unwrap();
        let pool = open(self.server.database_url()).await;
        let row = sqlx::query("SELECT blob FROM objects WHERE key LIKE $1 AND state = 'stored'")
            .bind(format!("%/{id}"))
            .fetch_optional(&pool)
            .await
            .unwrap();
        pool.close().await;
        let blob: String = row?.get(0);
        Some(std::fs::read(self.server.data_dir().join("objects").join(&blob[..2]).join(&blob)).unwrap())
    }

    async fn check_stored(&self, url: &Value) {
        let stored = self.stored(url.as_str().unwrap()).await;
        assert!(stored.is_some_and(|stored| stored == self.bytes), "{url} is not what was sent");
    }
}

impl Play {
    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        if line.is_empty() { None } else { Some(serde_json::from_str(&line).unwrap()) }
    }

    fn wait_for(&mut self, what: &str) -> Value {
        let mut told = Vec::new();
        while let Some(mut line) = self.next() {
            if let Some(found) = line.get_mut(what) {
                return found.take();
            }
            told.push(line);
        }
        panic!("the client never said {what:?}: {told:?}");
    }

    fn end(mut self) {
        drop(self.lines);
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_client_sends_as_its_options_say() {
    let Some(scene) = Scene::new(&Engine::Sqlite).await else { return };
    for action in ["whole", "chunks", "creation", "override", "checksum"] {
        let url = scene.until(action, None, "done");
        scene.check_stored(&url).await;
    }
    // It tells another hash than that of what it sends.
    assert_eq!(scene.until("damage", None, "failed"), 460);
    // Uploads side by side that are put together afterwards are not offered, and refused from the first.
    assert_eq!(scene.until("parallel", None, "failed"), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_client_resumes_and_terminates() {
    let Some(mut scene) = Scene::new(&Engine::Sqlite).await else { return };
    let url = scene.until("abort", None, "aborted");
    let url = url.as_str().unwrap();
    assert_eq!(scene.stored(url).await, None);
    scene.server.stop();
    scene.server.restart();
    let mut play = scene.play("chunks", Some(url));
    // The first chunk that it sends is not the first of the file.
    assert!(play.wait_for("accepted").as_u64().unwrap() >= 3 * 256 * 1024);
    let done = play.wait_for("done");
    play.end();
    scene.check_stored(&done).await;
    let url = scene.until("terminate", None, "terminated");
    let id = url.as_str().unwrap().rsplit('/').next().unwrap();
    assert!(!scene.server.data_dir().join("uploads").join(id).exists());
    assert_eq!(scene.stored(url.as_str().unwrap()).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_client_does_not_mind_a_server_that_is_killed() {
    for engine in engines() {
        let Some(mut scene) = Scene::new(&engine).await else { return };
        let mut play = scene.play("chunks", None);
        for _ in 0..3 {
            play.wait_for("accepted");
            scene.server.kill();
            scene.server.restart();
        }
        let url = play.wait_for("done");
        play.end();
        scene.check_stored(&url).await;
    }
}
