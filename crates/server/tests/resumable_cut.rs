//! Resumable uploads over HTTP: every way to be cut, overtaken or stopped, and what is durable then.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what a test needs and does not get fails the test")]

mod support;

use darkslide_protocol::Opaque;
use darkslide_protocol::limits::DAY_MICROS;
use darkslide_protocol::tus::chunk_digest;
use darkslide_server::config::RawConfig;
use darkslide_server::jobs::expire::sweep_orphans;
use darkslide_server::objects::{Growing, Objects, Opening, Reached};
use sqlx::Row as _;
use support::tus::{Tus, database, now, until};
use support::vault::noise;
use support::{TestServer, raw_config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_cut_connection_loses_nothing_that_came() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(5, 2_000_000);
    let url = tus.begin(bytes.len()).await;
    // Cut after nothing, after one byte, within a batch, beyond it, and just before the end.
    let mut offset = 0;
    for end in [0, 1, 300_000, 1_200_000, 1_999_999] {
        let stream = tus.patch_partly(&url, offset, bytes.len() - offset, &bytes[offset..end]).await;
        drop(stream);
        until("what was sent is recorded", async || tus.row(&url).await.offset == end as u64).await;
        offset = end;
        let head = tus.head(&url).await;
        assert_eq!(head.header("upload-offset"), end.to_string());
    }
    assert_eq!(tus.append(&url, offset, &bytes[offset..]).await.status, 204);
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
}

#[tokio::test]
async fn the_digest_of_what_came_before_a_cut_can_be_asked_for() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(6, 1_000_000);
    let url = tus.begin(bytes.len()).await;
    assert_eq!(tus.append(&url, 0, &bytes[..100_000]).await.status, 204);
    drop(tus.patch_partly(&url, 100_000, 900_000, &bytes[100_000..700_000]).await);
    until("what was sent is recorded", async || tus.row(&url).await.offset == 700_000).await;
    let head = tus.head(&url).await;
    assert_eq!(head.header("darkslide-chunk-offset"), "100000");
    let digest = chunk_digest(blake3::hash(&bytes[100_000..700_000]).as_bytes());
    assert_eq!(head.header("darkslide-chunk-digest"), digest);
}

#[tokio::test]
async fn the_newest_client_wins() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(7, 1_000_000);
    let url = tus.begin(bytes.len()).await;
    // Silent, but connected: a HEAD makes it record what it has and end.
    let mut first = tus.patch_partly(&url, 0, bytes.len(), &bytes[..600_000]).await;
    until("the first is at work", async || tus.file(&url).metadata().is_ok_and(|file| file.len() > 0)).await;
    let offset = tus.offset(&url).await;
    let mut said = String::new();
    first.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 409 "), "{said}");
    // What was still in the network when the HEAD came may be missing.
    assert!((1..=600_000).contains(&offset), "{offset}");
    let mut second = tus.patch_partly(&url, offset, bytes.len() - offset, &bytes[offset..offset + 10]).await;
    until("the second is at work", async || tus.file(&url).metadata().unwrap().len() >= offset as u64).await;
    // A PATCH that goes on from where the second will have stopped: it waits for it, and then goes on or is told to look again.
    let third = loop {
        let offset = tus.offset(&url).await;
        let answer = tus.append(&url, offset, &bytes[offset..]).await;
        if answer.status == 204 {
            break answer;
        }
        answer.failed(409, Some("CONFLICT"));
    };
    assert_eq!(third.header("upload-offset"), "1000000");
    let mut said = String::new();
    second.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 409 "), "{said}");
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
}

/// A line that is slow and steady is never silent: whoever asks would wait for all of it.
#[tokio::test]
async fn a_slow_and_steady_sender_makes_way() {
    const PIECE: usize = 1000;
    // Some 10 ms apart: a minute.
    const PIECES: usize = 6000;
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let length = PIECE * PIECES;
    let (asked, deleted) = (tus.begin(length).await, tus.begin(length).await);
    let mut senders = tokio::task::JoinSet::new();
    for url in [&asked, &deleted] {
        let mut stream = tus.patch_partly(url, 0, length, &[7; PIECE]).await;
        senders.spawn(async move {
            let mut beat = tokio::time::interval(std::time::Duration::from_millis(10));
            for _ in 1..PIECES {
                beat.tick().await;
                if stream.write_all(&[7; PIECE]).await.is_err() {
                    return;
                }
            }
        });
        until("it is at work", async || tus.file(url).exists()).await;
    }
    let (offset, gone) = tokio::join!(tus.offset(&asked), tus.delete(&deleted));
    assert!((1..length).contains(&offset), "{offset}");
    assert_eq!(gone.status, 204, "it was not whole yet");
    assert_eq!(tus.append(&asked, offset, &vec![7; length - offset]).await.status, 204);
    assert_eq!(tus.object(&asked).await.unwrap(), vec![7; length]);
}

