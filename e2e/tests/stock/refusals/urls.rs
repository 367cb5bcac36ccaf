//! Signed URLs: any altered member, another method, another part, and URLs of the wrong kind lead nowhere.

use crate::scene::{album, another, new_web, on_each_engine, small_picture};
use bytes::Bytes;
use darkslide_e2e::http::Outgoing;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::stock::{Device, web};
use reqwest::Method;
use url::Url;

/// The URL with one character of each of its varying members changed, one after the other.
fn alterations(url: &str) -> Vec<String> {
    let original = Url::parse(url).unwrap();
    let members: Vec<(String, String)> = original.query_pairs().into_owned().collect();
    assert!(!members.is_empty(), "signed in the query: {url}");
    let mut altered = Vec::new();
    for index in 0..members.len() {
        for change in [bump as fn(&str) -> String, drop_all] {
            let mut members = members.clone();
            members[index].1 = change(&members[index].1);
            let mut url = original.clone();
            url.query_pairs_mut().clear().extend_pairs(members);
            altered.push(url.to_string());
        }
    }
    let mut path = original.clone();
    let longer = bump(original.path());
    path.set_path(&longer);
    altered.push(path.to_string());
    let mut bare = original;
    bare.set_query(None);
    altered.push(bare.to_string());
    altered
}

/// The first digit or letter at the end becomes another one: later expiry, next part, other signature.
fn bump(text: &str) -> String {
    let position = text.rfind(|letter: char| letter.is_ascii_alphanumeric()).unwrap();
    let mut bytes = text.as_bytes().to_vec();
    bytes[position] = match bytes[position] {
        b'9' | b'z' | b'Z' => b'1',
        letter => letter + 1,
    };
    String::from_utf8(bytes).unwrap()
}

fn drop_all(_: &str) -> String {
    String::new()
}

async fn attempt(device: &Device, method: &Method, url: &str, body: &'static [u8]) -> u16 {
    let body = (*method != Method::GET).then_some(Bytes::from_static(body));
    let request = Outgoing { method: method.clone(), url: url.to_owned(), headers: Vec::new(), body };
    device.http.send(request).await.unwrap().status
}

#[tokio::test]
async fn altered_download_urls() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = album(&mut device, "Signed").await;
        let (_, row) = small_picture(&mut device, album, "signed.jpg").await;
        let phone = another(server, &device, ANDROID).await;
        for route in ["download", "preview"] {
            let url = mobile::redirect_of(&phone, route, row.id).await;
            for altered in alterations(&url) {
                let status = attempt(&phone, &Method::GET, &altered, b"").await;
                assert!([400, 401, 403, 404].contains(&status), "{status} for {altered}, from {url}");
            }
            for method in [Method::PUT, Method::POST, Method::DELETE] {
                let status = attempt(&phone, &method, &url, b"other").await;
                assert!((400..500).contains(&status), "{method} {status}");
            }
            assert_eq!(attempt(&phone, &Method::GET, &url, b"").await, 200);
        }
    })
    .await;
}

#[tokio::test]
async fn altered_upload_urls() {
    on_each_engine(async |server: &mut ServerProcess| {
        let device = new_web(server).await;
        let phone = another(server, &device, ANDROID).await;
        let whole = phone.mint(b"whole", "").await.url;
        let parts = phone.mint_parts_legacy(2, 5).await;
        for url in [&whole, &parts.part_urls[0]] {
            for altered in alterations(url) {
                let status = attempt(&phone, &Method::PUT, &altered, b"whole").await;
                assert!([400, 401, 403, 404].contains(&status), "{status} for {altered}, from {url}");
            }
            assert_ne!(attempt(&phone, &Method::GET, url, b"").await, 200, "an upload URL reads nothing");
        }
        for altered in alterations(&parts.complete_url) {
            let status = attempt(&phone, &Method::POST, &altered, b"<CompleteMultipartUpload/>").await;
            assert!([400, 401, 403, 404].contains(&status), "{status} for {altered}");
        }
        assert_eq!(attempt(&phone, &Method::PUT, &whole, b"whole").await / 100, 2);
    })
    .await;
}

/// A part's URL is not its neighbour's, and a committed object is never written again.
#[tokio::test]
async fn committed_objects_are_never_overwritten() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = album(&mut device, "Fixed").await;
        let picture = darkslide_e2e::vault::Picture::generate("fixed.jpg", 10_000);
        let sealed = darkslide_e2e::vault::seal_picture(&device.collection_key(album), &picture);
        let mints = device.mint_legacy(2).await;
        device.put(&mints[0].url, &sealed.file.bytes, &[]).await.accepted();
        device.put(&mints[1].url, &sealed.thumbnail.bytes, &[]).await.accepted();
        let body = device.commit_body(album, &sealed, &mints[0].key, &mints[1].key);
        let row = device.commit(body).await.row;
        device.put(&mints[0].url, &sealed.file.bytes, &[]).await.accepted();
        let mut other = sealed.file.bytes.clone();
        other[100] ^= 1;
        let answer = device.put(&mints[0].url, &other, &[]).await;
        assert!([400, 409].contains(&answer.status), "{answer:?}");
        web::pull(&mut device).await;
        assert_eq!(web::download(&device, &row).await.content, picture.content);
    })
    .await;
}
