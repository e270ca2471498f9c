//! Prove: who asks, by what the request brings along.

use crate::proxy::affinity;
use crate::proxy::understand::Understood;
use crate::table::policy::Auth;
use crate::wire::{base64, pairs};

/// The most bytes of a name and password.
const CREDENTIALS_MAX: usize = 512;

/// The name of whoever asks, if the request proves it.
pub(super) fn who<'a>(auth: &'a Auth, request: &Understood<'_, '_>) -> Option<&'a str> {
    let fields = request.head.fields;
    match auth {
        Auth::Basic { users, .. } => {
            let value = affinity::field(fields, "authorization")?;
            let (scheme, rest) = value.split_at_checked(6)?;
            if !scheme.eq_ignore_ascii_case(b"basic ") {
                return None;
            }
            let mut space = [0; CREDENTIALS_MAX];
            let text = base64::decode(rest.trim_ascii(), &mut space)?;
            let colon = text.iter().position(|byte| *byte == b':')?;
            let (name, password) = text.split_at(colon);
            Auth::user(users, name, password.get(1..)?)
        }
        Auth::ApiKey {
            header,
            query,
            groups,
        } => {
            let by_field = affinity::field(fields, header);
            let by_query = || {
                let name = query.as_deref()?;
                pairs::parameter(request.query?, name.as_bytes())
            };
            Auth::owner(groups, by_field.or_else(by_query)?)
        }
    }
}
