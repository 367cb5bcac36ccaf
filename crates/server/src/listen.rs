//! Connections: accepting, encrypting, bounding and ending them.
//!
//! HTTP/1 and HTTP/2, plain or over TLS. A client that says nothing, or takes nothing, is let go; how many are served
//! at once is bounded, and further ones wait in the system's queue. It never cuts an upload off because it takes long.

mod patient;

use crate::config::{Config, Limits, TlsFiles};
use crate::{Server, ServerError, Shared, jobs, meter, push, router};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use patient::Patient;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// How much one connection reads at once, in bytes. A piece of a body that waits for the disk keeps all that was read with it in memory.
const READ_BYTES_MAX: usize = 128 * 1024;

/// Requests that one HTTP/2 connection may have under way.
const STREAMS_MAX: u32 = 64;

/// How often a silent HTTP/2 peer is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long to wait when the system has no sockets left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why HTTPS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read, or is not PEM.
    #[error("{0} cannot be read as PEM")]
    Pem(PathBuf, #[source] pem::Error),
    /// The certificate and the key do not fit.
    #[error("the certificate and its key are not usable")]
    Unusable(#[from] rustls::Error),
}

/// Serves until `shutdown` resolves; requests under way may then finish within `shutdown_timeout`.
pub async fn serve(
    config: Config,
    listener: std::net::TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServerError> {
    serve_opened(Server::open(config).await?, listener, shutdown).await
}

/// The same for a server that is open already; it is closed afterwards.
pub async fn serve_opened(
    server: Shared,
    listener: std::net::TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServerError> {
    let tls = server.config.tls.as_ref().map(tls_acceptor).transpose()?;
    listener.set_nonblocking(true).map_err(ServerError::Listen)?;
    let listener = TcpListener::from_std(listener).map_err(ServerError::Listen)?;
    let mut owned = JoinSet::new();
    if let Some(address) = server.config.metrics_listen {
        let metrics = TcpListener::bind(address).await.map_err(ServerError::Listen)?;
        owned.spawn(async move {
            // Runs until it is aborted below; accept errors are retried inside.
            let _ = axum::serve(metrics, meter::router()).await;
        });
    }
    owned.spawn(jobs::run(server.clone()));
    owned.spawn(jobs::scrub::run(server.clone()));
    owned.spawn(jobs::look::run(server.clone()));
    owned.spawn(push::run(server.clone()));
    let door = Door { router: router(server.clone()), limits: server.config.limits, tls };
    tracing::info!(address = ?listener.local_addr().ok(), https = door.tls.is_some(), "listening");
    let shutdown = async {
        shutdown.await;
        // Streams of news have no end of their own that could be waited for.
        server.store.end_watches();
        // An upload may take hours; what has come of it is recorded, and its client goes on when there is a server again.
        server.turns.stop();
    };
    door.serve(listener, shutdown).await;
    owned.shutdown().await;
    server.turns.ended().await;
    server.store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// What connections are served with.
#[derive(Clone)]
struct Door {
    router: Router,
    limits: Limits,
    tls: Option<TlsAcceptor>,
}

impl Door {
    async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) {
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                (permit, stream, peer) = next_connection(&listener, &permits) => {
                    connections.spawn(self.clone().converse(stream, peer, graceful.watcher(), permit));
                }
            }
        }
        drop(listener);
        let finished = tokio::time::timeout(self.limits.shutdown_timeout, graceful.shutdown()).await;
        if finished.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "requests were still under way and are broken off"
            );
        }
        connections.shutdown().await;
    }

    /// Serves one connection to its end.
    async fn converse(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        watcher: Watcher,
        permit: OwnedSemaphorePermit,
    ) {
        metrics::gauge!("darkslide_connections").increment(1.0);
        // Answers are small and clients wait for them; a failure here costs only speed.
        let _ = stream.set_nodelay(true);
        let stream = Patient::new(stream, self.limits.header_timeout, self.limits.idle_timeout);
        match &self.tls {
            None => self.speak(stream, peer, watcher).await,
            Some(acceptor) => {
                match tokio::time::timeout(self.limits.header_timeout, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => self.speak(stream, peer, watcher).await,
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                    Err(_) => tracing::debug!("TLS handshake took too long"),
                }
            }
        }
        metrics::gauge!("darkslide_connections").decrement(1.0);
        drop(permit);
    }

    async fn speak<S>(&self, stream: S, peer: SocketAddr, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let router = self.router.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().oneshot(request)
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .max_buf_size(READ_BYTES_MAX)
            .header_read_timeout(self.limits.header_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(self.limits.header_timeout);
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// The next client, once there is room for it.
async fn next_connection(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (OwnedSemaphorePermit, TcpStream, SocketAddr) {
    let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (permit, stream, peer),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// TLS by the one provider that this program has.
fn tls_acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let failed = |path: &PathBuf| {
        let path = path.clone();
        move |error| TlsError::Pem(path, error)
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(failed(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(failed(&files.key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
