//! Keeps requests away from the operator itself, its node, and servers on the same link. Otherwise the author
//! of an image reference, or a hostile registry, could learn through the operator's pod which ports are open
//! there. Private ranges are allowed, since registries are often there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether the address is loopback, link-local, multicast, broadcast or unspecified, or an IPv6 address that
/// embeds such an IPv4 address.
pub(super) fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4_is_near(v4),
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
                || embedded(v6).is_some_and(v4_is_near)
        }
    }
}

const fn v4_is_near(v4: Ipv4Addr) -> bool {
    v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_broadcast()
        // "This host on this network"; Linux takes 0.0.0.0 for the loopback.
        || v4.octets()[0] == 0
}

/// Returns the IPv4 address that hosts or gateways derive from an IPv6 address.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    // Mapped, compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056).
    let ([0, 0, 0, 0, 0, 0xffff | 0, high, low]
    | [0, 0, 0, 0, 0xffff, 0, high, low]
    | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
    | [0x64, 0xff9b, 1, _, _, _, high, low]
    | [0x2002, high, low, ..]) = v6.segments()
    else {
        return None;
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

/// Whether the URL's host is such an address itself. The resolver never sees those. The parser has already
/// normalised forms such as `127.1` and `0x7f000001`.
pub(super) fn names_near_address(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.parse().is_ok_and(is_near)
}

/// The error for a name with only near addresses.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to loopback, link-local, multicast or unspecified addresses alone")]
pub(super) struct NearAlone;

impl NearAlone {
    /// Whether this error kept a request from being sent.
    pub(super) fn caused(error: &reqwest::Error) -> bool {
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// The system's resolver, set up as in reqwest. The checked addresses are the ones connected to, so a DNS
/// server cannot answer differently a second time.
#[derive(Clone, Default)]
pub(super) struct Resolver {
    system: Arc<OnceLock<TokioResolver>>,
    /// Whether near addresses are left out.
    guards: bool,
}

impl Resolver {
    /// Returns the same resolver, without near addresses.
    pub(super) fn guarding(&self) -> Self {
        Self { guards: true, ..self.clone() }
    }

    /// Made when it is first needed, since it requires a running tokio.
    fn system(&self) -> Result<&TokioResolver, NetError> {
        if let Some(system) = self.system.get() {
            return Ok(system);
        }
        let mut builder = TokioResolver::builder_tokio()?;
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        let system = builder.build()?;
        Ok(self.system.get_or_init(|| system))
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.system()?.lookup_ip(name.as_str()).await?;
            let addresses: Vec<IpAddr> =
                found.iter().filter(|address| !resolver.guards || !is_near(*address)).collect();
            if addresses.is_empty() {
                return Err(NearAlone.into());
            }
            // The URL has the port.
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_so_in_every_form() {
        for near in [
            "127.0.0.1:8080",
            "127.1:8080",
            "127.1.",
            "0x7f000001:8080",
            "0x7f.1",
            "2130706433",
            "0177.0.0.1",
            "0.0.0.0",
            "0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "[::]",
            "[::1]:8080",
            "[0:0::1]",
            "[fe80::1]",
            "[febf::1]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]:8080",
            "[::ffff:a9fe:a9fe]",
            "[::ffff:0:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::169.254.169.254]",
            "[64:ff9b:1::127.0.0.1]",
            "[2002:7f00:1::1]",
        ] {
            assert!(names_near_address(&Url::parse(&format!("https://{near}/v2/")).unwrap()), "{near}");
        }
        for other in [
            "10.77.0.2:5000",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "203.0.113.1",
            "240.0.0.1",
            "[fd00::1]:5000",
            "[2001:db8::7f00:1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:a00:1::1]",
            // A name, whatever it looks like.
            "127.0.0.1.example.com",
            "localhost",
        ] {
            assert!(!names_near_address(&Url::parse(&format!("https://{other}/v2/")).unwrap()), "{other}");
        }
    }

    #[tokio::test]
    async fn names_of_near_addresses_have_none_left() {
        let resolver = Resolver::default();
        let name = || "localhost".parse::<Name>().unwrap();
        assert!(resolver.resolve(name()).await.unwrap().all(|address| address.ip().is_loopback()));
        let error = resolver.guarding().resolve(name()).await.err().unwrap();
        assert!(error.is::<NearAlone>(), "{error}");
    }
}
