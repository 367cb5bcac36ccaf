//! Which addresses the server talks to when somebody else chose them: public ones only, unless its operator says otherwise.
//!
//! An endpoint comes from whoever has an account. Names are resolved and judged at the moment of connecting, so that no answer of a
//! name server can differ between the check and the use; an address in the URL itself is judged before.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use url::{Host, Url};

/// A name leads to no address that may be talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it leads to no public address")]
pub struct NotPublic;

/// Resolves names, and leaves out what is not public.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether a URL's host is a name, which is judged when it is resolved, or a public address.
pub(super) fn may_be_public(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(_)) => true,
        Some(Host::Ipv4(address)) => is_public(address.into()),
        Some(Host::Ipv6(address)) => is_public(address.into()),
        None => false,
    }
}

/// Whether an address is one of the Internet's: none of this machine, of a private network, or with a purpose of its own (IANA's
/// registries of special-purpose addresses). One that carries an IPv4 address is judged by that.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match carried(address) {
            Some(address) => is_public_v4(address),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_protocol = (a, b, c) == (192, 0, 0) || (a, b, c) == (192, 88, 99);
    let is_benchmark = a == 198 && (b == 18 || b == 19);
    !(a == 0
        || a >= 224
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || is_shared
        || is_protocol
        || is_benchmark)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // 2000::/3 is all that is given out; in it, 2001::/23 is for protocols, 2001:db8::/32 and 3fff::/20 are for documents.
    a & 0xe000 == 0x2000
        && !(a == 0x2001 && b < 0x0200)
        && !(a == 0x2001 && b == 0x0db8)
        && !(a == 0x3fff && b < 0x1000)
}

/// The IPv4 address in one of IPv6: mapped, compatible, translated (NAT64), or 6to4.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let low = || {
        let [.., a, b, c, d] = address.octets();
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(low()),
        [0x2002, high, low, ..] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internets_addresses_are_public() {
        let check = |address: &str, public| {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        };
        for public in ["1.1.1.1", "9.9.9.9", "100.63.0.1", "172.32.0.1", "198.20.0.1", "223.255.255.254"] {
            check(public, true);
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.19.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            check(private, false);
            check(&format!("::ffff:{private}"), false);
            check(&format!("::{private}"), false);
            check(&format!("64:ff9b::{private}"), false);
        }
        check("::ffff:1.1.1.1", true);
        check("64:ff9b::1.1.1.1", true);
        check("2606:4700::1", true);
        check("2002:0101:0101::1", true);
        for private in [
            "::",
            "::1",
            "2002:7f00:0001::1",
            "2002:c0a8:0101::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "64:ff9b:1::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
        ] {
            check(private, false);
        }
    }

    #[test]
    fn addresses_in_urls_are_judged_however_they_are_written() {
        let check = |url: &str, may| assert_eq!(may_be_public(&Url::parse(url).unwrap()), may, "{url}");
        check("https://push.example.org/x", true);
        check("https://1.1.1.1/", true);
        for private in
            ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::1]", "[::ffff:a00:1]"]
        {
            check(&format!("https://{private}/"), false);
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_not_resolved() {
        let resolved = PublicOnly.resolve("localhost".parse().unwrap()).await;
        assert!(resolved.err().unwrap().is::<NotPublic>());
    }
}
