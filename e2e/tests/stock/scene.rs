//! What most tests begin with: a server, an account, an album, a picture in it.

use darkslide_e2e::engine::{Engine, engines};
use darkslide_e2e::http::Manners;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::stock::web::{self, WEB};
use darkslide_e2e::stock::{CollectionKind, Committed, Device, FileRow};
use darkslide_e2e::vault::{Picture, seal_picture};
use uuid::Uuid;

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Plays a scene on each engine, each time on a server of its own.
pub(crate) async fn on_each_engine<Scene>(play: Scene)
where
    Scene: AsyncFn(&mut ServerProcess),
{
    for engine in engines() {
        let mut server = ServerProcess::start(&engine).await;
        play(&mut server).await;
        server.stop();
    }
}

/// A server on SQLite: for what the database has no part in.
pub(crate) async fn on_sqlite() -> ServerProcess {
    ServerProcess::start(&Engine::Sqlite).await
}

/// An address that no other account has; a plus sign and capitals are part of it.
pub(crate) fn fresh_email() -> String {
    format!("Somebody+{}@example.org", &Uuid::new_v4().simple().to_string()[..12])
}

/// The address as the server knows it.
pub(crate) fn normal(email: &str) -> String {
    email.to_lowercase()
}

/// A web client, signed up.
pub(crate) async fn new_web(server: &ServerProcess) -> Device {
    web::sign_up(server, WEB, &normal(&fresh_email()), PASSWORD).await
}

/// A phone, signed up.
pub(crate) async fn new_phone(server: &ServerProcess) -> Device {
    mobile::sign_up(server, ANDROID, &normal(&fresh_email()), PASSWORD).await
}

/// Another device of the same account.
pub(crate) async fn another(server: &ServerProcess, device: &Device, manners: Manners) -> Device {
    let mut other = Device::new(&server.base(), manners);
    other.log_in_with_password(&device.account().email, PASSWORD).await;
    other
}

/// An album of this name.
pub(crate) async fn album(device: &mut Device, name: &str) -> i64 {
    device.create_collection(name, CollectionKind::Album).await
}

/// A small picture, uploaded and synced back.
pub(crate) async fn small_picture(device: &mut Device, album: i64, title: &str) -> (Picture, FileRow) {
    let (picture, committed) = upload(device, album, title).await;
    web::pull(device).await;
    let row = device.mirror.files[&(album, committed.row.id)].clone();
    (picture, row)
}

/// A small picture, uploaded; nothing is synced.
pub(crate) async fn upload(device: &Device, album: i64, title: &str) -> (Picture, Committed) {
    let picture = Picture::generate(title, 50_000);
    let sealed = seal_picture(&device.collection_key(album), &picture);
    let committed = if device.http.manners.origin.is_some() {
        web::upload(device, album, &sealed).await
    } else {
        mobile::upload(device, album, &sealed).await
    };
    (picture, committed)
}
