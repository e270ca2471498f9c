//! A value that must not be shown: given in place, by an environment variable, or by a file.
//!
//! It is read when it is needed (`reveal`), and no message, log or serialised form has it.

use std::fmt;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

/// A secret, or where it stands.
#[derive(Clone, Deserialize, JsonSchema, PartialEq)]
#[serde(untagged)]
#[schemars(extend(
    "writeOnly" = true,
    "x-expect" = "a text, {env: NAME} or {file: PATH}"
))]
pub enum Secret {
    /// Written in place.
    Plain(#[schemars(length(min = 1))] String),
    /// In an environment variable.
    Env(FromEnv),
    /// The content of a file, without the line ending.
    File(FromFile),
}

/// The name of an environment variable.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FromEnv {
    /// The environment variable that holds the secret.
    #[schemars(length(min = 1))]
    pub env: String,
}

/// The path of a file.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FromFile {
    /// The path of the file that holds the secret.
    #[schemars(length(min = 1))]
    pub file: PathBuf,
}

/// Why a secret cannot be had; says where it was looked for, never what was found.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The variable is not set, or not UTF-8.
    #[error("the environment variable {0} is not set; set it, or name another one")]
    Env(String),
    /// There is nothing in it.
    #[error("{0} is empty; put the secret there")]
    Empty(String),
    /// The file cannot be read.
    #[error("the file {0} cannot be read ({1}); create it, or name another one")]
    File(PathBuf, #[source] io::Error),
    /// The file is too large for a secret.
    #[error("the file {0} is larger than {SECRET_BYTES_MAX} bytes; name a file with one secret")]
    Long(PathBuf),
}

/// The most bytes of a secret.
pub const SECRET_BYTES_MAX: u64 = 4096;

/// What stands for a secret wherever one would be shown.
pub(crate) const HIDDEN: &str = "(secret)";

impl Secret {
    /// Reads the secret itself. It is looked up anew each time, so a changed file is noticed.
    pub fn reveal(&self) -> Result<String, SecretError> {
        match self {
            Self::Plain(text) => Ok(text.clone()),
            Self::Env(FromEnv { env }) => {
                let text = std::env::var(env).map_err(|_| SecretError::Env(env.clone()))?;
                filled(text, || format!("the environment variable {env}"))
            }
            Self::File(FromFile { file }) => {
                let text = read_file(file)?;
                let line = text.strip_suffix('\n').unwrap_or(&text);
                let line = line.strip_suffix('\r').unwrap_or(line).to_owned();
                filled(line, || format!("the file {}", file.display()))
            }
        }
    }
}

fn filled(text: String, place: impl FnOnce() -> String) -> Result<String, SecretError> {
    if text.is_empty() {
        return Err(SecretError::Empty(place()));
    }
    Ok(text)
}

fn read_file(file: &Path) -> Result<String, SecretError> {
    let fault = |error| SecretError::File(file.to_owned(), error);
    let mut text = String::new();
    let handle = File::open(file).map_err(fault)?;
    handle
        .take(SECRET_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(fault)?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(SecretError::Long(file.to_owned()));
    }
    Ok(text)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    /// A secret in place is never shown; a reference to one is.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(_) => serializer.serialize_str(HIDDEN),
            Self::Env(from) => from.serialize(serializer),
            Self::File(from) => from.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> Secret {
        let file = std::env::temp_dir().join(format!("ringway-{}-{name}", std::process::id()));
        std::fs::write(&file, content).unwrap();
        Secret::File(FromFile { file })
    }

    fn remove(secret: &Secret) {
        if let Secret::File(FromFile { file }) = secret {
            std::fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn a_secret_file_is_read_without_its_line_ending() {
        for content in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            let secret = file("line", content.as_bytes());
            assert_eq!(secret.reveal().unwrap(), "s3cret");
            remove(&secret);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_without_its_content() {
        let long = file("long", &[b'x'; 5000]);
        let empty = file("empty", b"\n");
        let missing = Secret::File(FromFile {
            file: "/nonexistent/key".into(),
        });
        let unset = Secret::Env(FromEnv {
            env: "RINGWAY_TEST_VARIABLE_THAT_IS_NOT_SET".into(),
        });
        for (secret, says) in [
            (&long, "larger than 4096 bytes"),
            (&empty, "is empty"),
            (&missing, "/nonexistent/key cannot be read"),
            (&unset, "RINGWAY_TEST_VARIABLE_THAT_IS_NOT_SET is not set"),
        ] {
            let message = secret.reveal().unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
            assert!(!message.contains("xxx"), "{message}");
        }
        remove(&long);
        remove(&empty);
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::Plain("hunter2".into());
        assert_eq!(secret.reveal().unwrap(), "hunter2");
        assert_eq!(format!("{secret:?}"), HIDDEN);
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"(secret)\"");
    }
}
