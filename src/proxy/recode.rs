//! Recode: what the head of a response says of its compression. `coder` does it to the body.

use crate::model::compress::Coding;
use crate::table::policy::Compress;
use crate::wire::head::Response;

/// What becomes of a response that may be compressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recoded<'r> {
    /// The coding; none if it stays as it is for this client.
    pub(super) coding: Option<Coding>,
    /// The strong entity tag of the response.
    tag: Option<&'r [u8]>,
    /// Whether that becomes a weak one: compressed or not, it is not the same bytes.
    weakens: bool,
    /// Whether it only says that what the client has is still so.
    is_not_modified: bool,
}

impl<'r> Recoded<'r> {
    /// What `rules` say of a response for a client that takes `coding`; none if it is nothing that
    /// would be compressed for anybody.
    pub(super) fn of(
        rules: &Compress,
        coding: Option<Coding>,
        response: &Response<'r, '_>,
    ) -> Option<Self> {
        let fields = response.fields;
        let is_not_modified = response.status == 304;
        if !is_not_modified && !rules.suits(response.status, response.content_length, fields) {
            return None;
        }
        let tag = fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case("etag"));
        Some(Self {
            coding,
            tag: tag
                .map(|field| field.value)
                .filter(|value| !value.starts_with(b"W/")),
            weakens: coding.is_some(),
            is_not_modified,
        })
    }

    /// The same with this coding.
    pub(super) fn with(self, coding: Option<Coding>) -> Self {
        Self {
            coding,
            weakens: coding.is_some() || self.is_not_modified && self.weakens,
            ..self
        }
    }

    /// Whether the field `name` of the response goes.
    pub(super) fn drops(&self, name: &str) -> bool {
        // What is said of the bytes is not true of the compressed ones.
        const OF_BYTES: [&str; 4] = ["accept-ranges", "content-digest", "content-md5", "digest"];
        let gone = OF_BYTES.iter().any(|one| one.eq_ignore_ascii_case(name));
        let tag_goes = self.weakens && self.tag.is_some();
        self.coding.is_some() && gone || tag_goes && name.eq_ignore_ascii_case("etag")
    }

    /// Writes the field lines that the response gets.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
        if let Some(coding) = self.coding {
            for text in ["Content-Encoding: ", coding.name(), "\r\n"] {
                out.extend_from_slice(text.as_bytes());
            }
        }
        if let Some(tag) = self.tag.filter(|_| self.weakens) {
            out.extend_from_slice(b"ETag: W/");
            out.extend_from_slice(tag);
            out.extend_from_slice(b"\r\n");
        }
    }
}