#[tokio::test]
async fn two_clients_that_race_for_one_upload_make_one_object() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(8, 3_000_000);
    let url = tus.begin(bytes.len()).await;
    let race = async || loop {
        let head = tus.head(&url).await;
        assert_eq!(head.status, 200);
        let offset: usize = head.header("upload-offset").parse().unwrap();
        if offset == bytes.len() {
            return;
        }
        let end = bytes.len().min(offset + 700_000);
        // A connection that was broken off is as good as a refusal.
        if let Ok(response) = tus.patch(&url, offset, &bytes[offset..end]).send().await {
            assert!([204, 409].contains(&response.status().as_u16()), "{response:?}");
        }
    };
    tokio::join!(race(), race());
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
}

#[tokio::test]
async fn two_processes_over_one_folder_never_write_one_upload_together() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(9, 1_000_000);
    let url = tus.begin(bytes.len()).await;
    let other = Objects::open(server.folder()).unwrap();
    let held = open(&other, &tus, &url, &[]).await;
    tus.append(&url, 0, &bytes).await.failed(423, Some("LOCKED"));
    drop(held);
    assert_eq!(tus.append(&url, 0, &bytes[..500_000]).await.status, 204);
    let before = writer(&server).await;
    // Another process takes the upload over in the database: the one that is at work may not record any more.
    let mut stale = tus.patch_partly(&url, 500_000, 500_000, &bytes[500_000..800_000]).await;
    until("it has taken the upload", async || writer(&server).await != before).await;
    server.shared.store.take_upload(tus.at(&url), 500_000, uuid::Uuid::new_v4()).await.unwrap();
    stale.write_all(&bytes[800_000..]).await.unwrap();
    let mut said = String::new();
    stale.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 409 "), "{said}");
    assert_eq!(tus.row(&url).await.offset, 500_000);
    // What it had written is what was sent, and nobody writes it now: whoever asks is told so.
    assert_eq!(tus.offset(&url).await, 1_000_000);
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
}

/// Between being let in and locking the file, another process may record what a killed one had left in there.
#[tokio::test]
async fn a_file_is_cut_only_by_who_knows_that_it_may() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(15, 1_000_000);
    let url = tus.begin(bytes.len()).await;
    assert_eq!(tus.append(&url, 0, &bytes[..900_000]).await.status, 204);
    let other = Objects::open(server.folder()).unwrap();
    let held = open(&other, &tus, &url, &bytes[..500_000]).await;
    assert_eq!(tus.file(&url).metadata().unwrap().len(), 900_000, "to open it cuts nothing off");
    drop(held);
    let held = open(&other, &tus, &url, &bytes[..500_000]).await;
    drop(held.cut().await.unwrap());
    assert_eq!(tus.file(&url).metadata().unwrap().len(), 500_000);
}

/// Opens an upload's file, in which these bytes are recorded to be.
async fn open(objects: &Objects, tus: &Tus<'_>, url: &str, before: &[u8]) -> Growing {
    let digest = (!before.is_empty()).then(|| *blake3::hash(before).as_bytes());
    let reached = Reached { offset: before.len() as u64, digest, running: None };
    match objects.open_growing(tus.at(url).object, reached, None, &CancellationToken::new()).await.unwrap() {
        Opening::Open(growing) => *growing,
        Opening::Stopped(_) => panic!("nobody stopped it"),
    }
}

/// What is recorded is read again where its hash is not kept, and may be gigabytes: whoever came meanwhile waited for all of it.
#[tokio::test]
async fn who_is_overtaken_before_it_begins_reads_nothing() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(16, 1_000_000);
    let url = tus.begin(bytes.len()).await;
    assert_eq!(tus.append(&url, 0, &bytes[..500_000]).await.status, 204);
    let mut harmed = bytes[..500_000].to_vec();
    harmed[7] ^= 1;
    std::fs::write(tus.file(&url), harmed).unwrap();
    let turns = &server.shared.turns;
    turns.forget(tus.at(&url).object);
    let held = turns.take(tus.at(&url)).await;
    let (answer, ()) = tokio::join!(tus.append(&url, 500_000, &bytes[500_000..]), async {
        held.stop.cancelled().await;
        // It waits for its turn, and somebody newer comes.
        turns.interrupt(tus.account);
        drop(held);
    });
    answer.failed(409, Some("CONFLICT"));
    assert_eq!(tus.offset(&url).await, 500_000);
    assert_eq!(tus.append(&url, 500_000, &bytes[500_000..]).await.status, 410, "who is not reads it");
}

async fn writer(server: &TestServer) -> Option<String> {
    let pool = database(server).await;
    sqlx::query("SELECT writer FROM uploads").fetch_one(&pool).await.unwrap().get(0)
}

