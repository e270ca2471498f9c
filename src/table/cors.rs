//! The CORS protocol (Fetch standard §3.3), as a core speaks it.

use crate::model;

/// Cross-origin requests to a route.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Box<[Origin]>,
    methods: Box<str>,
    headers: Box<str>,
    exposed: Box<str>,
    credentials: bool,
    max_age_s: u32,
}

#[derive(Clone, Debug)]
enum Origin {
    Any,
    Exact(Box<str>),
    /// Scheme with `://`, and what a host ends with, the dot included.
    Below(Box<str>, Box<str>),
}

impl Cors {
    pub(super) fn of(declared: &model::policy::Cors) -> Self {
        Self {
            origins: declared
                .allow_origins
                .iter()
                .map(|o| Origin::of(o))
                .collect(),
            methods: declared.allow_methods.join(", ").into(),
            headers: declared.allow_headers.join(", ").into(),
            exposed: declared.expose_headers.join(", ").into(),
            credentials: declared.allow_credentials,
            max_age_s: declared.max_age_s,
        }
    }

    /// Whether an origin may ask.
    pub fn admits(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|known| known.fits(origin))
    }

    /// Writes the lines that answer a preflight of an origin that may ask; `asked` are the fields
    /// that it wants to send.
    pub fn put_preflight(&self, origin: &[u8], asked: Option<&[u8]>, out: &mut Vec<u8>) {
        self.put_origin(origin, out);
        line(out, "Access-Control-Allow-Methods", self.methods.as_bytes());
        let headers = match (&*self.headers, asked) {
            ("", Some(asked)) => asked,
            (known, _) => known.as_bytes(),
        };
        if !headers.is_empty() {
            line(out, "Access-Control-Allow-Headers", headers);
        }
        let max_age = self.max_age_s.to_string();
        line(out, "Access-Control-Max-Age", max_age.as_bytes());
    }

    /// Writes the lines that let an origin that may ask read a response.
    pub fn put_response(&self, origin: &[u8], out: &mut Vec<u8>) {
        self.put_origin(origin, out);
        if !self.exposed.is_empty() {
            line(
                out,
                "Access-Control-Expose-Headers",
                self.exposed.as_bytes(),
            );
        }
    }

    /// Says that the response depends on who asks.
    pub fn put_vary(&self, out: &mut Vec<u8>) {
        if !self.is_for_all() {
            line(out, "Vary", b"Origin");
        }
    }

    fn put_origin(&self, origin: &[u8], out: &mut Vec<u8>) {
        let allowed = if self.is_for_all() { b"*" } else { origin };
        line(out, "Access-Control-Allow-Origin", allowed);
        if self.credentials {
            line(out, "Access-Control-Allow-Credentials", b"true");
        }
        self.put_vary(out);
    }

    /// Whether all origins get the same answer.
    fn is_for_all(&self) -> bool {
        matches!(&*self.origins, [Origin::Any])
    }
}

/// Whether only a CORS policy may write a response field of this name.
pub fn is_of_cors(name: &str) -> bool {
    const START: &str = "access-control-";
    name.get(..START.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(START))
}

impl Origin {
    fn of(text: &str) -> Self {
        match text.split_once("://*.") {
            _ if text == "*" => Self::Any,
            Some((scheme, domain)) => {
                Self::Below(format!("{scheme}://").into(), format!(".{domain}").into())
            }
            None => Self::Exact(text.into()),
        }
    }

    fn fits(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(known) => known.as_bytes() == origin,
            Self::Below(scheme, domain) => origin
                .strip_prefix(scheme.as_bytes())
                .and_then(|host| host.strip_suffix(domain.as_bytes()))
                .is_some_and(|name| {
                    !name.is_empty()
                        && name.iter().all(|byte| {
                            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
                        })
                }),
        }
    }
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    crate::wire::compose::put_field(out, name.as_bytes(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_exact_or_below_a_domain() {
        let below = Origin::of("https://*.example.com");
        for (origin, fits) in [
            ("https://a.example.com", true),
            ("https://a.b.example.com", true),
            ("https://example.com", false),
            ("http://a.example.com", false),
            ("https://a.example.com:8443", false),
            ("https://evil.net/.example.com", false),
            ("https://evil.net#.example.com", false),
            ("null", false),
        ] {
            assert_eq!(below.fits(origin.as_bytes()), fits, "{origin}");
        }
        assert!(Origin::of("https://a").fits(b"https://a"));
        assert!(!Origin::of("https://a").fits(b"https://ab"));
        assert!(Origin::of("*").fits(b"null"));
    }
}
