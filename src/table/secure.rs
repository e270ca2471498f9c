//! How the servers of an upstream are spoken to over TLS: what rustls needs of it, made once.
//!
//! It is made on the admin side, when an upstream is put in a table; what is alike in its files and
//! options is made once for all upstreams and epochs, so that what was agreed with a server in an
//! earlier handshake is known as long as any upstream has it. The cores share it: a handshake takes
//! a lock of rustls' for the moment in which it looks for such an agreement, a request takes none.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use sha2::{Digest as _, Sha256};

use super::error::CompileError;
use crate::model;
use crate::model::upstream::Tls;

/// How the servers of an upstream are spoken to over TLS.
#[derive(Debug)]
pub struct Secure {
    /// What a handshake goes by.
    pub config: Arc<ClientConfig>,
    /// Who each server must prove to be, in the order of the servers.
    names: Box<[ServerName<'static>]>,
    /// What was declared.
    declared: Tls,
}

/// How one server is spoken to over TLS.
#[derive(Clone)]
pub struct Peer {
    /// What a handshake goes by.
    pub config: Arc<ClientConfig>,
    /// Who it must prove to be.
    pub name: ServerName<'static>,
}

/// The most bytes of a file of certificates or with a key.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What is spoken over TLS (RFC 7301 §6).
const ALPN: &[u8] = b"http/1.1";
/// The versions that are spoken, the newer first.
const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

impl PartialEq for Secure {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.names == other.names
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.name == other.name
    }
}

impl Secure {
    /// What `declared` says; none where servers are spoken to in the clear. Its files are read.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn of(declared: &model::Upstream) -> Result<Option<Arc<Self>>, CompileError> {
        let Some(tls) = &declared.tls else {
            return Ok(None);
        };
        let fault = |what| CompileError::Tls {
            upstream: declared.name.clone(),
            what,
        };
        let name = |server: &model::upstream::Server| {
            let address = server.address.as_deref().unwrap_or_default();
            let name = tls.server_name.as_deref().unwrap_or(address);
            let named = ServerName::try_from(name.to_owned());
            named.map_err(|_| fault(format!("{name:?} is no name that a certificate can have")))
        };
        let names = declared.servers.iter().map(name);
        Ok(Some(Arc::new(Self {
            names: names.collect::<Result<_, _>>()?,
            config: Files::read(tls, &mut FileReader::default())
                .and_then(|files| files.config())
                .map_err(fault)?,
            declared: tls.clone(),
        })))
    }

    /// Whether it depends on what files hold.
    pub fn names_files(&self) -> bool {
        self.declared.ca_file.is_some() || self.declared.certificate.is_some()
    }

    /// The same by what the files hold; none if that is what they held.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn again(&self, reader: &mut FileReader) -> Result<Option<Self>, String> {
        let config = Files::read(&self.declared, reader)?.config()?;
        Ok((!Arc::ptr_eq(&config, &self.config)).then(|| Self {
            config,
            names: self.names.clone(),
            declared: self.declared.clone(),
        }))
    }

    /// Whether both were declared alike, whatever the files held.
    pub(super) fn says_as(&self, other: &Self) -> bool {
        self.declared == other.declared && self.names == other.names
    }

    /// How the server at `index` is spoken to. Where that is as it was, a connection to it is as
    /// good as a new one.
    pub fn peer(&self, index: usize) -> Option<Peer> {
        Some(Peer {
            config: self.config.clone(),
            name: self.names.get(index)?.clone(),
        })
    }

    /// In words, for `explain`.
    pub fn describe(&self) -> &'static str {
        match self.declared.verify {
            true => "over TLS",
            false => "over TLS to whoever answers",
        }
    }
}

/// Reads each file once, however many name it.
#[derive(Default)]
pub struct FileReader(HashMap<PathBuf, Result<Rc<Content>, String>>);

/// What a file holds.
struct Content {
    path: PathBuf,
    bytes: Vec<u8>,
    /// What stands for the bytes.
    digest: Digest,
}

type Digest = [u8; 32];

