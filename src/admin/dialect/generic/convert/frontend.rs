//! Frontend: the domains of an Otoroshi route as hosts and paths of a native one, and back.
//!
//! `api.example.com/v1/:id` is a host and the start of a path; a segment may be a name (`:id`), a
//! named regular expression (`$id<[0-9]+>`) or have `*` in it. Plain ones become prefixes and
//! exact paths, all others templates or regular expressions.

use crate::model::Route;
use crate::model::route::Also;

/// The group of a regular expression that has what follows the path of a domain.
const REST: &str = "rest_of_path";

/// What happens to the path before it is forwarded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forwarding<'d> {
    /// Whether the path of the domain is taken off.
    pub(super) strip: bool,
    /// What comes in front.
    pub(super) root: &'d str,
    /// Whether that is all.
    pub(super) rewrite: bool,
}

/// What is shown of a host and path.
pub(crate) struct Shown {
    pub(crate) domain: String,
    pub(crate) exact: bool,
    pub(crate) strip: bool,
    pub(crate) root: String,
    pub(crate) rewrite: bool,
}

/// One domain of a route that forwards, read; `forwarding` is strip, root and rewrite.
pub(crate) fn read_domain(
    domain: &str,
    exact: bool,
    (strip, root, rewrite): (bool, &str, bool),
) -> Also {
    let forwarding = Forwarding {
        strip,
        root,
        rewrite,
    };
    read(domain, exact, Some(forwarding))
}

/// The same back.
pub(crate) fn show_domain(one: &Also) -> Shown {
    let (strip, root, rewrite) = show_forwarding(one);
    Shown {
        domain: show(one),
        exact: one.path.is_some() || one.path_template.is_some(),
        strip,
        root,
        rewrite,
    }
}

/// One domain, read.
pub(super) fn read(domain: &str, exact: bool, forwarding: Option<Forwarding<'_>>) -> Also {
    let (host, path) = match domain.find('/') {
        Some(slash) => domain.split_at(slash),
        None => (domain, ""),
    };
    let path = path.trim_end_matches('/');
    let mut one = Also {
        host: (!matches!(host, "" | "*")).then(|| host.to_ascii_lowercase()),
        ..Also::default()
    };
    let is_special = |segment: &str| segment.starts_with([':', '$']) || segment.contains('*');
    let special = path.split('/').any(is_special);
    let only_names = path
        .split('/')
        .all(|segment| !is_special(segment) || name(segment).is_some());
    let path_or_root = if path.is_empty() { "/" } else { path };
    match (special, exact) {
        (false, true) => one.path = Some(path_or_root.to_owned()),
        (false, false) => one.path_prefix = Some(path_or_root.to_owned()),
        (true, true) if only_names => one.path_template = Some(template(path)),
        (true, _) => one.path_regex = Some(expression(path, exact)),
    }
    if let Some(forwarding) = forwarding {
        rewrite(&mut one, forwarding);
    }
    one
}

/// The domain of a host and path; a regular expression has none of its own.
pub(super) fn show(one: &Also) -> String {
    let host = one.host.as_deref().unwrap_or("*");
    let template = one.path_template.as_deref().map(untemplate);
    let path = one
        .path_prefix
        .as_deref()
        .or(one.path.as_deref())
        .or(template.as_deref());
    match path {
        None | Some("/") => host.to_owned(),
        Some(path) => format!("{host}{path}"),
    }
}

/// What of [`Forwarding`] the rewriting of a host and path says: strip, root, rewrite.
pub(super) fn show_forwarding(one: &Also) -> (bool, String, bool) {
    let root = || "/".to_owned();
    let replacement = one.rewrite_replacement.as_str();
    let path = one.path_prefix.as_deref().or(one.path.as_deref());
    match (
        one.rewrite_pattern.as_deref(),
        one.rewrite_template.as_deref(),
    ) {
        (None, None) => (
            matches!(path, None | Some("/")) && one.path_prefix.is_some(),
            root(),
            false,
        ),
        (Some("/"), _) if replacement.ends_with('/') && replacement.len() > 1 => {
            let below = replacement.trim_end_matches('/').to_owned();
            (path == Some("/") && one.path_prefix.is_some(), below, false)
        }
        (Some(pattern), _) if Some(pattern) == one.path_prefix.as_deref() => {
            let root = if replacement.is_empty() {
                root()
            } else {
                replacement.to_owned()
            };
            (true, root, false)
        }
        (None, Some(template)) if one.path.is_some() => (true, template.to_owned(), false),
        (None, Some(template)) => (true, template.to_owned(), true),
        _ => (false, root(), false),
    }
}

/// The host, path and rewriting of a route itself.
pub(super) fn first_of(route: &Route) -> Also {
    Also {
        host: route.host.clone(),
        path_prefix: route.path_prefix.clone(),
        path: route.path.clone(),
        path_template: route.path_template.clone(),
        path_regex: route.path_regex.clone(),
        rewrite_pattern: route.rewrite_pattern.clone(),
        rewrite_replacement: route.rewrite_replacement.clone(),
        rewrite_template: route.rewrite_template.clone(),
    }
}

fn rewrite(one: &mut Also, forwarding: Forwarding<'_>) {
    let Forwarding {
        strip,
        root,
        rewrite,
    } = forwarding;
    let root = root.trim_end_matches('/');
    let root_or_slash = if root.is_empty() { "/" } else { root };
    if rewrite {
        one.rewrite_template = Some(root_or_slash.replace("${req.pathparams.", "{"));
        return;
    }
    let prefix = one.path_prefix.as_deref().filter(|prefix| *prefix != "/");
    match prefix {
        Some(prefix) if strip => {
            one.rewrite_pattern = Some(prefix.to_owned());
            root.clone_into(&mut one.rewrite_replacement);
        }
        None if strip && one.path_prefix.is_none() => {
            let rest = one
                .path_regex
                .as_deref()
                .is_some_and(|regex| regex.contains(REST));
            let template = if rest {
                format!("{root}/{{{REST}}}")
            } else {
                root_or_slash.into()
            };
            one.rewrite_template = Some(template);
        }
        _ if !root.is_empty() => {
            one.rewrite_pattern = Some("/".to_owned());
            one.rewrite_replacement = format!("{root}/");
        }
        _ => {}
    }
}

