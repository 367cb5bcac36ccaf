//! A proxy that takes no request with a large body, as many do where nobody said otherwise: it answers 413 with a page for people before the body has come, and closes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const REFUSAL: &[u8] =
    b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: text/html\r\nContent-Length: 43\r\n\
Connection: close\r\n\r\n<html><h1>413 Request Entity Too Large</h1>";

/// Passes what is small. Ends with its owner.
#[derive(Debug)]
pub struct NarrowProxy {
    address: SocketAddr,
    refused: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl NarrowProxy {
    /// In front of the server at `base`, for bodies of at most so many bytes.
    pub async fn start(base: &str, body_bytes_max: u64) -> Self {
        let server = base.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let refused = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&refused);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                connections.spawn(carry(client, server, body_bytes_max, Arc::clone(&counted)));
            }
        });
        Self { address, refused, _task: task }
    }

    /// Where clients find it.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests that were too large.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, body_bytes_max: u64, refused: Arc<AtomicU64>) {
    let is_refused = {
        let (from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let mut from_client = BufReader::new(from_client);
        let up = async {
            while let Some((head, length)) = head(&mut from_client).await {
                if length > body_bytes_max {
                    return true;
                }
                if to_server.write_all(&head).await.is_err() {
                    return false;
                }
                let body = tokio::io::copy(&mut (&mut from_client).take(length), &mut to_server).await;
                if body.ok() != Some(length) {
                    return false;
                }
            }
            false
        };
        let down = async {
            // An end on either side ends both.
            drop(tokio::io::copy(&mut from_server, &mut to_client).await);
            false
        };
        tokio::select! {
            is_refused = up => is_refused,
            is_refused = down => is_refused,
        }
    };
    if is_refused {
        refused.fetch_add(1, Ordering::Relaxed);
        let _ = client.write_all(REFUSAL).await;
        // Whoever is still sending hears the answer first.
        let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
    }
}

/// The head of the next request as it came, and the length of its body.
async fn head(from_client: &mut BufReader<impl AsyncRead + Unpin>) -> Option<(Vec<u8>, u64)> {
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let start = head.len();
        if from_client.read_until(b'\n', &mut head).await.ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&head[start..]).to_ascii_lowercase();
        if let Some(said) = line.strip_prefix("content-length:") {
            length = said.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            return Some((head, length));
        }
    }
}
