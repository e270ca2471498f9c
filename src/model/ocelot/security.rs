//! SecurityOptions: addresses, networks and ranges as lists of networks.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Subnets};

use super::file::SecurityOptions;
use crate::model::faults::{Report, at_index, at_key, quoted};
use crate::model::policy::IpRules;

/// The rules of a route; none if all may come in.
pub(super) fn rules(
    options: &SecurityOptions,
    place: &str,
    report: &mut Report,
) -> Option<IpRules> {
    let allow = list(&options.allowed, &at_key(place, "IPAllowedList"), report);
    let mut deny = list(&options.blocked, &at_key(place, "IPBlockedList"), report);
    if options.exclude_allowed_from_blocked {
        for allowed in &allow {
            deny = deny
                .into_iter()
                .flat_map(|net| without(net, *allowed))
                .collect();
        }
    }
    let rules = IpRules { allow, deny };
    (rules != IpRules::default()).then_some(rules)
}

fn list(texts: &[String], place: &str, report: &mut Report) -> Vec<IpNet> {
    let mut nets = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match networks(text.trim()) {
            Some(more) => nets.extend(more),
            None => report.fault(
                at_index(place, index),
                format!("{} is neither an address nor a range of them", quoted(text)),
                "write one such as 10.0.0.1, 10.0.0.0/24 or 10.0.0.1-10.0.0.9",
            ),
        }
    }
    nets
}

/// The networks that make up what is written.
fn networks(text: &str) -> Option<Vec<IpNet>> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(vec![address.into()]);
    }
    if let Ok(net) = text.parse::<IpNet>() {
        return Some(vec![net.trunc()]);
    }
    if let Some((address, mask)) = text.split_once('/') {
        let (address, mask) = (address.parse().ok()?, mask.parse().ok()?);
        let net = Ipv4Net::with_netmask(address, mask).ok()?;
        return Some(vec![IpNet::V4(net.trunc())]);
    }
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim());
    let last = match (first, last.parse::<u8>()) {
        // `10.0.0.1-9`
        (IpAddr::V4(first), Ok(last)) => {
            let [a, b, c, _] = first.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, last))
        }
        _ => last.parse().ok()?,
    };
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            Some(Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect())
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            Some(Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect())
        }
        _ => None,
    }
}

/// What is left of a network without another.
fn without(net: IpNet, other: IpNet) -> Vec<IpNet> {
    if other.contains(&net) {
        return Vec::new();
    }
    if !net.contains(&other) {
        return vec![net];
    }
    let Ok(halves) = net.subnets(net.prefix_len() + 1) else {
        return Vec::new();
    };
    halves.flat_map(|half| without(half, other)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(nets: &[IpNet]) -> String {
        let nets: Vec<String> = nets.iter().map(ToString::to_string).collect();
        nets.join(" ")
    }

    #[test]
    fn every_way_of_writing_addresses_is_read() {
        for (text, expected) in [
            ("10.0.0.1", "10.0.0.1/32"),
            ("10.0.0.7/24", "10.0.0.0/24"),
            ("10.0.0.0/255.255.0.0", "10.0.0.0/16"),
            ("10.0.0.1-10.0.0.4", "10.0.0.1/32 10.0.0.2/31 10.0.0.4/32"),
            ("10.0.0.4-5", "10.0.0.4/31"),
            ("fe80::/10", "fe80::/10"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(shown(&networks(text).unwrap()), expected, "{text}");
        }
        for text in ["", "10.0.0", "10.0.0.9-10.0.0.1", "10.0.0.0/33", "a-b"] {
            assert_eq!(networks(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_allowed_can_be_taken_out_of_what_is_blocked() {
        let options = SecurityOptions {
            allowed: vec!["10.0.0.1".to_owned()],
            blocked: vec!["10.0.0.0/30".to_owned()],
            exclude_allowed_from_blocked: true,
        };
        let rules = rules(&options, "$", &mut Report::default()).unwrap();
        assert_eq!(shown(&rules.deny), "10.0.0.0/32 10.0.0.2/31");
    }
}
