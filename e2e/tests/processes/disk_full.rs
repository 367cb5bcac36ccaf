//! The disk is full: uploads are refused as a passing fault, nothing acknowledged is harmed, and with room again all goes on.

use crate::remains::reap_and_compare;
use darkslide_e2e::engine::Engine;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::stock::{CollectionKind, Device};
use darkslide_e2e::vault::{Picture, SealedPicture, seal_picture};
use reqwest::Method;
use serde_json::json;
use std::path::Path;
use std::process::Command;

/// Bytes of the whole disk.
const DISK: &str = "size=48m";

/// Less than this free, and the server calls itself not ready. An upload that no longer fits leaves less than its size.
const FLOOR: &str = "--free-space-floor=4MiB";

/// Bytes that are given back when the disk was full.
const BALLAST: usize = 16 << 20;

/// A memory disk mounted on a folder.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "what is not tested must be seen")]
async fn a_full_disk_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        assert!(std::env::var_os("CI").is_none(), "CI may mount, and must");
        eprintln!("no right to mount a small disk: what happens when the disk is full was NOT tested");
        return;
    };
    let mut server = ServerProcess::start_at(disk.path(), &Engine::Sqlite, &[FLOOR]).await;
    assert_eq!(readiness(&server).await, (200, true));
    let mut phone = mobile::sign_up(&server, ANDROID, "full@example.org", "password").await;
    let album = phone.create_collection("Full", CollectionKind::Album).await;
    std::fs::write(disk.path().join("ballast"), vec![0; BALLAST]).unwrap();

    let mut kept = Vec::new();
    let refused = loop {
        let picture = Picture::generate(&format!("{}.jpg", kept.len()), 3 << 20);
        let sealed = seal_picture(&phone.collection_key(album), &picture);
        match attempt(&phone, album, &sealed).await {
            Ok(id) => kept.push((id, picture)),
            Err(status) => break (status, sealed, picture),
        }
        assert!(kept.len() < 48, "a disk of this size is never full");
    };
    // The server did not take the rest of the body, and closed.
    phone.http.reconnect();
    let (status, sealed, picture) = refused;
    assert!(kept.len() >= 3, "there was room at first");
    assert_eq!(readiness(&server).await, (503, false), "there is room for a probe, not for pictures");
    assert!(status >= 500, "a passing fault, so that clients try again: {status}");
    check_kept(&mut phone, album, &kept).await;
    server.kill();
    server.restart();
    phone.http.reconnect();
    check_kept(&mut phone, album, &kept).await;

    std::fs::remove_file(disk.path().join("ballast")).unwrap();
    assert_eq!(readiness(&server).await, (200, true));
    let id = attempt(&phone, album, &sealed).await.expect("with room again, the same upload succeeds");
    kept.push((id, picture));
    check_kept(&mut phone, album, &kept).await;
    server.stop();
    reap_and_compare(&server).await;
}

/// The status of `/readyz`, and whether it finds room. The database answers all the time.
async fn readiness(server: &ServerProcess) -> (u16, bool) {
    let answer = reqwest::get(format!("{}/readyz", server.base())).await.unwrap();
    let status = answer.status().as_u16();
    let parts: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(parts["database"], true, "{parts}");
    (status, parts["space"].as_bool().unwrap())
}

/// One upload; the status of the first step that was refused.
async fn attempt(phone: &Device, album: i64, picture: &SealedPicture) -> Result<i64, u16> {
    let mut keys = Vec::new();
    for sealed in [&picture.file, &picture.thumbnail] {
        let body = json!({
            "contentLength": sealed.bytes.len(), "contentMD5": darkslide_e2e::vault::md5(&sealed.bytes),
        });
        let mint = phone.http.call(Method::POST, "/files/upload-url", Some(&body)).await;
        let mint = accepted(&mint)?;
        let url = mint["url"].as_str().unwrap();
        accepted(&phone.put(url, &sealed.bytes, &mobile::put_headers(&sealed.bytes)).await)?;
        keys.push(mint["objectKey"].as_str().unwrap().to_owned());
    }
    let body = phone.commit_body(album, picture, &keys[0], &keys[1]);
    let answer = accepted(&phone.http.call(Method::POST, "/files", Some(&body)).await)?;
    Ok(answer["id"].as_i64().unwrap())
}

