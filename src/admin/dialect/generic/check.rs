//! Check: what a form cannot say about an entity.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::catalogue::{GLOBAL_ID, Resource};

/// Certificates of one chain.
const CHAIN_MAX: usize = 16;

/// Checks an entity that its form allows.
///
/// # Errors
/// What is wrong, with its place.
pub(crate) fn entity(resource: &Resource, entity: &Value) -> Result<(), String> {
    let text = |pointer: &str| {
        entity
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    match resource.kind {
        "Certificate" => certificate(text("/chain"), text("/privateKey")),
        "GlobalConfig" if text("/id") != GLOBAL_ID => {
            Err(format!("/id: there is one GlobalConfig, {GLOBAL_ID}"))
        }
        "JwtVerifier" => {
            let needs_secret = text("/algoSettings/type") == "HSAlgoSettings";
            if needs_secret && text("/algoSettings/secret").is_empty() {
                return Err("/algoSettings/secret: an HMAC needs a secret".to_owned());
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The chain is a list of PEM certificates, the key one PEM key; both may be to come.
fn certificate(chain: &str, key: &str) -> Result<(), String> {
    let certificates = blocks(chain).map_err(|error| format!("/chain: {error}"))?;
    if certificates.len() > CHAIN_MAX {
        return Err(format!("/chain: more than {CHAIN_MAX} certificates"));
    }
    if let Some((label, _)) = certificates
        .iter()
        .find(|(label, _)| label != "CERTIFICATE")
    {
        return Err(format!("/chain: a {label} is not a certificate"));
    }
    let keys = blocks(key).map_err(|error| format!("/privateKey: {error}"))?;
    match keys.as_slice() {
        [] => Ok(()),
        [(label, _)] if label.ends_with("PRIVATE KEY") => Ok(()),
        _ => Err("/privateKey: this is not one private key".to_owned()),
    }
}

/// The PEM blocks of a text (RFC 7468): label and content.
fn blocks(text: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    while let Some(line) = lines.next() {
        let label = line
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"));
        let Some(label) = label else {
            return Err("this is not PEM: a block begins with -----BEGIN".to_owned());
        };
        let end = format!("-----END {label}-----");
        let content: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
        let content = STANDARD
            .decode(content.concat())
            .map_err(|_| format!("the {label} is not base64, or has no end"))?;
        // DER begins with a sequence.
        if content.first() != Some(&0x30) {
            return Err(format!("the {label} is not DER"));
        }
        blocks.push((label.to_owned(), content));
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_pem_certificates() {
        let block = |label: &str, content: &str| {
            format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n")
        };
        let right = block("CERTIFICATE", "MAA=");
        for (chain, key, says) in [
            (right.clone(), String::new(), None),
            (
                format!("{right}{right}"),
                block("EC PRIVATE KEY", "MAA="),
                None,
            ),
            (
                "nonsense".to_owned(),
                String::new(),
                Some("/chain: this is not PEM"),
            ),
            (
                block("CERTIFICATE", "%%%"),
                String::new(),
                Some("not base64"),
            ),
            (block("CERTIFICATE", "AAAA"), String::new(), Some("not DER")),
            (
                block("PUBLIC KEY", "MAA="),
                String::new(),
                Some("not a certificate"),
            ),
            (right.clone(), right, Some("/privateKey")),
        ] {
            let checked = certificate(&chain, &key);
            match says {
                None => assert_eq!(checked, Ok(())),
                Some(says) => assert!(checked.clone().unwrap_err().contains(says), "{checked:?}"),
            }
        }
    }
}
