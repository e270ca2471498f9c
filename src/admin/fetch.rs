//! Fetch: a small document from a server of somebody else's, over TLS where the URL says so. Who
//! the server is, the certificates of this machine vouch for (or those that SSL_CERT_FILE names).

use std::cell::OnceCell;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, Error as RustlsError};

use super::deny;
use crate::table::roots_of_machine;
use crate::wire::cache_control::Directives;

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What asks.
#[derive(Default)]
pub(super) struct Fetcher {
    /// Made when it is first needed: the certificates of the machine have to be read for it.
    tls: OnceCell<TlsConnector>,
    /// Whether nothing is asked without TLS.
    only_tls: bool,
}

/// A document.
pub(super) struct Fetched {
    pub(super) body: Bytes,
    /// How long it may be kept, if the server says so (RFC 9111 §5.2.2.1).
    pub(super) max_age: Option<Duration>,
}

impl Fetcher {
    /// One that asks `https://` only.
    pub(super) fn over_tls() -> Self {
        Self {
            only_tls: true,
            ..Self::default()
        }
    }

    /// The document at `url`; or why there is none, in words.
    pub(super) async fn fetch(&self, url: &str) -> Result<Fetched, String> {
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
        let peer = stream.peer_addr().map_err(|error| said(&error))?;
        if deny::is_link_local(peer.ip()) {
            let what = "this is a link-local address, by which clouds hand out credentials";
            return Err(said(&what));
        }
        if !is_tls {
            return ask(stream, &uri).await.map_err(|error| said(&error));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| said(&error))?;
        let tls = self.connector().map_err(|error| said(&error))?;
        let stream = tls.connect(name, stream).await;
        let stream = stream.map_err(|error| said(&error))?;
        ask(stream, &uri).await.map_err(|error| said(&error))
    }

    fn connector(&self) -> Result<&TlsConnector, RustlsError> {
        if let Some(made) = self.tls.get() {
            return Ok(made);
        }
        let made = connector()?;
        Ok(self.tls.get_or_init(|| made))
    }
}

fn connector() -> Result<TlsConnector, RustlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots_of_machine())
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn ask<S>(stream: S, uri: &Uri) -> Result<Fetched, String>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let told = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::builder()
        .uri(path)
        .header("host", authority)
        .header("accept", "application/jwk-set+json, application/json")
        .header("user-agent", "ringway")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let asking = async {
        let answer = sender.send_request(request).await.map_err(told)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("the answer is {}", answer.status()));
        }
        let mut control = Directives::default();
        for line in answer.headers().get_all("cache-control") {
            control.add(line.as_bytes());
        }
        let max_age = control
            .max_age
            .map(|seconds| Duration::from_secs(seconds.into()));
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await.map_err(|error| error.to_string())?;
        let body = body.to_bytes();
        Ok(Fetched { body, max_age })
    };
    tokio::select! {
        biased;
        answer = asking => answer,
        // The connection only moves while it is asked to; its end alone is no answer.
        Err(error) = connection => Err(told(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_can_be_spoken() {
        assert!(connector().is_ok());
    }
}
