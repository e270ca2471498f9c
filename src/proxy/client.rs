//! Client: who asks, where a trusted proxy stands in between.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::wire::field::{Field, Name};

/// The address of the client: the peer's, or, if that is trusted, the last one in
/// `X-Forwarded-For` that is not. What cannot be read as an address ends the search: the peer that
/// wrote it is the last that is known.
pub(super) fn address(peer: IpAddr, trusted: &[IpNet], fields: &[Field<'_>]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let mut known = peer;
    let lines = fields.iter().rev();
    let lines = lines.filter(|field| Name::of(field.name) == Name::XForwardedFor);
    for line in lines {
        // The last element first.
        for element in line.value.rsplit(|byte| *byte == b',') {
            match parse(element.trim_ascii()) {
                Some(address) if is_trusted(&address) => known = address,
                Some(address) => return address,
                None => return known,
            }
        }
    }
    known
}

fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(lines: &[&str]) -> String {
        let fields: Vec<Field<'_>> = lines
            .iter()
            .map(|value| Field {
                name: "X-Forwarded-For",
                value: value.as_bytes(),
            })
            .collect();
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        address("10.0.0.1".parse().unwrap(), &trusted, &fields).to_string()
    }

    #[test]
    fn the_last_that_is_not_trusted_asks() {
        assert_eq!(client(&[]), "10.0.0.1");
        assert_eq!(client(&["1.1.1.1, 2.2.2.2"]), "2.2.2.2");
        assert_eq!(client(&["1.1.1.1, 10.9.9.9"]), "1.1.1.1");
        assert_eq!(client(&["9.9.9.9", "1.1.1.1, 10.9.9.9"]), "1.1.1.1");
        assert_eq!(client(&["1.1.1.1:80, fd00::1"]), "1.1.1.1");
        assert_eq!(client(&["1.1.1.1, nonsense, 10.2.2.2"]), "10.2.2.2");
        assert_eq!(client(&["::ffff:1.1.1.1"]), "1.1.1.1");
    }

    #[test]
    fn a_peer_that_is_not_trusted_is_the_client() {
        let field = Field {
            name: "X-Forwarded-For",
            value: b"1.1.1.1",
        };
        let peer = "9.9.9.9".parse().unwrap();
        assert_eq!(address(peer, &[], &[field]), peer);
    }
}
