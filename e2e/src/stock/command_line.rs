//! The command line's export: signs in with the password, follows the diffs, downloads originals.
//!
//! It sends no package name with downloads, knows no trash, and fetches no thumbnails.

use super::{Device, FileRow, PullRule};
use crate::http::{Manners, Outgoing};
use crate::process::ServerProcess;
use crate::vault::open_stream;
use reqwest::Method;
use std::collections::BTreeMap;

/// Attempts at one download.
const DOWNLOAD_TRIES: usize = 3;

/// The Go client.
pub const COMMAND_LINE: Manners = Manners {
    package: Some("io.ente.photos"),
    version: None,
    user_agent: "ente-cli/0.2.3",
    origin: None,
    json_type: Some("application/json"),
    request_ids: None,
};

/// `account add`: SRP and nothing else.
pub async fn add_account(server: &ServerProcess, email: &str, password: &str) -> Device {
    let mut device = Device::new(&server.base(), COMMAND_LINE);
    device.log_in_with_password(email, password).await;
    device
}

/// `export`: every live file by album name and title. The second number is how many diffs were asked for.
pub async fn export(device: &mut Device) -> (BTreeMap<(String, String), Vec<u8>>, usize) {
    let asked = device.pull(PullRule::Export, None).await;
    let mut exported = BTreeMap::new();
    let albums: Vec<i64> =
        device.mirror.collections.values().filter(|row| !row.deleted).map(|row| row.id).collect();
    for album in albums {
        for row in device.mirror.live(album) {
            let title = device.metadata(row)["title"].as_str().unwrap().to_owned();
            exported.insert((device.collection_name(album), title), download(device, row).await);
        }
    }
    (exported, asked)
}

/// `GET /files/download/:id` with the token and nothing else; the redirect is followed.
pub async fn download(device: &Device, row: &FileRow) -> Vec<u8> {
    for _ in 0..DOWNLOAD_TRIES {
        let token = device.http.token.clone().unwrap();
        let url = format!("{}/files/download/{}", device.http.base, row.id);
        let headers = vec![("x-auth-token", token)];
        let request = Outgoing { method: Method::GET, url, headers: headers.clone(), body: None };
        let answer = device.http.send(request).await.unwrap();
        if answer.status == 429 || answer.status >= 500 {
            continue;
        }
        assert_eq!(answer.status, 307, "{answer:?}");
        // Go's HTTP client sends its headers on to the same host.
        let url = answer.header("location").unwrap().to_owned();
        let answer =
            device.http.send(Outgoing { method: Method::GET, url, headers, body: None }).await.unwrap();
        super::web::check_blob(&answer);
        return open_stream(&device.file_key(row), &row.file_header, &answer.body);
    }
    panic!("file {} could not be downloaded", row.id);
}
