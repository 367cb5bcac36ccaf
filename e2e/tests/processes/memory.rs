//! Files of any size pass through the server with its memory flat, both ways.

use bytes::Bytes;
use darkslide_e2e::engine::Engine;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::{self, ANDROID};
use darkslide_e2e::stock::{CollectionKind, Device, MultipartSession};
use darkslide_e2e::vault::{Picture, Sealed, SealedPicture, seal_picture};
use futures_util::{StreamExt as _, stream};
use reqwest::Client;
use std::time::Instant;

/// Bytes of the piece that the generated file repeats.
const PIECE: usize = 1 << 20;

/// The largest that the server may ever have been, in KiB: a small machine must be able to run it beside other things: 100 MB.
const PEAK_KIB_MAX: u64 = 100_000_000 / 1024;

/// Parts that the file is sent in, the second time.
const PARTS: usize = 16;

/// GiB in the file: one, unless `DARKSLIDE_E2E_GIB` says otherwise (at most 10).
fn gibibytes() -> usize {
    std::env::var("DARKSLIDE_E2E_GIB").map_or(1, |text| text.parse().unwrap())
}

/// Piece number `index` of the generated file; every piece is another.
fn piece(template: &Bytes, index: usize) -> Bytes {
    let mut bytes = template.to_vec();
    bytes[..8].copy_from_slice(&(index as u64).to_le_bytes());
    Bytes::from(bytes)
}

fn pieces(template: Bytes, range: std::ops::Range<usize>) -> reqwest::Body {
    let pieces = stream::iter(range).map(move |index| Ok::<_, std::io::Error>(piece(&template, index)));
    reqwest::Body::wrap_stream(pieces)
}

/// Peak resident memory of the server so far, in KiB.
fn peak(server: &ServerProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_files_pass_through_flat_memory() {
    let server = ServerProcess::start(&Engine::Sqlite).await;
    let mut phone = mobile::sign_up(&server, ANDROID, "large@example.org", "password").await;
    let album = phone.create_collection("Large", CollectionKind::Album).await;
    let template = Bytes::from(Picture::generate("", PIECE).content);
    let count = gibibytes() * 1024;
    // One piece less than the most that an object may have, when ten GiB are asked for.
    let count = count.min(10 * 1024 - 1);
    report("started", &server, None);

    let began = Instant::now();
    let whole = put_whole(&phone, &template, count).await;
    report("stored whole", &server, Some((count, began)));
    let row = commit(&phone, album, &whole, count).await;
    let began = Instant::now();
    check_download(&phone, row, &template, count).await;
    report("fetched", &server, Some((count, began)));

    let began = Instant::now();
    let in_parts = put_in_parts(&phone, &template, count).await;
    report("stored in parts", &server, Some((count, began)));
    let row = commit(&phone, album, &in_parts, count).await;
    let began = Instant::now();
    check_download(&phone, row, &template, count).await;
    report("fetched", &server, Some((count, began)));
}

#[expect(clippy::print_stderr, reason = "figures are what this test is run for at ten GiB")]
fn report(what: &str, server: &ServerProcess, work: Option<(usize, Instant)>) {
    let peak = peak(server);
    let speed = work.map_or(String::new(), |(mebibytes, began)| {
        format!(", {mebibytes} MiB at {:.0} MiB/s", mebibytes as f64 / began.elapsed().as_secs_f64())
    });
    eprintln!("{what}: the server's peak is {peak} KiB{speed}");
    assert!(peak < PEAK_KIB_MAX, "{what}: the server's peak is {peak} KiB");
}

async fn put_whole(phone: &Device, template: &Bytes, count: usize) -> String {
    let mint = phone.mint_legacy(1).await.remove(0);
    put(&mint.url, template, 0..count).await;
    mint.key
}

async fn put_in_parts(phone: &Device, template: &Bytes, count: usize) -> String {
    let per_part = count.div_ceil(PARTS);
    let mut session: MultipartSession = phone.mint_parts_legacy(count.div_ceil(per_part), 0).await;
    for index in 0..session.part_urls.len() {
        let range = index * per_part..((index + 1) * per_part).min(count);
        session.etags[index] = Some(put(&session.part_urls[index], template, range).await);
    }
    phone.post_xml(&session.complete_url, &mobile::complete_xml(&session)).await.accepted();
    session.key
}

async fn put(url: &str, template: &Bytes, range: std::ops::Range<usize>) -> String {
    let length = range.len() * PIECE;
    let request =
        Client::new().put(url).header("content-length", length).body(pieces(template.clone(), range));
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    answer.headers()["etag"].to_str().unwrap().replace('"', "")
}

async fn commit(phone: &Device, album: i64, object: &str, count: usize) -> i64 {
    let small: SealedPicture = seal_picture(&phone.collection_key(album), &Picture::generate("large", 100));
    let thumbnail = mobile::put_whole(phone, &small.thumbnail).await;
    let unsent =
        SealedPicture { file: Sealed { bytes: Vec::new(), header: small.file.header.clone() }, ..small };
    let mut body = phone.commit_body(album, &unsent, object, &thumbnail);
    body["file"]["size"] = (count * PIECE).into();
    phone.commit(body).await.row.id
}

/// Fetches the whole file piece by piece, and compares each.
async fn check_download(phone: &Device, file: i64, template: &Bytes, count: usize) {
    let url = mobile::redirect_of(phone, "download", file).await;
    let mut body = Client::new().get(url).send().await.unwrap().bytes_stream();
    let mut pending = Vec::with_capacity(2 * PIECE);
    let mut index = 0;
    while let Some(bytes) = body.next().await {
        pending.extend_from_slice(&bytes.unwrap());
        while pending.len() >= PIECE {
            assert!(pending[..PIECE] == piece(template, index), "piece {index} came back altered");
            pending.drain(..PIECE);
            index += 1;
        }
    }
    assert_eq!((index, pending.len()), (count, 0));
}
