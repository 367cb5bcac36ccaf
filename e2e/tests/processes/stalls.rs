//! Clients that stop in the middle: bounded in time, bounded in number, and no burden on the others.

use darkslide_e2e::engine::Engine;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::Device;
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::vault::{Picture, seal_picture};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the server is told, in seconds.
const TIMEOUT: Duration = Duration::from_secs(2);

/// By when a silent connection must be gone: the timeout, and room for a busy machine.
const GONE_BY: Duration = Duration::from_secs(12);

/// Silent clients at the same time.
const CROWD: usize = 60;

const FLAGS: [&str; 2] = ["--idle-timeout=2", "--header-timeout=2"];

/// Connects and says this much.
async fn begin(server: &ServerProcess, said: &str) -> TcpStream {
    let address = server.base();
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    stream
}

/// Waits until the server lets go, and says after how long.
async fn until_closed(mut stream: TcpStream) -> Duration {
    let began = Instant::now();
    let mut answer = Vec::new();
    // Either an end or a reset: both mean that the server holds nothing any more.
    let closed = tokio::time::timeout(GONE_BY, stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "a silent connection is still open after {GONE_BY:?}");
    began.elapsed()
}

fn half_an_upload(url: &str, length: usize, sent: usize) -> String {
    let parsed = url::Url::parse(url).unwrap();
    let path = &url[parsed[..url::Position::BeforePath].len()..];
    let body = "x".repeat(sent);
    format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_clients_are_let_go_and_hold_up_nobody() {
    let server = ServerProcess::start_with(&Engine::Sqlite, &FLAGS).await;
    let phone = mobile::sign_up(&server, ANDROID, "stall@example.org", "password").await;
    let url = phone.mint_legacy(1).await[0].url.clone();
    let token = phone.http.token.clone().unwrap();
    let kinds = [
        String::new(),
        "GET /ping HT".to_owned(),
        "GET /ping HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".to_owned(),
        half_an_upload(&url, 1_000_000, 400_000),
        half_an_upload(&url, 1_000_000, 0),
        format!(
            "POST /files HTTP/1.1\r\nHost: l\r\nX-Auth-Token: {token}\r\nContent-Length: 100\r\n\r\n{{\"co"
        ),
    ];
    let mut waiting = tokio::task::JoinSet::new();
    for said in kinds.iter().cycle().take(CROWD) {
        waiting.spawn(until_closed(begin(&server, said).await));
    }
    let other = Device::new(&server.base(), ANDROID);
    let began = Instant::now();
    other.ping().await;
    assert!(began.elapsed() < TIMEOUT, "the silent ones hold others up");
    for waited in waiting.join_all().await {
        assert!(waited < GONE_BY);
    }
    other.ping().await;
}

/// A body that keeps coming is never cut off, however slowly: phones hold one upload for 50 minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_upload_is_not_a_stalled_one() {
    let server = ServerProcess::start_with(&Engine::Sqlite, &FLAGS).await;
    let phone = mobile::sign_up(&server, ANDROID, "slow@example.org", "password").await;
    let url = phone.mint_legacy(1).await[0].url.clone();
    let began = Instant::now();
    let mut stream = begin(&server, &half_an_upload(&url, 12, 0)).await;
    for _ in 0..12 {
        // The clock is what is tested here: three times the timeout in all, a quarter of it each time.
        tokio::time::sleep(TIMEOUT / 4).await;
        stream.write_all(b"y").await.unwrap();
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(began.elapsed() > TIMEOUT * 2);
}

/// A client that asks for a file and takes nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_nobody_reads_is_let_go() {
    let server = ServerProcess::start_with(&Engine::Sqlite, &FLAGS).await;
    let mut phone = mobile::sign_up(&server, ANDROID, "deaf@example.org", "password").await;
    let album = phone.create_collection("A", darkslide_e2e::stock::CollectionKind::Album).await;
    // More than the sockets' buffers hold.
    let picture = Picture::generate("large.mov", 19 << 20);
    let sealed = seal_picture(&phone.collection_key(album), &picture);
    let row = mobile::upload(&phone, album, &sealed).await.row;
    let url = mobile::redirect_of(&phone, "download", row.id).await;
    let path = url.strip_prefix(&server.base()).unwrap();
    let mut stream = begin(&server, &format!("GET {path} HTTP/1.1\r\nHost: l\r\n\r\n")).await;
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let deadline = Instant::now() + GONE_BY;
    while is_established(&server, &stream) {
        assert!(Instant::now() < deadline, "the server still waits for a client that takes nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What was in the buffers is all that comes: the file was not sent to its end.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.len() < sealed.file.bytes.len());
}

/// Whether the server's end of a connection is still open, as the kernel tells (state 01 of `/proc/net/tcp`).
fn is_established(server: &ServerProcess, stream: &TcpStream) -> bool {
    let port = |address: std::net::SocketAddr| format!("0100007F:{:04X}", address.port());
    let (theirs, ours) = (port(stream.peer_addr().unwrap()), port(stream.local_addr().unwrap()));
    let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", server.id())).unwrap();
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(&theirs) && fields.next() == Some(&ours) && fields.next() == Some("01")
    })
}

/// As many as may be served are silent: the next client waits until they are let go, and is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded_in_number() {
    let flags = ["--idle-timeout=2", "--header-timeout=2", "--max-connections=4"];
    let server = ServerProcess::start_with(&Engine::Sqlite, &flags).await;
    Device::new(&server.base(), ANDROID).ping().await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(begin(&server, "GET /ping HTTP/1.1\r\n").await);
    }
    tokio::time::timeout(GONE_BY, Device::new(&server.base(), ANDROID).ping()).await.unwrap();
}
