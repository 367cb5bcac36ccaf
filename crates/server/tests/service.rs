//! The server as a service: mail, logs, metrics, HTTPS, slow clients, too many clients, stopping.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_server::config::{ByteSize, LogFormat, LogSettings, RawConfig, SecretText};
use darkslide_server::{Server, config::Config, logs, meter, operator};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};
use support::person::Person;
use support::{Answer, TestServer, raw_config, with_query};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Everything that this program logs, at the level of debugging.
static LOG: LazyLock<Buffer> = LazyLock::new(|| {
    let buffer = Buffer::default();
    let settings = LogSettings { format: LogFormat::Json, filter: "debug".to_owned() };
    let writer = buffer.clone();
    let subscriber = logs::subscriber(&settings, move || writer.clone()).unwrap();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    buffer
});

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_secret_is_logged() {
    LazyLock::force(&LOG);
    let server = TestServer::start().await;
    let anna = Person::sign_up(&server, "anna@example.org").await;
    let token = anna.sign_in(&server).await;
    let code = operator::code(&server.shared.store, &anna.email).await.unwrap();
    let wrong = if code.as_str() == "123456" { "654321" } else { "123456" };
    for ott in [wrong, code.as_str()] {
        let body = json!({ "email": anna.email, "ott": ott });
        server.post("/users/verify-email", "", &body).await;
    }
    let by_query = with_query("/users/session-validity/v2", "token", &token);
    Answer::of(server.request(Method::GET, &by_query)).await.ok();
    let no_such = with_query("/no/such/path", "token", &token);
    Answer::of(server.request(Method::GET, &no_such)).await.failed(404, None);
    let (exchange, session) = anna.begin_sign_in(&server, &[1; 16]).await;
    anna.finish_sign_in(&server, &exchange, &session.ok()).await.0.failed(401, None);
    let end = with_query("/users/session", "token", &token);
    Answer::of(server.request(Method::DELETE, &end).header("X-Auth-Token", &anna.token)).await.ok();
    let attributes = with_query("/users/srp/attributes", "email", &anna.email);
    Answer::of(server.request(Method::GET, &attributes)).await.ok();
    server.stop().await;
    let log = LOG.text();
    assert!(log.contains(r#""route":"/users/srp/verify-session""#), "the flow was logged");
    assert!(log.contains(r#""status":401"#) && log.contains("request_id"));
    for secret in [token.as_str(), &anna.token, &with_query("", "t", &token)[3..], code.as_str(), &anna.email]
    {
        assert!(!log.contains(secret), "{secret} was logged");
    }
}

#[test]
fn a_log_may_be_text_and_a_bad_filter_is_refused() {
    let buffer = Buffer::default();
    let settings = |filter: &str| LogSettings { format: LogFormat::Text, filter: filter.to_owned() };
    let writer = buffer.clone();
    let subscriber = logs::subscriber(&settings("info"), move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(route = "/ping", "request");
        tracing::debug!("not this");
    });
    let text = buffer.text();
    assert!(text.contains("INFO") && text.contains("request route=\"/ping\""), "{text}");
    assert!(!text.contains("not this"));
    assert!(logs::subscriber(&settings("a=b=c"), std::io::sink).is_err());
}

#[tokio::test]
async fn metrics_count_requests_by_route() {
    meter::start();
    let server = TestServer::start().await;
    server.get("/ping", "").await.ok();
    server.get("/some/strangers/path", "").await.failed(404, None);
    darkslide_server::jobs::run_once(&server.shared).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, meter::router()).await });
    let text = reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap();
    serving.abort();
    for line in [
        r#"darkslide_requests_total{method="GET",route="/ping",status="200"}"#,
        r#"darkslide_requests_total{method="GET",route="none",status="404"}"#,
        r#"darkslide_request_seconds_bucket{route="/ping",le="0.001"}"#,
        "darkslide_connections ",
        "darkslide_accounts ",
        "darkslide_stored_bytes ",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("strangers"));
    Answer::of(server.request(Method::GET, "/metrics")).await.failed(404, None);
}

#[tokio::test]
async fn trap_51_https_speaks_both_versions_of_http() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let raw = RawConfig { tls_certificate: Some(certificate), tls_key: Some(key), ..raw_config() };
    let server = TestServer::start_with(raw).await;
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let url = format!("https://localhost:{}/ping", server.address.port());
    let client =
        || reqwest::Client::builder().tls_certs_only([root.clone()]).resolve("localhost", server.address);
    let two = client().build().unwrap().get(&url).send().await.unwrap();
    assert_eq!((two.status().as_u16(), two.version()), (200, reqwest::Version::HTTP_2));
    let one = client().http1_only().build().unwrap().get(&url).send().await.unwrap();
    assert_eq!((one.status().as_u16(), one.version()), (200, reqwest::Version::HTTP_11));
    server.stop().await;
}

