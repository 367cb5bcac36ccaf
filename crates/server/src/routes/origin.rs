//! Where a request came from and by which URL it reached us.
//!
//! Forwarding headers are believed only under `trust_proxy`. The server itself writes the peer's address into a header
//! of its own at the door, over whatever a client sent there, so that nothing further in needs the socket.

use crate::Server;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::net::{IpAddr, Ipv4Addr};
use url::Url;

/// Set by [`stamp`] on every request, never by a client.
static PEER: HeaderName = HeaderName::from_static("x-darkslide-peer");

/// Writes the caller's address into the request: the socket's peer, or what a trusted proxy says.
pub(crate) fn stamp(headers: &mut HeaderMap, socket: Option<IpAddr>, trust_proxy: bool) {
    let forwarded = if trust_proxy { forwarded_for(headers) } else { None };
    headers.remove(&PEER);
    if let Some(address) = forwarded.or(socket)
        && let Ok(value) = HeaderValue::from_str(&address.to_canonical().to_string())
    {
        headers.insert(PEER.clone(), value);
    }
}

/// The caller's address; `0.0.0.0` when there was no socket.
pub(crate) fn address_of(headers: &HeaderMap) -> IpAddr {
    text(headers, PEER.as_str())
        .and_then(|value| value.parse().ok())
        .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// The base of URLs that we hand out, ending in `/`: the configured one, or what the request says.
pub fn origin_of(server: &Server, headers: &HeaderMap) -> Url {
    if let Some(url) = &server.config.public_url {
        return url.clone();
    }
    let trust = server.config.trust_proxy;
    let forwarded = |name| if trust { text(headers, name).and_then(last_of) } else { None };
    let own_scheme = if server.config.tls.is_some() { "https" } else { "http" };
    let scheme = match forwarded("x-forwarded-proto") {
        Some("https") => "https",
        Some("http") => "http",
        _ => own_scheme,
    };
    let host = forwarded("x-forwarded-host").or_else(|| text(headers, "host")).unwrap_or("");
    base(scheme, host).unwrap_or_else(|| {
        base(own_scheme, &server.config.listen.to_string()).expect("a socket address is a host and a port")
    })
}

/// A URL of just a scheme and a host.
fn base(scheme: &str, host: &str) -> Option<Url> {
    if host.is_empty() || host.contains(['/', '?', '#', '@', '\\']) {
        return None;
    }
    Url::parse(&format!("{scheme}://{host}/")).ok().filter(Url::has_host)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get_all(name).iter().next_back().and_then(|value| value.to_str().ok())
}

/// The last member of a list: what the nearest proxy added.
fn last_of(list: &str) -> Option<&str> {
    list.rsplit(',').map(str::trim).find(|member| !member.is_empty())
}

/// The address that the nearest proxy saw.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    if let Some(list) = text(headers, "x-forwarded-for") {
        return last_of(list).and_then(parse_address);
    }
    let member = last_of(text(headers, "forwarded")?)?;
    let pair = member
        .split(';')
        .map(str::trim)
        .find(|pair| pair.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("for=")))?;
    parse_address(pair.get(4..)?.trim_matches('"'))
}

/// An address, perhaps in brackets and with a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        return Some(socket.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(pairs: &[(&'static str, &str)], trust: bool) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        stamp(&mut headers, Some("192.0.2.9".parse().unwrap()), trust);
        address_of(&headers).to_string()
    }

    #[test]
    fn forwarding_headers_count_only_behind_a_trusted_proxy() {
        let check = |pairs: &[(&'static str, &str)], trusted: &str| {
            assert_eq!(stamped(pairs, true), trusted, "{pairs:?}");
            assert_eq!(stamped(pairs, false), "192.0.2.9", "{pairs:?}");
        };
        check(&[], "192.0.2.9");
        check(&[("x-forwarded-for", "198.51.100.7")], "198.51.100.7");
        check(&[("x-forwarded-for", "6.6.6.6, 198.51.100.7")], "198.51.100.7");
        check(&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "198.51.100.7")], "198.51.100.7");
        check(&[("x-forwarded-for", "nonsense")], "192.0.2.9");
        check(&[("forwarded", "for=6.6.6.6, For=\"[2001:db8::1]:443\";proto=https")], "2001:db8::1");
        check(&[("forwarded", "for=\"[2001:db8::2]\"")], "2001:db8::2");
        check(&[("x-darkslide-peer", "6.6.6.6")], "192.0.2.9");
    }

    #[test]
    fn hosts_that_are_no_hosts_are_refused() {
        assert_eq!(base("http", "h:1").unwrap().as_str(), "http://h:1/");
        for host in ["", "a/b", "a@b", "a?b", "a#b", "a b", "a\\b"] {
            assert!(base("http", host).is_none(), "{host}");
        }
    }
}
