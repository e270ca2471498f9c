//! Compression, compiled: which coding a client gets, and which responses are worth it.

use super::condition::Fields;
use crate::model::compress::{Coding, Compress as Declared};
use crate::wire::field::Field;

/// Which responses are compressed, and how.
#[derive(Clone, Debug)]
pub struct Compress {
    codings: Box<[Coding]>,
    min_bytes: u64,
    types: Box<[Box<str>]>,
}

impl Compress {
    pub(super) fn of(declared: &Declared) -> Self {
        Self {
            codings: declared.codings.clone().into(),
            min_bytes: declared.min_bytes,
            types: declared
                .types
                .iter()
                .map(|one| one.to_ascii_lowercase().into())
                .collect(),
        }
    }

    /// The coding that a client gets: of those that it takes the one that it likes best, by our
    /// order where it likes several as much.
    pub fn choose<F: Fields>(&self, fields: &F) -> Option<Coding> {
        // In thousandths; 0 is "not at all".
        let mut likes = [None; 3];
        let mut others = None;
        fields.any(b"accept-encoding", &mut |value| {
            for element in value.split(|byte| *byte == b',') {
                let mut parts = element.split(|byte| *byte == b';');
                let name = parts.next().unwrap_or_default().trim_ascii();
                let quality = parts.find_map(quality).unwrap_or(1_000);
                let index = self.codings.iter().position(|coding| {
                    let alias = *coding == Coding::Gzip && name.eq_ignore_ascii_case(b"x-gzip");
                    alias || name.eq_ignore_ascii_case(coding.name().as_bytes())
                });
                match index.and_then(|index| likes.get_mut(index)) {
                    Some(like) => *like = Some(quality),
                    None if name == b"*" => others = Some(quality),
                    None => {}
                }
            }
            false
        });
        let mut best = None;
        for (coding, like) in self.codings.iter().zip(likes) {
            let quality = like.or(others).unwrap_or(0);
            if quality > best.map_or(0, |(most, _)| most) {
                best = Some((quality, *coding));
            }
        }
        best.map(|(_, coding)| coding)
    }

    /// Whether a response of these fields may be compressed at all, for a client that takes it.
    pub fn suits(&self, status: u16, length: Option<u64>, fields: &[Field<'_>]) -> bool {
        let is_whole = (200..300).contains(&status) && !matches!(status, 204..=206);
        if !is_whole || length.is_some_and(|length| length < self.min_bytes) {
            return false;
        }
        let mut suits = false;
        for field in fields {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("content-encoding") || is("content-range") {
                return false;
            }
            if is("cache-control") && has_no_transform(field.value) {
                return false;
            }
            if is("content-type") {
                suits = self.is_of_type(field.value);
            }
        }
        suits
    }

    /// In words, for `explain`.
    pub fn describe(&self) -> String {
        let names: Vec<&str> = self.codings.iter().map(|coding| coding.name()).collect();
        format!("{}, from {} bytes", names.join(", "), self.min_bytes)
    }

    fn is_of_type(&self, value: &[u8]) -> bool {
        let given = value.split(|byte| *byte == b';').next().unwrap_or_default();
        let given = given.trim_ascii();
        self.types
            .iter()
            .any(|known| match known.strip_suffix('*') {
                Some(start) => given
                    .get(..start.len())
                    .is_some_and(|given| given.eq_ignore_ascii_case(start.as_bytes())),
                None => given.eq_ignore_ascii_case(known.as_bytes()),
            })
    }
}

/// The quality in a parameter, in thousandths (RFC 9110 §12.4.2); one that cannot be read is none.
fn quality(parameter: &[u8]) -> Option<u32> {
    let value = parameter.trim_ascii();
    let value = value
        .strip_prefix(b"q=")
        .or_else(|| value.strip_prefix(b"Q="))?;
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || fraction.len() > 3 {
        return Some(0);
    }
    let whole: u32 = whole.parse().ok()?;
    let thousandths: u32 = format!("{fraction:0<3}").parse().ok()?;
    Some((whole * 1_000 + thousandths).min(1_000))
}

fn has_no_transform(value: &[u8]) -> bool {
    let mut directives = value.split(|byte| *byte == b',');
    directives.any(|one| one.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Line<'a>(&'a [u8]);

    impl Fields for Line<'_> {
        fn any(&self, name: &[u8], accept: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            name == b"accept-encoding" && accept(self.0)
        }
    }

    fn choice(accepted: &str) -> Option<&'static str> {
        let compress = Compress::of(&Declared::default());
        compress
            .choose(&Line(accepted.as_bytes()))
            .map(Coding::name)
    }

    #[test]
    fn the_client_and_then_our_order_decide() {
        for (accepted, coding) in [
            ("", None),
            ("identity", None),
            ("gzip", Some("gzip")),
            ("gzip, deflate, br", Some("br")),
            ("gzip, br, zstd", Some("zstd")),
            ("gzip;q=1.0, br;q=0.5, zstd;q=0.9", Some("gzip")),
            ("zstd;q=0, *", Some("br")),
            ("*;q=0", None),
            ("*;q=0, gzip;q=0.001", Some("gzip")),
            ("GZIP;Q=0.2", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("br;q=nonsense", None),
        ] {
            assert_eq!(choice(accepted), coding, "{accepted}");
        }
    }

    #[test]
    fn what_is_worth_it() {
        let compress = Compress::of(&Declared::default());
        let suits = |status, length, lines: &[(&'static str, &'static str)]| {
            let fields: Vec<Field<'_>> = lines
                .iter()
                .map(|(name, value)| Field {
                    name,
                    value: value.as_bytes(),
                })
                .collect();
            compress.suits(status, length, &fields)
        };
        let html = ("Content-Type", "Text/HTML; charset=utf-8");
        assert!(suits(200, None, &[html]));
        assert!(suits(
            200,
            Some(5_000),
            &[("Content-Type", "application/json")]
        ));
        assert!(!suits(200, Some(10), &[html]));
        assert!(!suits(206, None, &[html]));
        assert!(!suits(404, None, &[html]));
        assert!(!suits(200, None, &[]));
        assert!(!suits(200, None, &[("Content-Type", "image/png")]));
        assert!(!suits(200, None, &[html, ("Content-Encoding", "br")]));
        assert!(!suits(
            200,
            None,
            &[html, ("Cache-Control", "public, No-Transform")]
        ));
    }

    proptest! {
        #[test]
        fn no_field_makes_it_panic(accepted in any::<Vec<u8>>()) {
            let compress = Compress::of(&Declared::default());
            let _ = compress.choose(&Line(&accepted));
        }
    }
}
