//! Worth: whether a response is kept, and for how long (RFC 9111 §3, §4.2).

use std::time::SystemTime;

use super::give::seconds;
use crate::table::policy::Cache;
use crate::wire::cache_control::{Directives, age};
use crate::wire::field::elements;
use crate::wire::head::{Body, Response};

/// The most fields that a `Vary` may name.
const VARY_MAX: usize = 8;

/// What is to be done with a response.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Worth {
    /// It is kept.
    Kept(Life),
    /// It is not, and the next one will not be either.
    Never,
    /// It is not.
    NotNow,
}

/// How long a response may be used, in milliseconds from now.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Life {
    pub(super) fresh: u64,
    pub(super) stale: u64,
    /// How old it is.
    pub(super) age: u64,
    /// The fields that its `Vary` names, in lower case and order.
    pub(super) varies: Vec<Box<str>>,
}

/// What its fields say.
#[derive(Default)]
struct Said {
    control: Directives,
    age_s: u32,
    expires: Option<Option<u64>>,
    date: Option<u64>,
    sets_cookie: bool,
    is_part: bool,
    varies: Vec<Box<str>>,
    varies_by_all: bool,
}

impl Worth {
    /// Judges a response to a request that is not HEAD.
    pub(super) fn of(response: &Response<'_, '_>, cache: &Cache) -> Self {
        // Where only the end of the connection ends a body, half of it looks like all of it.
        if !cache.keeps(response.status) || response.body == Body::UntilClose {
            return Self::NotNow;
        }
        let said = Said::of(response);
        if said.is_part {
            return Self::NotNow;
        }
        let control = &said.control;
        let forbidden = control.no_store || control.private || control.no_cache;
        let too_large = match response.body {
            Body::Length(length) => length > cache.max_body_bytes as u64,
            _ => false,
        };
        if forbidden && !cache.ignore_cache_control
            || said.sets_cookie && !cache.keep_set_cookie
            || said.varies_by_all
            || said.varies.len() > VARY_MAX
            || too_large
        {
            return Self::Never;
        }
        let own = match cache.ignore_cache_control {
            true => None,
            false => said.lifetime_ms(),
        };
        let fresh = own.map_or(cache.ttl_ms, |own| own.min(cache.ttl_ms));
        if fresh == 0 {
            return Self::Never;
        }
        let more = match control.must_revalidate && !cache.ignore_cache_control {
            true => 0,
            false => cache.stale_ms,
        };
        Self::Kept(Life {
            fresh,
            stale: fresh + more,
            age: u64::from(said.age_s) * 1_000,
            varies: said.varies,
        })
    }
}

impl Said {
    fn of(response: &Response<'_, '_>) -> Self {
        let mut said = Self::default();
        for field in response.fields {
            let is = |known: &str| field.name.eq_ignore_ascii_case(known);
            match field.name.len() {
                3 if is("age") => said.age_s = said.age_s.max(age(field.value)),
                4 if is("date") => said.date = seconds(field.value),
                4 if is("vary") => said.vary(field.value),
                7 if is("expires") => said.expires = Some(seconds(field.value)),
                10 if is("set-cookie") => said.sets_cookie = true,
                13 if is("cache-control") => said.control.add(field.value),
                13 if is("content-range") => said.is_part = true,
                _ => {}
            }
        }
        said.varies.sort_unstable();
        said.varies.dedup();
        said
    }

    fn vary(&mut self, value: &[u8]) {
        for name in elements(value) {
            self.varies_by_all |= name == b"*";
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            self.varies.push(name.into());
        }
    }

    /// The life that it gives itself, less its age; none if it gives none.
    fn lifetime_ms(&self) -> Option<u64> {
        let lifetime = match (self.control.lifetime(), self.expires) {
            (Some(seconds), _) => u64::from(seconds),
            // A date that cannot be read has passed.
            (None, Some(expires)) => {
                let from = self.date.unwrap_or_else(now_s);
                expires.map_or(0, |expires| expires.saturating_sub(from))
            }
            (None, None) => return None,
        };
        Some(
            lifetime
                .saturating_sub(u64::from(self.age_s))
                .saturating_mul(1_000),
        )
    }
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Route;
    use crate::table::Table;
    use crate::wire::head::{self, HeadLimits, Slots};