#[tokio::test]
async fn a_bad_certificate_is_named_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.pem");
    let raw = RawConfig {
        data_dir: Some(folder.path().join("data")),
        tls_certificate: Some(missing.clone()),
        tls_key: Some(missing),
        ..raw_config()
    };
    let config = Config::from_layers(raw, RawConfig::default(), RawConfig::default()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = darkslide_server::serve(config, listener, std::future::pending()).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("missing.pem"), "{error}: {cause}");
}

/// A connection by hand.
async fn connect(address: SocketAddr, said: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    stream
}

/// What the server says until it hangs up.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is a hanging-up, too.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn silent_and_stalled_clients_are_let_go() {
    let raw = RawConfig { header_timeout: Some(1), idle_timeout: Some(1), ..raw_config() };
    let server = TestServer::start_with(raw).await;
    let silent = connect(server.address, "").await;
    let half_a_head = connect(server.address, "GET /ping HTTP/1.1\r\nHost: a\r\n").await;
    let half_a_body =
        connect(server.address, "POST /users/ott HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{\"").await;
    let started = Instant::now();
    let (silent, head, body) = tokio::join!(rest(silent), rest(half_a_head), rest(half_a_body));
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(silent, "");
    assert!(!head.contains("200 OK"), "{head}");
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert!(body.contains("\r\n\r\n{}"), "{body}");
}

/// A phone on a slow line sends one body for most of an hour: what is bounded is its silence.
#[tokio::test]
async fn trap_41_a_slow_sender_is_heard_out() {
    let server = TestServer::start_with(RawConfig { idle_timeout: Some(1), ..raw_config() }).await;
    let body = r#"{"email":"slow@example.org","purpose":"signup"}"#;
    let head = format!(
        "POST /users/ott HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = connect(server.address, &head).await;
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let began = Instant::now();
    for byte in body.as_bytes() {
        pace.tick().await;
        stream.write_all(&[*byte]).await.unwrap();
    }
    assert!(began.elapsed() > Duration::from_secs(2), "longer than any silence may be");
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// One who is refused, and goes on sending slowly and steadily, was listened to for 16 MiB.
#[tokio::test]
async fn a_slow_sender_who_is_refused_is_not_heard_out() {
    let server = TestServer::start_with(RawConfig { idle_timeout: Some(1), ..raw_config() }).await;
    let token = Person::sign_up(&server, "slow@example.org").await.token;
    for (call, headers, status) in [
        (
            "PATCH /v1/uploads/00000000-0000-4000-8000-000000000000",
            "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n",
            "404",
        ),
        ("PATCH /v1/uploads/nothing", "Tus-Resumable: 1.0.0\r\n", "404"),
        ("POST /v1/batch", "Content-Type: text/plain\r\n", "415"),
        ("PUT /file-upload", "", "400"),
    ] {
        let head = format!(
            "{call} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Auth-Token: {token}\r\n{headers}Content-Length: 10000000\r\n\r\n"
        );
        let (mut answer, mut stream) = connect(server.address, &head).await.into_split();
        let sender = tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_millis(10));
            while stream.write_all(b"x").await.is_ok() {
                beat.tick().await;
            }
        });
        let mut said = [0; 12];
        let heard = tokio::time::timeout(Duration::from_mins(1), answer.read_exact(&mut said)).await;
        assert!(heard.is_ok(), "{call}: it still sends, and is still listened to");
        assert_eq!(std::str::from_utf8(&said).unwrap(), format!("HTTP/1.1 {status}"), "{call}");
        drop(answer);
        sender.abort();
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let server = TestServer::start_with(RawConfig { max_connections: Some(1), ..raw_config() }).await;
    let ping = "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut first = connect(server.address, ping).await;
    let mut word = [0; 12];
    first.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"HTTP/1.1 200");
    let mut second = connect(server.address, ping).await;
    let early = tokio::time::timeout(Duration::from_millis(200), second.read_exact(&mut word)).await;
    assert!(early.is_err(), "the second client must wait");
    drop(first);
    second.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"HTTP/1.1 200");
}

