//! Upstreams: servers that can be reached.

use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::balance;
use super::text::{control_character, is_dns_name};
use crate::model::faults::{Report, at_index, at_key, quoted};
use crate::model::upstream::{Server, Tls, Upstream};

/// The most bytes of a unix socket's path, as the kernel has it (unix(7), without the NUL).
const UNIX_BYTES_MAX: usize = 103;

pub(super) fn check(upstream: &Upstream, place: &str, report: &mut Report) {
    let list = at_key(place, "servers");
    for (index, one) in upstream.servers.iter().enumerate() {
        server(one, &at_index(&list, index), report);
    }
    if let Some(declared) = &upstream.tls {
        tls(declared, upstream, &at_key(place, "tls"), report);
    }
    balance::check(upstream, place, report);
}

fn tls(tls: &Tls, upstream: &Upstream, place: &str, report: &mut Report) {
    match &tls.server_name {
        Some(name) if name.parse::<IpAddr>().is_err() && !is_dns_name(name) => report.fault(
            at_key(place, "server_name"),
            format!("{} is neither an IP address nor a DNS name", quoted(name)),
            "write the name alone, such as app.internal",
        ),
        None if upstream.servers.iter().any(|one| one.unix.is_some()) => report.fault(
            place,
            "a server at a unix socket has no address that its certificate could name",
            "add server_name",
        ),
        _ => {}
    }
    for (key, file, other, others) in [
        ("certificate", &tls.certificate, "key", &tls.key),
        ("key", &tls.key, "certificate", &tls.certificate),
    ] {
        if file.is_some() && others.is_none() {
            report.fault(
                at_key(place, key),
                format!("there is a {key} without a {other}"),
                format!("add {other}, or remove {key}"),
            );
        }
    }
    for (key, file) in [
        ("ca_file", &tls.ca_file),
        ("certificate", &tls.certificate),
        ("key", &tls.key),
    ] {
        let path = file.as_deref().and_then(Path::to_str);
        if let Some(what) = path.and_then(control_character) {
            let what = format!("the path contains {what}");
            report.fault(at_key(place, key), what, "remove it");
        }
    }
    if !tls.verify && tls.ca_file.is_some() {
        report.fault(
            at_key(place, "ca_file"),
            "nobody is asked to vouch for the servers: verify is false",
            "remove ca_file, or write verify: true",
        );
    } else if !tls.verify {
        report.warn(
            at_key(place, "verify"),
            "servers need not prove who they are: anybody between may be one",
            "write verify: true; ca_file names who vouches for servers of your own",
        );
    }
}

fn server(server: &Server, place: &str, report: &mut Report) {
    match (&server.address, &server.unix) {
        (None, None) => report.fault(
            place,
            "the server has neither an address nor a unix socket",
            "add address and port, or unix",
        ),
        (Some(_), Some(_)) => report.fault(
            place,
            "the server has both an address and a unix socket",
            "keep one of address and unix",
        ),
        _ => {}
    }
    if server.port.is_some() && server.address.is_none() {
        report.fault(
            at_key(place, "port"),
            "a port belongs to an address, and there is none",
            if server.unix.is_some() {
                "remove it"
            } else {
                "add address"
            },
        );
    }
    if let Some(text) = &server.address {
        address(text, server.port, place, report);
    }
    if let Some(path) = &server.unix {
        unix(path, &at_key(place, "unix"), report);
    }
}

fn address(text: &str, port: Option<u16>, place: &str, report: &mut Report) {
    let key = at_key(place, "address");
    if let Some(what) = control_character(text) {
        report.fault(key, format!("the address contains {what}"), "remove it");
        return;
    }
    if port.is_none() {
        report.fault(
            place,
            "the server has an address but no port",
            port_instead(text),
        );
    }
    if text.parse::<IpAddr>().is_ok() || is_dns_name(text) {
        return;
    }
    let (what, instead) = if text.contains("://") {
        let host = text.split("://").nth(1).unwrap_or_default();
        let host = host.split(['/', ':']).next().unwrap_or_default();
        (
            "is a URL",
            format!("write the host alone: {}", quoted(host)),
        )
    } else if let Some(bare) = bare_ipv6(text) {
        ("has brackets", format!("write {}", quoted(bare)))
    } else if let Some((host, port)) = host_and_port(text) {
        (
            "has a port in it",
            format!("write address: {host} and port: {port}"),
        )
    } else {
        (
            "is neither an IP address nor a DNS name",
            "write one such as 10.0.0.1, ::1 or app.internal".to_owned(),
        )
    };
    report.fault(key, format!("{} {what}", quoted(text)), instead);
}

fn port_instead(address: &str) -> String {
    match host_and_port(address) {
        Some((_, port)) => format!("add port: {port}"),
        None => "add port: 80, or the port that it listens on".to_owned(),
    }
}

fn bare_ipv6(text: &str) -> Option<&str> {
    let bare = text.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse::<IpAddr>().is_ok().then_some(bare)
}

fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = bare_ipv6(host).unwrap_or(host);
    let is_host = host.parse::<IpAddr>().is_ok() || is_dns_name(host);
    is_host.then_some((host, port.parse().ok()?))
}

fn unix(path: &Path, place: &str, report: &mut Report) {
    let bytes = path.as_os_str().as_bytes();
    if let Some(what) = path.to_str().and_then(control_character) {
        report.fault(place, format!("the path contains {what}"), "remove it");
    } else if !path.is_absolute() {
        report.fault(
            place,
            format!(
                "{} is not an absolute path",
                quoted(&path.to_string_lossy())
            ),
            "begin it with '/'",
        );
    } else if bytes.len() > UNIX_BYTES_MAX {
        report.fault(
            place,
            format!(
                "the path has {} bytes, and the kernel takes {UNIX_BYTES_MAX}",
                bytes.len()
            ),
            "move the socket to a shorter path",
        );
    }
}