impl FileReader {
    fn read(&mut self, path: &Path) -> Result<Rc<Content>, String> {
        if let Some(known) = self.0.get(path) {
            return known.clone();
        }
        let read = read(path).map(|bytes| {
            Rc::new(Content {
                path: path.to_owned(),
                digest: Sha256::digest(&bytes).into(),
                bytes,
            })
        });
        self.0.insert(path.to_owned(), read.clone());
        read
    }
}

/// What the files of a declaration hold.
struct Files {
    verify: bool,
    ca: Option<Rc<Content>>,
    /// The certificate and its key.
    own: Option<[Rc<Content>; 2]>,
}

/// What stands for all of them.
type Fingerprint = (bool, Option<Digest>, Option<[Digest; 2]>);

impl Files {
    fn read(tls: &Tls, reader: &mut FileReader) -> Result<Self, String> {
        Ok(Self {
            verify: tls.verify,
            ca: match &tls.ca_file {
                Some(path) => Some(reader.read(path)?),
                None => None,
            },
            own: match (&tls.certificate, &tls.key) {
                (Some(certificate), Some(key)) => {
                    Some([reader.read(certificate)?, reader.read(key)?])
                }
                _ => None,
            },
        })
    }

    fn fingerprint(&self) -> Fingerprint {
        let own = self.own.as_ref();
        (
            self.verify,
            self.ca.as_ref().map(|ca| ca.digest),
            own.map(|own| own.each_ref().map(|file| file.digest)),
        )
    }

    /// What a handshake goes by: the one that is there already, if there is one.
    fn config(&self) -> Result<Arc<ClientConfig>, String> {
        static MADE: Mutex<Option<HashMap<Fingerprint, Weak<ClientConfig>>>> = Mutex::new(None);
        let fingerprint = self.fingerprint();
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        let made = made.get_or_insert_with(HashMap::new);
        if let Some(known) = made.get(&fingerprint).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let config = Arc::new(self.make()?);
        made.retain(|_, one| one.strong_count() > 0);
        made.insert(fingerprint, Arc::downgrade(&config));
        Ok(config)
    }

    fn make(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&VERSIONS)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(&provider)?);
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some([certificate, key]) => {
                let (path, key_path) = (certificate.path.display(), key.path.display());
                let key = PrivateKeyDer::from_pem_slice(&key.bytes)
                    .map_err(|_| format!("{key_path}: there is no private key in it"))?;
                let config = builder.with_client_auth_cert(certificates(certificate)?, key);
                config.map_err(|error| format!("{key_path} cannot be used with {path}: {error}"))?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }

    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, String> {
        if !self.verify {
            let schemes = provider.signature_verification_algorithms;
            return Ok(Arc::new(Anybody(schemes.supported_schemes())));
        }
        let (roots, from) = match &self.ca {
            None => (
                roots_of_machine(),
                "the certificates of this machine".to_owned(),
            ),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                let path = ca.path.display();
                for certificate in certificates(ca)? {
                    let added = roots.add(certificate);
                    added.map_err(|error| format!("{path}: {error}"))?;
                }
                (Arc::new(roots), path.to_string())
            }
        };
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
        let verifier = verifier.map_err(|error| format!("{from}: {error}; name a ca_file"))?;
        Ok(verifier)
    }
}

/// The certificates of this machine. Read once: they are some hundred files.
pub fn roots_of_machine() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    roots.clone()
}

fn certificates(file: &Content) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_slice_iter(&file.bytes).collect::<Result<Vec<_>, _>>();
    let path = file.path.display();
    match read {
        Ok(some) if !some.is_empty() => Ok(some),
        Ok(_) => Err(format!("{path}: there is no certificate (PEM) in it")),
        Err(_) => Err(format!("{path}: it is not PEM")),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let said = |error| format!("{shown} cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(said)?;
    let most = FILE_BYTES_MAX + 1;
    file.take(most).read_to_end(&mut bytes).map_err(said)?;
    if bytes.len() as u64 == most {
        return Err(format!("{shown} has more than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
}

/// Lets anybody be the server. A signature would prove nothing: whoever answers has a key of his
/// own.
#[derive(Debug)]
struct Anybody(Vec<SignatureScheme>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
