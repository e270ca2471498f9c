//! Certificates made for a test, a server that speaks TLS in front of another one, and a proxy that
//! is told of it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, RootCertStore, ServerConnection, StreamOwned};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Driver, Ringway, ScriptedOrigin, new_directory};

/// What TLS can be spoken in.
pub const BOTH: [&rustls::SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// Who vouches for certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

/// A certificate and its key.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
    certificate_pem: String,
    key_pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for these names and addresses.
    pub fn vouch(&self, names: &[&str]) -> Identity {
        self.vouch_with(names, |_| ())
    }

    /// One that expired long ago.
    pub fn vouch_expired(&self, names: &[&str]) -> Identity {
        self.vouch_with(names, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 2, 1);
        })
    }

    fn vouch_with(&self, names: &[&str], change: impl Fn(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    /// Writes its certificate to a file of this name.
    pub fn write(&self, directory: &Path, name: &str) -> PathBuf {
        let path = directory.join(name);
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        Arc::new(roots)
    }
}

impl Identity {
    /// Writes certificate and key to files that begin with this name.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let certificate = directory.join(format!("{name}.pem"));
        let key = directory.join(format!("{name}.key"));
        std::fs::write(&certificate, &self.certificate_pem).unwrap();
        std::fs::write(&key, &self.key_pem).unwrap();
        (certificate, key)
    }

    /// What a server with it goes by, in these versions; it asks for certificates of `clients`.
    pub fn server(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        clients: Option<&Authority>,
    ) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(versions).unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(authority.roots(), provider)
                    .build()
                    .unwrap(),
            ),
        };
        let chain = vec![self.certificate.clone()];
        builder
            .with_single_cert(chain, self.key.clone_key())
            .unwrap()
    }
}

/// Speaks TLS with whoever connects, and passes what comes on to another server, in the clear.
pub struct TlsFront {
    address: SocketAddr,
    counts: Arc<Counts>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

/// What a front has seen.
#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    handshakes: AtomicUsize,
    resumed: AtomicUsize,
    /// Connections that the client ended as TLS wants it.
    clean: AtomicUsize,
    /// Connections that ended otherwise.
    broken: AtomicUsize,
}

impl TlsFront {
    pub fn start(config: ServerConfig, to: SocketAddr) -> Self {
        let counts = Arc::<Counts>::default();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, told) = mpsc::channel();
        let count = counts.clone();
        let serving = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let acceptor = TlsAcceptor::from(Arc::new(config));
                tokio::select! {
                    () = serve(listener, acceptor, to, count) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address: told.recv().unwrap(),
            counts,
            stop: Some(stop),
            serving: Some(serving),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that came.
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Handshakes that were done.
    pub fn handshakes(&self) -> usize {
        self.counts.handshakes.load(Ordering::SeqCst)
    }

    /// Of these, such that resumed a session.
    pub fn resumed(&self) -> usize {
        self.counts.resumed.load(Ordering::SeqCst)
    }

    /// Connections that ended with a close_notify, and such that did not.
    pub fn ends(&self) -> (usize, usize) {
        let Counts { clean, broken, .. } = &*self.counts;
        (clean.load(Ordering::SeqCst), broken.load(Ordering::SeqCst))
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.serving.take().map(JoinHandle::join);
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, to: SocketAddr, counts: Arc<Counts>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        counts.accepted.fetch_add(1, Ordering::SeqCst);
        let (acceptor, counts) = (acceptor.clone(), counts.clone());
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            if stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                counts.resumed.fetch_add(1, Ordering::SeqCst);
            }
            counts.handshakes.fetch_add(1, Ordering::SeqCst);
            let mut plain = TcpStream::connect(to).await.unwrap();
            plain.set_nodelay(true).unwrap();
            let copied = tokio::io::copy_bidirectional(&mut stream, &mut plain).await;
            let end = match copied {
                Ok(_) => &counts.clean,
                Err(_) => &counts.broken,
            };
            end.fetch_add(1, Ordering::SeqCst);
        });
    }
}

/// One connection of a server of the test's own, under TLS.
pub type TlsStream = StreamOwned<ServerConnection, std::net::TcpStream>;

/// Runs `script` for each connection, on a thread of its own that nobody waits for. What the script
/// leaves open is closed without a word.
pub fn tls_server(
    config: ServerConfig,
    script: impl Fn(&mut TlsStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let config = Arc::new(config);
    plain_server(move |stream| {
        let mut stream = under_tls(&config, stream);
        let _ = script(&mut stream);
    })
}

/// As `tls_server`, before a byte has passed.
pub fn plain_server(script: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script = Arc::new(script);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (script, stream) = (script.clone(), stream.unwrap());
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || script(stream));
        }
    });
    address
}

/// The server's side of TLS on a stream.
pub fn under_tls<S: Read + Write>(
    config: &Arc<ServerConfig>,
    stream: S,
) -> StreamOwned<ServerConnection, S> {
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)
}

/// Reads a head; what comes with it is lost. None at the end.
pub fn read_head(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    String::from_utf8(head).ok()
}

/// Ends TLS and the stream as RFC 8446 §6.1 wants it.
pub fn end(stream: &mut TlsStream) -> std::io::Result<()> {
    stream.conn.send_close_notify();
    stream.flush()?;
    stream.sock.shutdown(std::net::Shutdown::Write)
}

/// A server that is spoken to under TLS, and what more is said of its upstream.
pub fn secured(server: SocketAddr, tls: &str, more: &str) -> String {
    format!(
        "upstreams: [{{name: origin, servers: [{{address: {}, port: {}}}], \
         tls: {{{tls}}}{more}}}]\n\
         routes: [{{path_prefix: /, upstream: origin}}]\n",
        server.ip(),
        server.port()
    )
}

/// The option that says whose word counts.
pub fn ca(path: &Path) -> String {
    format!("ca_file: {}", path.display())
}

/// A server behind TLS that shows a certificate for 127.0.0.1, and a proxy that knows who vouches
/// for it.
pub struct Setup {
    pub authority: Authority,
    pub directory: PathBuf,
    pub front: TlsFront,
    pub ca: String,
}

impl Setup {
    pub fn before(origin: &ScriptedOrigin) -> Self {
        Self::speaking(origin, &BOTH)
    }

    pub fn speaking(
        origin: &ScriptedOrigin,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let authority = Authority::new();
        let directory = new_directory();
        let config = authority.vouch(&["127.0.0.1"]).server(versions, None);
        Self {
            ca: ca(&authority.write(&directory, "ca.pem")),
            front: TlsFront::start(config, origin.address()),
            authority,
            directory,
        }
    }

    pub fn run(&self, driver: Driver) -> Ringway {
        self.run_with(&secured(self.front.address(), &self.ca, ""), driver)
    }

    pub fn run_with(&self, configuration: &str, driver: Driver) -> Ringway {
        Ringway::start_in(self.directory.clone(), configuration, driver)
    }
}
