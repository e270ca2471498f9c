//! Certificates, and a server that has one.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::new_directory;

/// A certificate and its key, as PKCS#12 and as PEM.
pub fn certificate(directory: &Path, password: &str) -> (String, String) {
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (key, cert, pem, pfx) = (
        path("k.pem"),
        path("c.pem"),
        path("both.pem"),
        path("c.pfx"),
    );
    let run = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(arguments)
            .output()
            .expect("openssl");
        assert!(output.status.success(), "{output:?}");
    };
    run(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        &key,
        "-out",
        &cert,
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    let pass = format!("pass:{password}");
    run(&[
        "pkcs12", "-export", "-inkey", &key, "-in", &cert, "-out", &pfx, "-passout", &pass,
    ]);
    let both = [&cert, &key].map(|file| std::fs::read_to_string(file).unwrap());
    std::fs::write(&pem, both.concat()).unwrap();
    (pfx, pem)
}

/// OpenSSL's own server on localhost, which gives out documents; it ends when dropped.
pub struct TlsServer {
    process: Child,
    port: u16,
    content: PathBuf,
}

impl TlsServer {
    /// With the certificate that [`certificate`] has put in `directory`.
    pub fn start(directory: &Path) -> Self {
        let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        let content = new_directory();
        let mut process = Command::new("openssl")
            .args(["s_server", "-HTTP", "-accept", "0"])
            .args(["-cert", &path("c.pem"), "-key", &path("k.pem")])
            .current_dir(&content)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let accepts =
            lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned));
        let address = accepts.expect("where it listens");
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            port,
            content,
        }
    }

    /// The URL of a document.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/{path}", self.port)
    }

    /// Gives out a document at a path.
    pub fn put(&self, path: &str, document: &Value) {
        let file = self.content.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        // What this server sends is the file with its head.
        let head = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n";
        std::fs::write(file, format!("{head}{document}")).unwrap();
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.content);
    }
}
