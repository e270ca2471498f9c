//! Fetch: a small document from a server of somebody else's, over TLS where the URL says so. Who
//! the server is, the certificates of this machine vouch for (or those that SSL_CERT_FILE names).

use std::fmt::Display;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, Error as RustlsError, RootCertStore};

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What asks.
pub(super) struct Fetcher {
    tls: TlsConnector,
    /// Whether nothing is asked without TLS.
    only_tls: bool,
}

/// Why TLS cannot be spoken.
#[derive(Debug, Error)]
#[error("admin.ocelot.authority: TLS cannot be spoken: {0}")]
pub struct TlsError(#[from] RustlsError);

impl Fetcher {
    pub(super) fn new(only_tls: bool) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            only_tls,
        })
    }

    /// The document at `url`; or why there is none, in words.
    pub(super) async fn fetch(&self, url: &str) -> Result<Bytes, String> {
        let said = |error: &dyn Display| format!("{url}: {error}");
        let uri: Uri = url.parse().map_err(|error| said(&error))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if !self.only_tls => false,
            _ => return Err(said(&"only https:// may be asked")),
        };
        let host = uri.host().ok_or_else(|| said(&"it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.map_err(|error| said(&error))?;
        if !is_tls {
            return ask(stream, &uri).await.map_err(|error| said(&error));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| said(&error))?;
        let stream = self.tls.connect(name, stream).await;
        let stream = stream.map_err(|error| said(&error))?;
        ask(stream, &uri).await.map_err(|error| said(&error))
    }
}

async fn ask<S>(stream: S, uri: &Uri) -> Result<Bytes, String>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let told = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
    let connection = tokio::task::spawn_local(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::builder()
        .uri(path)
        .header("host", authority)
        .header("accept", "application/json")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(told)?;
    if answer.status() != StatusCode::OK {
        return Err(answer.status().to_string());
    }
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
    let body = body.collect().await.map_err(|error| error.to_string())?;
    connection.abort();
    Ok(body.to_bytes())
}
