//! Where a member's gateway listens: `host:port`, in one spelling.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

/// Longest endpoint in bytes: a DNS name of 253, a colon, a port of 5.
pub const MAX_ENDPOINT_LEN: usize = 259;

/// Longest DNS name in bytes.
const MAX_HOST_LEN: usize = 253;

/// The address of a gateway: a lower-case DNS name, an IPv4 address or a bracketed IPv6 address, and a port.
///
/// There is one spelling for each address, so that two charters that say the same have the same bytes. Of an IPv6 address
/// it is that of RFC 5952, the last 32 bits in decimal in `::ffff:0:0/96` and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    text: String,
    colon: usize,
    port: u16,
}

/// A text that is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint {problem}: write it as host:port, such as gateway.gp.example:7443")]
pub struct EndpointError {
    problem: &'static str,
}

impl Endpoint {
    /// Parses `host:port`.
    ///
    /// # Errors
    /// Fails on another spelling than the canonical one: upper case, a port with leading zeros or 0, an unbracketed or
    /// uncompressed IPv6 address, a trailing dot.
    pub fn new(text: &str) -> Result<Self, EndpointError> {
        let wrong = |problem| EndpointError { problem };
        if text.len() > MAX_ENDPOINT_LEN {
            return Err(wrong("is longer than 259 bytes"));
        }
        let (host, port) = text.rsplit_once(':').ok_or(wrong("has no port"))?;
        check_host(host).map_err(wrong)?;
        let number: u16 = port.parse().map_err(|_| wrong("has a port that is not a number"))?;
        if number == 0 || number.to_string() != port {
            return Err(wrong("has a port that is 0 or not in its shortest spelling"));
        }
        Ok(Self { text: text.to_owned(), colon: host.len(), port: number })
    }

    /// `host:port`, an IPv6 host in brackets.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host without brackets: what a certificate must name.
    pub fn host(&self) -> &str {
        let host = &self.text[..self.colon];
        host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host)
    }

    /// The port, from 1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        let canonical = address.is_some_and(|address| format!("[{address}]") == host);
        return if canonical {
            Ok(())
        } else {
            Err("has a host that is not a canonical IPv6 address")
        };
    }
    if host.parse::<Ipv4Addr>().is_ok() {
        return Ok(());
    }
    if host.is_empty() || host.len() > MAX_HOST_LEN {
        return Err("has a host that is empty or longer than 253 bytes");
    }
    let label_fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !host.split('.').all(label_fits) {
        return Err("has a host that is not a lower-case DNS name");
    }
    // `1.2.3` would be read as an address by some resolvers and as a name by others.
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err("has a host that ends in a number but is no IPv4 address");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_addresses_in_their_one_spelling() {
        for (text, host, port) in [
            ("gateway.gp.example:7443", "gateway.gp.example", 7443),
            ("localhost:1", "localhost", 1),
            ("127.0.0.1:65535", "127.0.0.1", 65535),
            ("[::1]:7443", "::1", 7443),
        ] {
            let endpoint = Endpoint::new(text).expect(text);
            assert_eq!((endpoint.host(), endpoint.port(), endpoint.as_str()), (host, port, text));
        }
    }

    // Whether a charter is valid hangs on what the standard library writes, which has changed before: an address that
    // Rust spells in another way tomorrow must fail here, not split a federation.
    #[test]
    fn an_ipv6_address_has_the_spelling_of_rfc_5952() {
        for (one, others) in [
            ("::ffff:1.2.3.4", &["::ffff:102:304", "0:0:0:0:0:ffff:1.2.3.4", "::FFFF:1.2.3.4"][..]),
            ("::102:304", &["::1.2.3.4"]),
            ("64:ff9b::102:304", &["64:ff9b::1.2.3.4"]),
            ("::ffff:0:102:304", &["::ffff:0:1.2.3.4"]),
            ("::", &["0::0", "::0", "::0.0.0.0"]),
            ("2001:db8::1", &["2001:0db8::1", "2001:DB8::1", "2001:db8:0:0:0:0:0:1"]),
            ("2001:db8::1:0:0:1", &["2001:db8:0:0:1::1"]),
            ("2001:0:0:1::1", &["2001::1:0:0:0:1"]),
            ("2001:db8:0:1:1:1:1:1", &["2001:db8::1:1:1:1:1"]),
            ("fe80::1", &["fe80::1%eth0", "fe80::1%1"]),
        ] {
            assert!(Endpoint::new(&format!("[{one}]:7443")).is_ok(), "{one}");
            for other in others {
                assert!(Endpoint::new(&format!("[{other}]:7443")).is_err(), "{other}");
            }
        }
    }

    #[test]
    fn refuses_every_other_spelling() {
        let long = format!("{}.example:1", "a.".repeat(130));
        for text in [
            "",
            "gp.example",
            ":7443",
            "gp.example:",
            "gp.example:0",
            "gp.example:07443",
            "gp.example:+1",
            "gp.example:65536",
            "GP.example:1",
            "gp.example.:1",
            "-gp.example:1",
            "gp..example:1",
            "gp_1.example:1",
            "1.2.3:1",
            "1.2.3.4.5:1",
            "::1:7443",
            "[::1:7443",
            "[0:0:0:0:0:0:0:1]:7443",
            "[127.0.0.1]:7443",
            "gp.example:1:1",
            "gp.example\n:1",
            &long,
        ] {
            assert!(Endpoint::new(text).is_err(), "{text:?}");
        }
    }
}