#[tokio::test]
async fn a_restarted_server_goes_on_and_trusts_nothing_that_was_not_recorded() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(10, 2_000_000);
    let url = tus.begin(bytes.len()).await;
    assert_eq!(tus.append(&url, 0, &bytes[..900_000]).await.status, 204);
    let (token, account, path) = (tus.token.clone(), tus.account, tus.file(&url));
    let id = url.rsplit('/').next().unwrap().to_owned();
    // What a kill leaves: bytes behind the recorded offset, which may be anything.
    let mut file = std::fs::read(&path).unwrap();
    file.extend_from_slice(&[0xff; 5000]);
    std::fs::write(&path, file).unwrap();
    let folder = server.stop().await;
    let server = TestServer::start_in(folder, raw_config()).await;
    let tus = Tus { server: &server, token, account };
    let url = server.url(&format!("/v1/uploads/{id}"));
    assert_eq!(tus.offset(&url).await, 900_000);
    assert_eq!(tus.append(&url, 900_000, &bytes[900_000..]).await.status, 204);
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
}

/// Bytes that were acknowledged and that the disk then damaged became part of what the server vouched for: its digest was taken of
/// what lay there after a restart, and who freed room for it lost the only good copy.
#[tokio::test]
async fn what_a_disk_damaged_before_a_restart_is_not_gone_on_with() {
    for (asked_first, requests) in [(true, 1_usize), (false, 1), (true, 3), (false, 3)] {
        let server = TestServer::start().await;
        let tus = Tus::new(&server, "tus@example.org").await;
        let bytes = noise(17, 1_200_000);
        let url = tus.begin(bytes.len()).await;
        for number in 0..requests {
            let at = |number| 900_000 / requests * number;
            let (from, to) = (at(number), at(number + 1));
            assert_eq!(tus.append(&url, from, &bytes[from..to]).await.status, 204);
        }
        let mut file = std::fs::read(tus.file(&url)).unwrap();
        file[100_000] ^= 1;
        std::fs::write(tus.file(&url), file).unwrap();
        let (token, account) = (tus.token.clone(), tus.account);
        let id = url.rsplit('/').next().unwrap().to_owned();
        let server = TestServer::start_in(server.stop().await, raw_config()).await;
        let tus = Tus { server: &server, token, account };
        let url = server.url(&format!("/v1/uploads/{id}"));
        if asked_first {
            assert_eq!(tus.offset(&url).await, 900_000);
        }
        tus.append(&url, 900_000, &bytes[900_000..]).await.failed(410, Some("GONE"));
        assert_eq!(tus.head(&url).await.status, 404);
        assert!(tus.object(&url).await.is_none() && !tus.file(&url).exists());
    }
}

