//! A proxy that has lost the way to its server for a while, as one does whose server is just started anew: it answers in its place that there is no
//! such thing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// As Go's library says it, of which some proxies are made.
const NOT_THERE: &[u8] =
    b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 19\r\n\
Connection: close\r\n\r\n404 page not found\n";

/// Passes everything on, until it has lost its server. Ends with its owner.
#[derive(Debug)]
pub struct AbsentProxy {
    address: SocketAddr,
    state: Arc<State>,
    _task: JoinSet<()>,
}

#[derive(Debug)]
struct State {
    server: String,
    /// Bytes that went up.
    up: AtomicU64,
    /// After so many of them the server is lost.
    lost_after: u64,
    is_lost: CancellationToken,
    /// Answers that are still given in its place.
    answers: AtomicU64,
}

impl AbsentProxy {
    /// In front of the server at `base`. Once `lost_after` bytes went up, all connections end, and the next ones are told `answers` times that there
    /// is no such thing.
    pub async fn start(base: &str, lost_after: u64, answers: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            server: base.strip_prefix("http://").unwrap().to_owned(),
            up: AtomicU64::new(0),
            lost_after,
            is_lost: CancellationToken::new(),
            answers: AtomicU64::new(answers),
        });
        let shared = Arc::clone(&state);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                connections.spawn(async move {
                    if state.is_lost.is_cancelled() && take_one(&state.answers) {
                        refuse(client).await;
                    } else {
                        let until = state.is_lost.clone();
                        let is_before = !until.is_cancelled();
                        tokio::select! {
                            () = carry(client, &state) => {}
                            () = until.cancelled(), if is_before => {}
                        }
                    }
                });
            }
        });
        Self { address, state, _task: task }
    }

    /// Loses its server now.
    pub fn lose(&self) {
        self.state.is_lost.cancel();
    }

    /// Where clients find it.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes that went up in all, headers included.
    pub fn bytes_up(&self) -> u64 {
        self.state.up.load(Ordering::Relaxed)
    }

    /// Answers that were not given.
    pub fn answers_left(&self) -> u64 {
        self.state.answers.load(Ordering::Relaxed)
    }
}

fn take_one(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

/// Reads the head of a request, says that there is no such thing, and lets whoever is still sending hear it.
async fn refuse(mut client: TcpStream) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match client.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => head.extend_from_slice(&buffer[..count]),
        }
    }
    let _ = client.write_all(NOT_THERE).await;
    let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
}

async fn carry(mut client: TcpStream, state: &State) {
    let mut server = TcpStream::connect(&state.server).await.unwrap();
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            let before = state.up.fetch_add(count as u64, Ordering::Relaxed);
            if to_server.write_all(&buffer[..count]).await.is_err() {
                return;
            }
            if before + count as u64 > state.lost_after {
                state.is_lost.cancel();
            }
        }
    };
    let down = async {
        // An end on either side ends both.
        drop(tokio::io::copy(&mut from_server, &mut to_client).await);
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