#[tokio::test]
async fn stopping_lets_requests_finish() {
    let server = TestServer::start().await;
    let body = r#"{"email":"","padding":"1"}"#;
    let head = format!("POST /users/ott HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut stream = connect(server.address, &format!("{head}{}", &body[..5])).await;
    // One answered request shows that the first connection has been accepted before this one.
    server.get("/ping", "").await.ok();
    let stopping = tokio::spawn(server.stop());
    stream.write_all(&body.as_bytes()[5..]).await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    stopping.await.unwrap();
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let server = TestServer::start_with(RawConfig { shutdown_timeout: Some(1), ..raw_config() }).await;
    let stream =
        connect(server.address, "POST /users/ott HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{").await;
    server.get("/ping", "").await.ok();
    let started = Instant::now();
    server.stop().await;
    assert!(started.elapsed() < Duration::from_secs(10));
    drop(stream);
}

#[tokio::test]
async fn a_panic_is_an_answer_like_any_other() {
    // The one way to make a handler panic from outside is to have one that does.
    let server = TestServer::start().await;
    let router = axum::Router::new().route("/boom", axum::routing::get(|| async { panic!("boom") as () }));
    let router = darkslide_server::routes::with_door(router, server.shared.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let request = server.http.get(format!("http://{address}/boom")).header("Origin", "https://web.example");
    let answer = Answer::of(request).await;
    answer.failed(500, None);
    assert_eq!(answer.header("access-control-allow-origin"), "https://web.example");
    serving.abort();
}

#[tokio::test]
async fn a_disk_without_room_is_not_ready_and_says_so() {
    let of = async |floor: u64| {
        let raw = RawConfig { free_space_floor: Some(ByteSize(floor)), ..raw_config() };
        let server = TestServer::start_with(raw).await;
        let answer = Answer::of(server.request(Method::GET, "/readyz")).await;
        (answer.status.as_u16(), answer.json())
    };
    let parts = |space: bool| json!({ "database": true, "objects": true, "space": space });
    assert_eq!(of(0).await, (200, parts(true)));
    assert_eq!(of(u64::MAX).await, (503, parts(false)));
}

/// Asks for a code of a server that has no mail server. Run alone by the next test, it is also the program whose
/// terminal that test reads.
#[tokio::test]
async fn without_a_mail_server_codes_are_still_made() {
    let server = TestServer::start().await;
    let body = json!({ "email": "terminal@example.org", "purpose": "signup" });
    server.post("/users/ott", "", &body).await.ok();
}

#[test]
fn without_a_mail_server_codes_go_to_the_terminal_and_not_to_the_log() {
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "without_a_mail_server_codes_are_still_made", "--nocapture"])
        .output()
        .unwrap();
    assert!(ran.status.success());
    let (output, terminal) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
    let line =
        terminal.lines().find(|line| line.contains("one-time code for terminal@example.org: ")).unwrap();
    let code = line.rsplit(' ').next().unwrap();
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{line}");
    assert!(!output.contains(code));
}

/// Where Python with aiosmtpd is, if it is.
fn python() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("DARKSLIDE_PYTHON") {
        return Some(PathBuf::from(path));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/python");
    path.exists().then_some(path)
}

/// A real SMTP server in a process of its own.
struct SmtpPeer {
    process: Child,
    output: BufReader<ChildStdout>,
    port: u16,
}

impl SmtpPeer {
    fn start() -> Option<Self> {
        let Some(python) = python() else {
            assert!(std::env::var_os("CI").is_none(), "CI must test against aiosmtpd: set DARKSLIDE_PYTHON");
            eprintln!("\n\nNOT TESTED: mail, for want of a Python with aiosmtpd. Run `cargo xtask ci`.\n\n");
            return None;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp_peer.py");
        let mut process =
            Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("aiosmtpd is installed and prints its port");
        Some(Self { process, output, port })
    }

    fn next_mail(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for SmtpPeer {
    fn drop(&mut self) {
        // Its input ends, so it does.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_mailed() {
    let Some(mut peer) = SmtpPeer::start() else { return };
    let raw = RawConfig {
        smtp_url: Some(SecretText::new(format!("smtp://127.0.0.1:{}", peer.port))),
        smtp_from: Some("Darkslide <darkslide@example.org>".to_owned()),
        ..raw_config()
    };
    let server = TestServer::start_with(raw).await;
    let ask = async |email: &str| {
        server.post("/users/ott", "", &json!({ "email": email, "purpose": "signup" })).await
    };
    ask("Anna@example.org").await.ok();
    let mail = peer.next_mail();
    assert_eq!((&mail["from"], &mail["to"]), (&json!("darkslide@example.org"), &json!(["anna@example.org"])));
    let code = &mail["subject"].as_str().unwrap()[..6];
    assert!(mail["text"].as_str().unwrap().contains(code));
    ask("refused@example.org").await.failed(503, None);
    let body = json!({ "email": "anna@example.org", "ott": code });
    assert!(server.post("/users/verify-email", "", &body).await.ok()["token"].is_string());
}

#[tokio::test]
async fn opening_twice_finds_what_the_first_left() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::for_folder(folder.path());
    let first = Server::open(config.clone()).await.unwrap();
    let signature = first.signer.sign("test", &[]);
    first.store.close().await;
    let second = Server::open(config).await.unwrap();
    assert!(second.signer.verify("test", &[], &signature));
}
