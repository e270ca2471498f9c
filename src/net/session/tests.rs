//! What goes in comes out, in whatever pieces; and nothing that comes makes it panic.

use std::io::{Read as _, Write as _};

use proptest::prelude::*;
use rcgen::generate_simple_self_signed;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::ServerConfig;
use rustls::{RootCertStore, ServerConnection};

use super::*;

/// A client and a server that trust each other, with nothing between them.
struct Pair {
    client: Session,
    server: ServerConnection,
    /// What has reached the server.
    got: Vec<u8>,
}

fn pair(versions: &[&'static rustls::SupportedProtocolVersion]) -> Pair {
    let own = generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    Pair {
        client: Session::new(Arc::new(client), name, &Records::new()).unwrap(),
        server: ServerConnection::new(Arc::new(server)).unwrap(),
        got: Vec::new(),
    }
}

impl Pair {
    /// What the server has to send, in pieces of these sizes.
    fn deliver(&mut self, sizes: &mut impl Iterator<Item = usize>) -> io::Result<()> {
        let mut sealed = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut sealed)?;
        }
        let mut rest = sealed.as_slice();
        while !rest.is_empty() {
            let mut room = self.client.room()?;
            let count = sizes
                .next()
                .unwrap_or(1)
                .clamp(1, room.room().min(rest.len()));
            let (piece, later) = rest.split_at(count);
            assert!(room.append(piece));
            self.client.arrived(room)?;
            self.client.run()?;
            rest = later;
        }
        Ok(())
    }

    fn hand_over(&mut self, sealed: &Lease) {
        let mut rest = sealed.filled();
        while !rest.is_empty() {
            self.server.read_tls(&mut rest).unwrap();
            self.server.process_new_packets().unwrap();
            // The error says that there is no more for now.
            let _ = self.server.reader().read_to_end(&mut self.got);
        }
    }

    fn shake(&mut self, sizes: &mut impl Iterator<Item = usize>) {
        loop {
            let done = self.client.shake().unwrap();
            if let Some(control) = self.client.take_control() {
                self.hand_over(&control);
            }
            self.deliver(sizes).unwrap();
            if done {
                break;
            }
        }
    }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_goes_in_comes_out(
        old in any::<bool>(),
        sizes in prop::collection::vec(1..5_000usize, 1..20),
        up in prop::collection::vec(0..90_000usize, 0..5),
        down in prop::collection::vec(0..40_000usize, 0..5),
        room in 1..20_000usize,
        refreshes in any::<bool>(),
    ) {
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let mut pair = pair(&versions[usize::from(old)..=usize::from(old)]);
        let mut sizes = sizes.into_iter().cycle();
        pair.shake(&mut sizes);
        for count in up {
            let plain = bytes(count);
            let mut rest = plain.as_slice();
            pair.got.clear();
            while !rest.is_empty() {
                let (sealed, taken) = pair.client.seal(rest).unwrap();
                pair.hand_over(&sealed);
                rest = &rest[taken..];
            }
            prop_assert!(pair.got == plain);
        }
        for count in down {
            if refreshes && !old {
                pair.server.refresh_traffic_keys().unwrap();
            }
            let plain = bytes(count);
            pair.server.writer().write_all(&plain).unwrap();
            pair.deliver(&mut sizes).unwrap();
            let mut into = Buffer::with_capacity(room);
            let mut got = Vec::new();
            while pair.client.open(&mut into).unwrap() > 0 {
                got.extend_from_slice(into.filled());
                into.reset(0);
            }
            prop_assert!(got == plain);
            prop_assert!(pair.client.is_quiet() && pair.client.incoming.is_none());
        }
        pair.server.send_close_notify();
        pair.deliver(&mut sizes).unwrap();
        prop_assert!(pair.client.has_ended() && !pair.client.is_quiet());
        pair.client.end().unwrap();
        let control = pair.client.take_control().unwrap();
        pair.hand_over(&control);
        prop_assert!(pair.server.reader().read(&mut [0]).is_ok_and(|count| count == 0));
    }

    #[test]
    fn nothing_that_comes_makes_it_panic(
        at_once in any::<bool>(),
        flip in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 1..6_000),
        sizes in prop::collection::vec(1..5_000usize, 1..20),
    ) {
        let mut pair = pair(&[&rustls::version::TLS13]);
        let mut sizes = sizes.into_iter().cycle();
        if at_once {
            let _ = pair.client.shake();
        } else {
            pair.shake(&mut sizes);
        }
        let mut sealed = noise;
        if !at_once {
            pair.server.writer().write_all(&sealed).unwrap();
            sealed.clear();
            pair.server.write_tls(&mut sealed).unwrap();
            let at = flip.index(sealed.len());
            sealed[at] ^= 1;
        }
        let mut into = Buffer::with_capacity(1_000);
        for piece in sealed.chunks(sizes.next().unwrap()) {
            let Ok(mut room) = pair.client.room() else { break };
            let _ = room.append(piece);
            let _ = pair.client.arrived(room);
            let _ = pair.client.shake();
            let _ = pair.client.open(&mut into);
            let _ = pair.client.seal(b"x");
            into.reset(0);
        }
        let _ = pair.client.end();
        prop_assert!(!pair.client.is_quiet() || pair.client.fault().is_none());
    }
}

#[test]
fn a_server_without_proof_is_told_so() {
    let mut right = pair(&[&rustls::version::TLS13]);
    // This server has a certificate that the client knows nothing of.
    right.server = pair(&[&rustls::version::TLS13]).server;
    let mut sizes = std::iter::repeat(usize::MAX);
    assert!(!right.client.shake().unwrap());
    let hello = right.client.take_control().unwrap();
    right.hand_over(&hello);
    assert!(right.deliver(&mut sizes).is_err());
    assert_eq!(right.client.fault(), Some(TlsFault::Certificate));
    let alert = right.client.take_control().unwrap();
    let mut rest = alert.filled();
    right.server.read_tls(&mut rest).unwrap();
    let told = right.server.process_new_packets();
    assert!(matches!(told, Err(Error::AlertReceived(_))), "{told:?}");
}
