//! News of the vault, for whoever keeps something up to date with it.

use std::sync::Arc;
use std::time::Duration;

use darkslide_client::feed::live::{self, News};
use darkslide_client::session::Session;
use tokio::sync::Notify;

/// Rings whenever the server says that the vault has changed; on a server that says so.
pub(super) async fn listen(session: Arc<Session>, vault_news: Arc<Notify>) {
    loop {
        match live::is_offered(&session).await {
            Ok(true) => break,
            Ok(false) => return,
            Err(_) => tokio::time::sleep(Duration::from_secs(30)).await,
        }
    }
    let mut news = News::of(&session);
    while news.next().await.is_ok() {
        vault_news.notify_one();
    }
    // It may be that the session has ended: whoever asks finds out.
    vault_news.notify_one();
}
