//! Media: in which form a body comes, and in which form an answer goes.

/// The form of a request body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BodyType {
    /// `application/x-www-form-urlencoded`
    Form,
    /// `application/json`
    Json,
    /// `application/json-patch+json`
    JsonPatch,
    /// `application/merge-patch+json`
    MergePatch,
    /// `application/x-ndjson`
    Ndjson,
    /// `application/json+oto-patch`
    OtoPatch,
    /// `application/yaml`
    Yaml,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AnswerType {
    /// `application/json`
    Json,
    /// `application/x-ndjson`, of a list.
    Ndjson,
    /// `application/yaml`
    Yaml,
    /// `application/yaml+k8s`: each entity in Kubernetes armour.
    YamlArmoured,
}

impl BodyType {
    /// Reads a `Content-Type`; its parameters say nothing that matters here.
    pub(crate) fn read(field: &str) -> Option<Self> {
        Some(match essence(field).as_str() {
            "application/x-www-form-urlencoded" => Self::Form,
            "application/json" => Self::Json,
            "application/json-patch+json" => Self::JsonPatch,
            "application/merge-patch+json" => Self::MergePatch,
            "application/x-ndjson" => Self::Ndjson,
            "application/json+oto-patch" => Self::OtoPatch,
            "application/yaml" | "application/yml" => Self::Yaml,
            _ => return None,
        })
    }
}

impl AnswerType {
    /// Chooses from an `Accept` field: the highest weight, then the first; JSON where it says
    /// nothing that is known. NDJSON is for lists.
    pub(crate) fn choose(accept: Option<&str>, list: bool) -> Self {
        let mut chosen = Self::Json;
        let mut best = 0;
        for range in accept.unwrap_or_default().split(',') {
            let Some(kind) = Self::of_range(&essence(range)) else {
                continue;
            };
            let weight = weight(range);
            if weight > best && (list || kind != Self::Ndjson) {
                (chosen, best) = (kind, weight);
            }
        }
        chosen
    }

    fn of_range(range: &str) -> Option<Self> {
        Some(match range {
            "application/json" | "application/*" | "*/*" => Self::Json,
            "application/x-ndjson" => Self::Ndjson,
            "application/yaml" | "application/yml" => Self::Yaml,
            "application/yaml+k8s" | "application/yml+k8s" => Self::YamlArmoured,
            _ => return None,
        })
    }

    /// The `Content-Type` of it.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Yaml | Self::YamlArmoured => "application/yaml",
        }
    }
}

/// Whether a field such as `Accept-Encoding` allows `coding`.
pub(crate) fn allows(field: &str, coding: &str) -> bool {
    let mut wildcard = false;
    for range in field.split(',') {
        match essence(range).as_str() {
            name if name == coding => return weight(range) > 0,
            "*" => wildcard = weight(range) > 0,
            _ => {}
        }
    }
    wildcard
}

/// A media type or range without its parameters.
fn essence(field: &str) -> String {
    let name = field.split(';').next().unwrap_or_default();
    name.trim().to_ascii_lowercase()
}

/// The weight of a range in thousandths (RFC 9110 §12.4.2); all of it where it makes no sense.
fn weight(range: &str) -> u32 {
    let parameters = range.split(';').skip(1);
    let weight = parameters
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .and_then(|(_, value)| value.trim().parse::<f32>().ok());
    weight.map_or(1_000, |weight| (weight.clamp(0.0, 1.0) * 1_000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_types_are_read_without_their_parameters() {
        for (field, expected) in [
            ("application/json", Some(BodyType::Json)),
            ("Application/JSON; charset=utf-8", Some(BodyType::Json)),
            ("application/json+oto-patch", Some(BodyType::OtoPatch)),
            ("application/x-www-form-urlencoded", Some(BodyType::Form)),
            ("application/yml", Some(BodyType::Yaml)),
            ("application/x-ndjson;charset=utf-8", Some(BodyType::Ndjson)),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(BodyType::read(field), expected, "{field}");
        }
    }

    #[test]
    fn the_first_acceptable_answer_type_wins() {
        for (accept, list, expected) in [
            (None, true, AnswerType::Json),
            (Some("*/*"), true, AnswerType::Json),
            (Some("text/html"), true, AnswerType::Json),
            (
                Some("application/yaml, application/json"),
                true,
                AnswerType::Yaml,
            ),
            (
                Some("application/json, application/yaml"),
                true,
                AnswerType::Json,
            ),
            (
                Some("application/json;q=0.5, application/yaml"),
                true,
                AnswerType::Yaml,
            ),
            (Some("application/yml+k8s"), false, AnswerType::YamlArmoured),
            (Some("application/x-ndjson"), true, AnswerType::Ndjson),
            (Some("application/x-ndjson"), false, AnswerType::Json),
            (Some("application/yaml;q=0"), false, AnswerType::Json),
        ] {
            assert_eq!(AnswerType::choose(accept, list), expected, "{accept:?}");
        }
    }

    #[test]
    fn codings_are_allowed_by_name_or_by_star() {
        for (field, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=1.0", true),
            ("gzip;q=0", false),
            ("*", true),
            ("*, gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(allows(field, "gzip"), expected, "{field}");
        }
    }
}