    fn worth(options: &str, lines: &str) -> Worth {
        let text = format!(
            r#"{{"id": "r", "path": "/a", "upstream": "u", "cache": {{"ttl_s": 60{options}}}}}"#
        );
        let route: Route = serde_json::from_str(&text).unwrap();
        let upstream = r#"{"name": "u", "servers": [{"address": "127.0.0.1", "port": 1}]}"#;
        let upstream = serde_json::from_str(upstream).unwrap();
        let table = Table::compile(&[route], &[upstream]).unwrap();
        let policies = table
            .route("r")
            .and_then(|route| route.policies.clone())
            .unwrap();
        let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n");
        let mut slots = Slots::new();
        let limits = HeadLimits {
            bytes: 4_096,
            fields: 32,
        };
        let response = head::response(head.as_bytes(), &mut slots, limits, false);
        Worth::of(
            &response.unwrap().unwrap(),
            policies.cache.as_ref().unwrap(),
        )
    }

    #[test]
    fn the_response_says_how_long_but_not_longer_than_the_route() {
        const DATE: &str = "Content-Length: 0\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\n";
        for (lines, fresh) in [
            ("Content-Length: 5", Some(60_000)),
            (
                "Content-Length: 5\r\nCache-Control: max-age=30",
                Some(30_000),
            ),
            (
                "Content-Length: 5\r\nCache-Control: max-age=30\r\nAge: 10",
                Some(20_000),
            ),
            (
                "Content-Length: 5\r\nCache-Control: max-age=30\r\nAge: 30",
                None,
            ),
            (
                "Content-Length: 5\r\nCache-Control: max-age=600, s-maxage=5",
                Some(5_000),
            ),
            (
                "Content-Length: 5\r\nCache-Control: max-age=600",
                Some(60_000),
            ),
            ("Content-Length: 5\r\nExpires: 0", None),
            ("Content-Length: 5\r\nCache-Control: no-store", None),
            ("Content-Length: 5\r\nCache-Control: private", None),
            ("Content-Length: 5\r\nCache-Control: no-cache=\"a\"", None),
            ("Content-Length: 5\r\nSet-Cookie: a=b", None),
            ("Content-Length: 5\r\nVary: *", None),
            (
                "Content-Length: 5\r\nVary: a,b,c,d,e\r\nVary: f,g,h,i",
                None,
            ),
            ("Content-Length: 2000000", None),
        ] {
            match (worth("", lines), fresh) {
                (Worth::Kept(life), Some(fresh)) => assert_eq!(life.fresh, fresh, "{lines}"),
                (Worth::Never, None) => {}
                (other, _) => panic!("{lines}: {other:?}"),
            }
        }
        let expires = format!("{DATE}Expires: Sat, 21 Nov 2026 08:00:07 GMT");
        assert!(matches!(worth("", &expires), Worth::Kept(life) if life.fresh == 7_000));
        assert_eq!(worth("", "Server: a"), Worth::NotNow);
        assert_eq!(
            worth("", "Content-Length: 5\r\nContent-Range: bytes 0-4/9"),
            Worth::NotNow
        );
    }

    #[test]
    fn the_route_decides_where_it_says_so() {
        let lines = "Content-Length: 5\r\nCache-Control: no-store, max-age=1\r\nSet-Cookie: a=b";
        let all = r#", "ignore_cache_control": true, "keep_set_cookie": true, "stale_s": 5"#;
        let Worth::Kept(life) = worth(all, lines) else {
            panic!("it is kept")
        };
        assert_eq!((life.fresh, life.stale), (60_000, 65_000));
        let lines = "Content-Length: 5\r\nCache-Control: must-revalidate\r\nVary: B, a,b";
        let Worth::Kept(life) = worth(r#", "stale_s": 5"#, lines) else {
            panic!("it is kept")
        };
        assert_eq!((life.fresh, life.stale), (60_000, 60_000));
        assert_eq!(life.varies, ["a".into(), "b".into()]);
    }
}
