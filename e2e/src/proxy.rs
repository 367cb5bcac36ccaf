//! A wire between client and server that counts what goes up, can be cut, held up or slow, and can hide what stock servers lack.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Counts bytes towards the server. Ends with its owner.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    up: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
    released: CancellationToken,
    _task: JoinSet<()>,
}

impl Proxy {
    /// In front of the server at `base`, which then looks like one without extensions.
    pub async fn hiding(base: &str) -> Self {
        Self::begin(base, Wire { hides: true, ..Wire::PLAIN }, 0).await
    }

    /// In front of the server at `base`. A connection that carried more than `after` bytes up carries no more, until it is told to.
    pub async fn holding(base: &str, after: u64) -> Self {
        Self::begin(base, Wire { hold_after: after, ..Wire::PLAIN }, 0).await
    }

    /// In front of the server at `base`, on a line that carries so many bytes up in a millisecond.
    pub async fn slow(base: &str, bytes_in_a_millisecond: u64) -> Self {
        Self::begin(base, Wire { pace: bytes_in_a_millisecond, ..Wire::PLAIN }, 0).await
    }

    /// In front of the server at `base`. Every connection is cut after `cut_after` bytes went up through it, as long
    /// as there are `cuts` left to make.
    pub async fn start(base: &str, cut_after: u64, cuts: u64) -> Self {
        Self::begin(base, Wire { cut_after, ..Wire::PLAIN }, cuts).await
    }

    async fn begin(base: &str, wire: Wire, cuts: u64) -> Self {
        let server = base.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (up, cuts) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(cuts)));
        let (counted, left) = (Arc::clone(&up), Arc::clone(&cuts));
        let released = CancellationToken::new();
        let goes_on = released.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let (counted, left) = (Arc::clone(&counted), Arc::clone(&left));
                connections.spawn(carry(client, server, counted, left, goes_on.clone(), wire));
            }
        });
        Self { address, up, cuts, released, _task: task }
    }

    /// What was held up goes on, and nothing is held up any more.
    pub fn release(&self) {
        self.released.cancel();
    }

    /// Where clients find it.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes that went up in all, headers included.
    pub fn bytes_up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    /// Cuts that were not made.
    pub fn cuts_left(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// What a wire does to what goes up.
#[derive(Clone, Copy)]
struct Wire {
    cut_after: u64,
    hold_after: u64,
    hides: bool,
    /// Bytes in a millisecond.
    pace: u64,
}

impl Wire {
    const PLAIN: Self = Self { cut_after: u64::MAX, hold_after: u64::MAX, hides: false, pace: u64::MAX };
}

/// Asks for another path where the server would describe itself. Requests begin where a buffer does: clients wait for each answer.
fn hide(request: &mut [u8]) {
    const ASKED: &[u8] = b"GET /v1/server ";
    if request.starts_with(ASKED) {
        request[..ASKED.len()].copy_from_slice(b"GET /v1/absent ");
    }
}

async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    counted: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
    released: CancellationToken,
    wire: Wire,
) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        let mut buffer = vec![0; 64 * 1024];
        let mut through = 0;
        loop {
            match from_client.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    through += count as u64;
                    counted.fetch_add(count as u64, Ordering::Relaxed);
                    if through > wire.cut_after && take_one(&cuts) {
                        return;
                    }
                    if through > wire.hold_after {
                        released.cancelled().await;
                    }
                    if wire.hides {
                        hide(&mut buffer[..count]);
                    }
                    if to_server.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                    if wire.pace < u64::MAX {
                        tokio::time::sleep(Duration::from_micros(count as u64 * 1000 / wire.pace)).await;
                    }
                }
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

fn take_one(cuts: &AtomicU64) -> bool {
    cuts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}
