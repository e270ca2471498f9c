//! Form: the fields of a token request, urlencoded or as multipart (RFC 7578).

use crate::admin::request::decode;

/// Fields that one form may have.
const FIELDS_MAX: usize = 64;

/// The fields of a form, by its content type; none if it is no form.
pub(super) fn fields(content_type: &str, body: &[u8]) -> Option<Vec<(String, String)>> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    match kind.trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => urlencoded(std::str::from_utf8(body).ok()?),
        "multipart/form-data" => multipart(&parameter(parameters, "boundary")?, body),
        _ => None,
    }
}

fn urlencoded(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.trim_end().split('&').filter(|pair| !pair.is_empty());
    pairs
        .take(FIELDS_MAX)
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((plain(name)?, plain(value)?))
        })
        .collect()
}

/// A name or value without its encoding.
pub(super) fn plain(text: &str) -> Option<String> {
    decode(&text.replace('+', " "))
}

fn multipart(boundary: &str, body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok()?;
    let delimiter = format!("--{boundary}");
    let mut parts = text.split(delimiter.as_str());
    parts.next()?;
    let mut fields = Vec::new();
    for part in parts.take(FIELDS_MAX) {
        let Some(part) = part.strip_prefix("\r\n") else {
            // What follows the last delimiter is no part.
            return part.starts_with("--").then_some(fields);
        };
        let (head, value) = part.split_once("\r\n\r\n")?;
        let name = head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            let is_it = field.trim().eq_ignore_ascii_case("content-disposition");
            parameter(is_it.then_some(value)?, "name")
        })?;
        fields.push((name, value.strip_suffix("\r\n")?.to_owned()));
    }
    None
}

/// A parameter of a field value, with or without quotes.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut each = parameters.split(';');
    let value = each.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then_some(value)
    })?;
    let value = value.trim();
    let bare = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    let value = bare.unwrap_or(value);
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=----x";

    fn part(name: &str, value: &str) -> String {
        format!("------x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }

    #[test]
    fn both_forms_say_the_same() {
        let expected = vec![
            ("client_id".to_owned(), "admin".to_owned()),
            ("client_secret".to_owned(), "a b&=+".to_owned()),
        ];
        let urlencoded = b"client_id=admin&client_secret=a+b%26%3D%2B";
        let kind = "application/x-www-form-urlencoded; charset=utf-8";
        assert_eq!(fields(kind, urlencoded), Some(expected.clone()));
        let body = part("client_id", "admin") + &part("client_secret", "a b&=+") + "------x--\r\n";
        assert_eq!(fields(TYPE, body.as_bytes()), Some(expected));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let cut = part("client_id", "admin");
        for (kind, body) in [
            ("application/json", "{}"),
            ("", ""),
            ("multipart/form-data", "------x--"),
            (TYPE, ""),
            (TYPE, cut.as_str()),
            (TYPE, "------x\r\nno head\r\n------x--"),
            ("application/x-www-form-urlencoded", "a=%zz"),
        ] {
            assert_eq!(fields(kind, body.as_bytes()), None, "{kind} {body}");
        }
    }

    proptest! {
        /// Whatever comes is read or refused.
        #[test]
        fn nothing_breaks_it(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = fields(TYPE, &body);
            let _ = fields("application/x-www-form-urlencoded", &body);
        }
    }
}