/// A kill between writing and recording, which is where there are most bytes to lose.
#[tokio::test]
async fn what_was_written_before_a_kill_is_not_sent_again() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(14, 3_000_000);
    let url = tus.begin(bytes.len()).await;
    assert_eq!(tus.append(&url, 0, &bytes[..100_000]).await.status, 204);
    drop(tus.patch_partly(&url, 100_000, 2_900_000, &bytes[100_000..2_000_000]).await);
    until("what was sent is recorded", async || tus.row(&url).await.offset == 2_000_000).await;
    let forget = async || {
        let text = "UPDATE uploads SET durable_offset = 900000, digest = $1, chunk_digest = 'of less'";
        let digest = Opaque::encode(blake3::hash(&bytes[..900_000]).as_bytes()).0;
        sqlx::query(text).bind(digest).execute(&database(&server).await).await.unwrap();
    };
    forget().await;
    let head = tus.head(&url).await;
    assert_eq!(head.header("upload-offset"), "2000000");
    assert_eq!(head.header("darkslide-chunk-offset"), "100000");
    let digest = chunk_digest(blake3::hash(&bytes[100_000..2_000_000]).as_bytes());
    assert_eq!(head.header("darkslide-chunk-digest"), digest);
    // The disk lost some of it.
    forget().await;
    let mut file = std::fs::read(tus.file(&url)).unwrap();
    file[1_500_000] ^= 1;
    std::fs::write(tus.file(&url), file).unwrap();
    assert_eq!(tus.offset(&url).await, 900_000);
    assert_eq!(tus.append(&url, 900_000, &bytes[900_000..]).await.status, 204);
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
    assert_eq!(std::fs::read_dir(server.folder().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_stopping_server_records_what_came_and_says_that_it_stops() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(11, 1_000_000);
    let url = tus.begin(bytes.len()).await;
    let mut stream = tus.patch_partly(&url, 0, bytes.len(), &bytes[..700_000]).await;
    // Two batches are in the file when the third is begun.
    until("it is at work", async || tus.file(&url).metadata().is_ok_and(|file| file.len() >= 524_288)).await;
    let (token, account) = (tus.token.clone(), tus.account);
    let id = url.rsplit('/').next().unwrap().to_owned();
    let folder = server.stop().await;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    let server = TestServer::start_in(folder, raw_config()).await;
    let tus = Tus { server: &server, token, account };
    let url = server.url(&format!("/v1/uploads/{id}"));
    let offset = tus.offset(&url).await;
    assert!((524_288..=700_000).contains(&offset), "{offset}");
    assert_eq!(tus.append(&url, offset, &bytes[offset..]).await.status, 204);
    assert_eq!(tus.object(&url).await.unwrap(), bytes);
}

/// A crash between any two of the steps that make an object of a whole upload.
#[tokio::test]
async fn a_crash_at_the_end_is_put_right_by_whoever_asks_next() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let bytes = noise(12, 100_000);
    for (moved, asked_by_head) in [(false, true), (false, false), (true, true), (true, false)] {
        let url = tus.begin(bytes.len()).await;
        assert_eq!(tus.append(&url, 0, &bytes[..50_000]).await.status, 204);
        // The last bytes are flushed and recorded, and there it ended.
        let mut file = std::fs::read(tus.file(&url)).unwrap();
        file.extend_from_slice(&bytes[50_000..]);
        std::fs::write(tus.file(&url), file).unwrap();
        sqlx::query("UPDATE uploads SET durable_offset = length, digest = $1 WHERE id = $2")
            .bind(Opaque::encode(blake3::hash(&bytes).as_bytes()).0)
            .bind(tus.at(&url).object.to_string())
            .execute(&database(&server).await)
            .await
            .unwrap();
        if moved {
            let blob = tus.row(&url).await.blob;
            let place = server.folder().join("objects").join(&blob.as_str()[..2]).join(blob.as_str());
            std::fs::rename(tus.file(&url), &place).unwrap();
            // The sweep of blobs that nothing names knows that this one will be named.
            let swept = sweep_orphans(&server.shared, now() + 2 * DAY_MICROS).await.unwrap();
            assert_eq!(swept.orphans, 0);
        }
        assert!(tus.object(&url).await.is_none());
        if asked_by_head {
            assert_eq!(tus.offset(&url).await, bytes.len());
        } else {
            assert_eq!(tus.append(&url, bytes.len(), &[]).await.status, 204);
        }
        assert_eq!(tus.object(&url).await.unwrap(), bytes);
    }
}

/// `HEAD` told the offset of bytes that were not there, and a client that trusts it had its next bytes refused.
#[tokio::test]
async fn lost_bytes_are_told_and_the_upload_is_given_up() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    for (is_gone, asked_by_head) in [(false, true), (false, false), (true, true), (true, false)] {
        let url = tus.begin(100).await;
        assert_eq!(tus.append(&url, 0, &[1; 50]).await.status, 204);
        if is_gone {
            std::fs::remove_file(tus.file(&url)).unwrap();
        } else {
            std::fs::write(tus.file(&url), [1; 49]).unwrap();
        }
        if asked_by_head {
            assert_eq!(tus.head(&url).await.status, 410, "{is_gone}");
            tus.append(&url, 50, &[1; 50]).await.failed(404, Some("NOT_FOUND"));
        } else {
            tus.append(&url, 50, &[1; 50]).await.failed(410, Some("GONE"));
        }
        assert_eq!(tus.head(&url).await.status, 404);
        assert!(!tus.file(&url).exists());
    }
}

/// Only a further batch made it record what had come: with a sender who fell silent, a power cut cost all of it.
#[tokio::test]
async fn what_came_is_recorded_while_its_sender_is_silent() {
    let server = TestServer::start().await;
    let tus = Tus::new(&server, "tus@example.org").await;
    for (seed, sent) in [(18, 5_242_880), (19, 100_001)] {
        let bytes = noise(seed, sent);
        let url = tus.begin(10_000_000).await;
        let stream = tus.patch_partly(&url, 0, 10_000_000, &bytes).await;
        until("all that came is recorded", async || tus.row(&url).await.offset == sent as u64).await;
        assert_eq!(tus.row(&url).await.digest, Some(*blake3::hash(&bytes).as_bytes()));
        drop(stream);
    }
}

#[tokio::test]
async fn a_silent_sender_is_let_go_and_what_it_sent_is_kept() {
    let server = TestServer::start_with(RawConfig { idle_timeout: Some(1), ..raw_config() }).await;
    let tus = Tus::new(&server, "tus@example.org").await;
    let url = tus.begin(1000).await;
    let mut stream = tus.patch_partly(&url, 0, 1000, &[5; 400]).await;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 40"), "{said}");
    assert_eq!(tus.offset(&url).await, 400);
}
