//! Traps of downloads and of answers across origins.

use crate::scene::{album, another, new_web, on_each_engine, on_sqlite, small_picture};
use darkslide_e2e::http::Outgoing;
use darkslide_e2e::process::ServerProcess;
use darkslide_e2e::stock::mobile::{self, ANDROID, IOS};
use darkslide_e2e::stock::web::{self, DESKTOP};
use reqwest::Method;

/// Traps 2 and 3: always a redirect, always absolute, whatever the size.
#[tokio::test]
async fn trap_02_downloads_redirect() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = album(&mut device, "Redirects").await;
        let (_, row) = small_picture(&mut device, album, "small.jpg").await;
        let phone = another(server, &device, IOS).await;
        for route in ["download", "preview"] {
            let answer = phone.http.call(Method::GET, &format!("/files/{route}/{}", row.id), None).await;
            assert_eq!(answer.status, 307, "{answer:?}");
            let url = mobile::redirect_of(&phone, route, row.id).await;
            assert!(url.starts_with(&server.base()), "{url}");
            let missing = phone.http.call(Method::GET, &format!("/files/{route}/999999"), None).await;
            missing.refused(404);
        }
    })
    .await;
}

/// Traps 8 and 9: any path, no token, 200, and whatever a browser asks for.
#[tokio::test]
async fn trap_09_preflights_are_answered_before_everything() {
    let server = on_sqlite().await;
    let device = darkslide_e2e::stock::Device::new(&server.base(), DESKTOP);
    let asked = [
        "content-md5",
        "content-type",
        "range",
        "x-auth-token",
        "x-client-package",
        "x-client-version",
        "x-auth-access-token",
        "x-auth-access-token-jwt",
        "x-cast-access-token",
        "upload-url",
        "x-requested-with",
        "cache-control",
        "x-auth-link-device-token",
    ];
    for path in ["/ping", "/users/ott", "/collections/v2", "/no/such/route", "/blob/nothing", "/"] {
        for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
            let headers = asked.iter().map(|name| (*name, "x".to_owned())).collect();
            let request = Outgoing { method, url: format!("{}{path}", server.base()), headers, body: None };
            device.http.preflight(&request).await.unwrap();
        }
    }
}

/// Ranges as phones and players ask for them, and those that cannot be met.
#[tokio::test]
async fn trap_39_blobs_are_plain_and_served_in_ranges() {
    on_each_engine(async |server: &mut ServerProcess| {
        let mut device = new_web(server).await;
        let album = album(&mut device, "Ranges").await;
        let (_, row) = small_picture(&mut device, album, "ranges.jpg").await;
        let phone = another(server, &device, ANDROID).await;
        let url = mobile::redirect_of(&phone, "download", row.id).await;
        let get = async |method, headers| {
            let request = Outgoing { method, url: url.clone(), headers, body: None };
            phone.http.send(request).await.unwrap()
        };
        let whole = get(Method::GET, vec![("accept-encoding", "gzip, br".to_owned())]).await;
        web::check_blob(&whole);
        let size = whole.body.len();
        for (asked, first, last) in [
            ("bytes=0-0".to_owned(), 0, 0),
            ("bytes=100-199".to_owned(), 100, 199),
            (format!("bytes={}-", size - 5), size - 5, size - 1),
            ("bytes=-7".to_owned(), size - 7, size - 1),
            (format!("bytes=10-{}", size + 1000), 10, size - 1),
        ] {
            let part = get(Method::GET, vec![("range", asked.clone())]).await;
            assert_eq!(part.status, 206, "{asked}: {part:?}");
            assert_eq!(part.body, whole.body[first..=last], "{asked}");
            let range = format!("bytes {first}-{last}/{size}");
            assert_eq!(part.header("content-range"), Some(range.as_str()));
        }
        let beyond = get(Method::GET, vec![("range", format!("bytes={size}-"))]).await;
        assert_eq!(beyond.status, 416, "{beyond:?}");
        let range = format!("bytes */{size}");
        assert_eq!(beyond.header("content-range"), Some(range.as_str()));
        let head = get(Method::HEAD, Vec::new()).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), Some(size.to_string().as_str()));
    })
    .await;
}

/// A browser that was redirected across origins says `null`.
#[tokio::test]
async fn trap_43_the_origin_null_may_read_blobs() {
    let server = on_sqlite().await;
    let mut device = new_web(&server).await;
    let album = album(&mut device, "Null").await;
    let (_, row) = small_picture(&mut device, album, "null.jpg").await;
    let phone = another(&server, &device, ANDROID).await;
    let url = mobile::redirect_of(&phone, "download", row.id).await;
    let headers = vec![("origin", "null".to_owned())];
    let answer = phone.http.send(Outgoing { method: Method::GET, url, headers, body: None }).await.unwrap();
    web::check_blob(&answer);
    assert_eq!(answer.header("access-control-allow-origin"), Some("null"));
    for name in ["etag", "content-length", "content-range", "accept-ranges", "x-request-id"] {
        assert!(answer.exposes(name), "{name}: {answer:?}");
    }
}

/// Tokens hold `=`, `-` and `_`; in a query they may be escaped or not. And they stay out of the log.
#[tokio::test]
async fn trap_44_tokens_in_queries_are_decoded_and_not_logged() {
    let flags = ["--log-level=trace"];
    let server = ServerProcess::start_with(&darkslide_e2e::engine::Engine::Sqlite, &flags).await;
    let mut device = new_web(&server).await;
    let album = album(&mut device, "Tokens").await;
    let (_, row) = small_picture(&mut device, album, "token.jpg").await;
    let token = device.http.token.take().unwrap();
    for written in [token.clone(), token.replace('=', "%3D").replace('-', "%2D").replace('_', "%5F")] {
        let answer =
            device.http.call(Method::GET, &format!("/files/preview/{}?token={written}", row.id), None).await;
        assert_eq!(answer.status, 307, "{answer:?}");
        assert!(!server.log().contains(&written) && !server.terminal().contains(&written));
    }
    assert!(server.log().contains("/files/preview/"), "the log was on: {}", server.log());
}

#[tokio::test]
async fn trap_48_a_slash_at_the_end_of_a_fetch() {
    let server = on_sqlite().await;
    let mut device = new_web(&server).await;
    let album = album(&mut device, "Slash").await;
    let (_, row) = small_picture(&mut device, album, "slash.jpg").await;
    let phone = another(&server, &device, ANDROID).await;
    for slash in ["/", ""] {
        let path = format!("/files/data/fetch{slash}?fileID={}&type=vid_preview", row.id);
        phone.http.call(Method::GET, &path, None).await.refused(404);
        let answer = phone.http.call(Method::GET, &format!("{path}&preferNoContent=true"), None).await;
        assert!([204, 404].contains(&answer.status), "{answer:?}");
    }
}