/// The name of a segment `:name`.
fn name(segment: &str) -> Option<&str> {
    segment.strip_prefix(':').filter(|name| is_name(name))
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `/users/:id` as `/users/{id}`.
fn template(path: &str) -> String {
    let each = path.split('/').map(|segment| match name(segment) {
        Some(name) => format!("{{{name}}}"),
        None => segment.to_owned(),
    });
    each.collect::<Vec<_>>().join("/")
}

/// `/users/{id}` as `/users/:id`; what has the rest of a path in it, without that.
fn untemplate(template: &str) -> String {
    let segments = template
        .split('/')
        .filter(|segment| !segment.ends_with("*}"));
    let each = segments.map(|segment| {
        let name = segment
            .strip_prefix('{')
            .and_then(|segment| segment.strip_suffix('}'));
        name.map_or_else(|| segment.to_owned(), |name| format!(":{name}"))
    });
    each.collect::<Vec<_>>().join("/")
}

fn expression(path: &str, exact: bool) -> String {
    let each = path.split('/').map(|segment| {
        if let Some(name) = name(segment) {
            return format!("(?P<{name}>[^/]+)");
        }
        let named = segment
            .strip_prefix('$')
            .and_then(|rest| rest.strip_suffix('>'));
        if let Some((name, pattern)) = named.and_then(|rest| rest.split_once('<')) {
            return if is_name(name) {
                format!("(?P<{name}>{pattern})")
            } else {
                format!("(?:{pattern})")
            };
        }
        wildcard(segment, "[^/]*")
    });
    let mut expression = each.collect::<Vec<_>>().join("/");
    if !exact {
        expression.push_str(&format!("(?:/(?P<{REST}>.*))?"));
    }
    expression
}

/// A text with `*` in it as a regular expression.
pub(super) fn wildcard(text: &str, any: &str) -> String {
    let plain = text.split('*').map(regex::escape);
    plain.collect::<Vec<_>>().join(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(domain: &str, exact: bool) -> (Option<String>, String) {
        let read = read(domain, exact, None);
        let path = [
            &read.path_prefix,
            &read.path,
            &read.path_template,
            &read.path_regex,
        ];
        let path: Vec<&String> = path.into_iter().flatten().collect();
        assert_eq!(path.len(), 1, "{domain}");
        (read.host.clone(), path[0].clone())
    }

    #[test]
    fn domains_are_hosts_and_paths() {
        for (domain, exact, host, path) in [
            ("api.local", false, Some("api.local"), "/"),
            ("API.local/", false, Some("api.local"), "/"),
            ("api.local/v1", false, Some("api.local"), "/v1"),
            ("api.local/v1/", true, Some("api.local"), "/v1"),
            ("*/v1", false, None, "/v1"),
            ("/v1", false, None, "/v1"),
            ("*.local/v1", false, Some("*.local"), "/v1"),
            ("h/users/:id", true, Some("h"), "/users/{id}"),
            (
                "h/users/:id",
                false,
                Some("h"),
                "/users/(?P<id>[^/]+)(?:/(?P<rest_of_path>.*))?",
            ),
            ("h/u/$n<[0-9]+>", true, Some("h"), "/u/(?P<n>[0-9]+)"),
            ("h/a*c.d", true, Some("h"), r"/a[^/]*c\.d"),
        ] {
            assert_eq!(
                one(domain, exact),
                (host.map(str::to_owned), path.to_owned()),
                "{domain}"
            );
        }
    }

    #[test]
    fn what_is_forwarded_follows_strip_root_and_rewrite() {
        for (domain, exact, strip, root, rewrite, expected) in [
            ("h/v1", false, true, "/", false, (Some("/v1"), "", None)),
            ("h/v1", false, true, "/x/", false, (Some("/v1"), "/x", None)),
            ("h/v1", false, false, "/", false, (None, "", None)),
            ("h/v1", false, false, "/x", false, (Some("/"), "/x/", None)),
            ("h", false, true, "/", false, (None, "", None)),
            ("h", false, true, "/x", false, (Some("/"), "/x/", None)),
            ("h/v1", true, true, "/x", false, (None, "", Some("/x"))),
            (
                "h/:id",
                true,
                true,
                "/u/${req.pathparams.id}",
                true,
                (None, "", Some("/u/{id}")),
            ),
        ] {
            let forwarding = Forwarding {
                strip,
                root,
                rewrite,
            };
            let one = read(domain, exact, Some(forwarding));
            let got = (
                one.rewrite_pattern.as_deref(),
                one.rewrite_replacement.as_str(),
                one.rewrite_template.as_deref(),
            );
            assert_eq!(got, expected, "{domain} {root}");
            if !rewrite {
                let (shown_strip, shown_root, _) = show_forwarding(&one);
                assert_eq!(
                    (shown_strip, shown_root.as_str()),
                    (
                        strip,
                        root.trim_end_matches('/')
                            .get(..)
                            .filter(|root| !root.is_empty())
                            .unwrap_or("/")
                    ),
                    "{domain} {root}"
                );
            }
            assert_eq!(show(&one).trim_end_matches('/'), domain, "{domain}");
        }
    }
}
