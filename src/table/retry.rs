//! When a request may be sent again, as a core uses it.

use crate::model;
use crate::model::route::RetryOn;

/// When a request may be sent again.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Retries {
    /// How often.
    pub max: u8,
    /// After a connection that could not be opened.
    pub on_connect: bool,
    /// After a connection that ended before an answer began.
    pub on_closed: bool,
    /// After no answer in time.
    pub on_timeout: bool,
    /// How long each try may take until its response begins, in milliseconds; 0 is no limit.
    pub per_try_ms: u32,
    /// A bit for each status that [`bit`] knows.
    statuses: u32,
}

impl Retries {
    /// What `declared` says.
    pub(super) fn of(declared: &model::route::Retry) -> Self {
        let on = |word| declared.on.contains(&word);
        let bits = declared.statuses.iter().filter_map(|status| bit(*status));
        Self {
            max: declared.max_retries,
            on_connect: on(RetryOn::Connect),
            on_closed: on(RetryOn::Closed),
            on_timeout: on(RetryOn::Timeout),
            per_try_ms: declared
                .per_try_timeout_ms
                .map_or(0, |ms| u32::try_from(ms).unwrap_or(u32::MAX)),
            statuses: if on(RetryOn::Status) {
                bits.fold(0, |all, bit| all | 1 << bit)
            } else {
                0
            },
        }
    }

    /// Whether a response of this status is not yet the answer.
    #[inline]
    pub fn on_status(&self, status: u16) -> bool {
        bit(status).is_some_and(|bit| self.statuses & 1 << bit != 0)
    }

    /// In words, for `explain`.
    pub fn describe(&self) -> String {
        if self.max == 0 {
            return "none".to_owned();
        }
        let mut on = Vec::new();
        for (is_on, text) in [
            (self.on_connect, "a connection that cannot be opened"),
            (self.on_closed, "one that ends too early"),
            (self.on_timeout, "no answer in time"),
        ] {
            on.extend(is_on.then(|| text.to_owned()));
        }
        let all = (400..600).filter(|status| self.on_status(*status));
        let statuses: Vec<String> = all.map(|status| status.to_string()).collect();
        if !statuses.is_empty() {
            on.push(statuses.join(", "));
        }
        format!("up to {} after {}", self.max, on.join(", or "))
    }
}

/// The place of a status after which a request may be sent again: the registered 5xx, those that
/// networks in front of servers use, and what says that a request was not processed (RFC 9110
/// §15.5.9, RFC 8470 §5.2, RFC 6585 §4).
#[inline]
fn bit(status: u16) -> Option<u32> {
    Some(match status {
        500..=511 => u32::from(status) - 500,
        520..=530 => u32::from(status) - 508,
        408 => 23,
        425 => 24,
        429 => 25,
        _ => return None,
    })
}