fn accepted(answer: &darkslide_e2e::http::Answer) -> Result<serde_json::Value, u16> {
    if answer.status == 200 { Ok(answer.ok()) } else { Err(answer.status) }
}

/// Everything acknowledged is there, byte for byte, and nothing else.
async fn check_kept(phone: &mut Device, album: i64, kept: &[(i64, Picture)]) {
    mobile::sync(phone).await;
    assert_eq!(phone.mirror.live(album).len(), kept.len());
    for (id, picture) in kept {
        let opened = mobile::download(phone, &phone.mirror.files[&(album, *id)]).await;
        assert!(opened.content == picture.content, "file {id} came back altered");
    }
}

/// One resumable upload onto a disk that fills up under it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "what is not tested must be seen")]
async fn a_full_disk_holds_a_resumable_upload_up_and_loses_nothing_of_it() {
    let Some(disk) = SmallDisk::mount() else {
        assert!(std::env::var_os("CI").is_none(), "CI may mount, and must");
        eprintln!("no right to mount a small disk: what happens when the disk is full was NOT tested");
        return;
    };
    let mut server = ServerProcess::start_at(disk.path(), &Engine::Sqlite, &[]).await;
    let phone = mobile::sign_up(&server, ANDROID, "full@example.org", "password").await;
    std::fs::write(disk.path().join("ballast"), vec![0; BALLAST]).unwrap();
    let bytes: Vec<u8> =
        (0..40_u32 << 20).map(|at| (at >> 3).to_le_bytes()[0] ^ at.to_le_bytes()[2]).collect();
    let tus = reqwest::Client::new();
    let call = |method: Method, url: &str| {
        let token = phone.http.token.clone().unwrap();
        tus.request(method, url).header("Tus-Resumable", "1.0.0").header("X-Auth-Token", token)
    };
    let endpoint = format!("{}/v1/uploads", server.base());
    let begun = call(Method::POST, &endpoint).header("Upload-Length", bytes.len()).send().await.unwrap();
    let url = begun.headers()["location"].to_str().unwrap().to_owned();
    let append = async |offset: usize| {
        let request = call(Method::PATCH, &url)
            .header("Content-Type", "application/offset+octet-stream")
            .header("Upload-Offset", offset)
            .body(bytes[offset..].to_vec());
        // A server that stops reading may be heard of by a broken connection only.
        match request.send().await {
            Ok(answer) => Some((answer.status().as_u16(), answer.text().await.unwrap_or_default())),
            Err(_) => None,
        }
    };
    let offset = async || -> usize {
        let head = call(Method::HEAD, &url).send().await.unwrap();
        head.headers()["upload-offset"].to_str().unwrap().parse().unwrap()
    };
    let refused = append(0).await;
    if let Some((status, text)) = refused {
        assert!(status == 503 && text.contains("DISK_FULL"), "{status} {text}");
    }
    let held = offset().await;
    assert!(held > 1 << 20 && held < bytes.len(), "{held} bytes were taken by a disk with less room");
    server.kill();
    server.restart();
    assert_eq!(offset().await, held);
    std::fs::remove_file(disk.path().join("ballast")).unwrap();
    assert_eq!(append(held).await.map(|(status, _)| status), Some(204));
    let id = url.rsplit('/').next().unwrap();
    let objects = server.data_dir().join("objects").join(&id[..2]);
    let names = std::fs::read_dir(objects).unwrap().map(|entry| entry.unwrap().path());
    let blob = names.into_iter().find(|path| path.to_string_lossy().contains(id)).unwrap();
    assert!(std::fs::read(blob).unwrap() == bytes, "what was sent in two goes is not what is stored");
    server.stop();
    reap_and_compare(&server).await;
}
