//! News of the vault, for whoever keeps something up to date with it.

use std::sync::Arc;
use std::time::Duration;

use darkslide_client::api::ApiFailure;
use darkslide_client::feed::live::{self, News};
use darkslide_client::session::Session;
use tokio::sync::{Notify, watch};

use super::sign_in::SignIn;

/// Rings whenever the server says that the vault has changed; on a server that says so.
pub(super) async fn listen(session: Arc<Session>, vault_news: Arc<Notify>) {
    if hear(&session, &vault_news).await.is_some() {
        // It may be that the session has ended: whoever asks finds out.
        vault_news.notify_one();
    }
}

/// The same, and notes in `sign_in` that the session has ended.
pub(super) async fn listen_for(
    session: Arc<Session>,
    vault_news: Arc<Notify>,
    sign_in: Arc<watch::Sender<SignIn>>,
) {
    let Some(failure) = hear(&session, &vault_news).await else { return };
    if failure.is_signed_out() {
        SignIn::note_end(&sign_in, &session);
    }
    vault_news.notify_one();
}

/// Why nothing more is heard; none where the server says nothing.
async fn hear(session: &Session, vault_news: &Notify) -> Option<ApiFailure> {
    loop {
        match live::is_offered(session).await {
            Ok(true) => break,
            Ok(false) => return None,
            Err(_) => tokio::time::sleep(Duration::from_secs(30)).await,
        }
    }
    let mut news = News::of(session);
    loop {
        match news.next().await {
            Ok(_) => vault_news.notify_one(),
            Err(failure) => return Some(failure),
        }
    }
}
