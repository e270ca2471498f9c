//! Proofs and claims: AuthenticationOptions as `auth` with a JwtVerifier for each provider, and
//! what is asked of the claims of a token or made of them.

use std::collections::BTreeMap;

use super::file::{FileRoute, Texts};
use super::options::Options;
use super::template::{Names, Template, place as place_of};
use super::unsaid::kept;
use crate::model::checks::is_free_field;
use crate::model::faults::{Report, at_key};
use crate::model::policy::{Auth, AuthKind, Edits, Jwt, NamedValue, Requirement};
use crate::model::route::Route;

/// A reason for which no request of the route can be served, and the member that has it.
pub(super) type Refused = (&'static str, &'static str);

const NOBODY: &str = "nobody has proved any claim";
const NOT_SAID: &str = "what is asked of a claim cannot be said here";

/// What is to be taken of a token: a claim, or a part of it.
#[derive(Clone, Debug)]
struct Taken {
    claim: String,
    /// The number of the part, and the letters between parts.
    part: Option<(usize, String)>,
}

/// The claims that a route asks for or makes something of.
pub(super) struct Claims<'f> {
    options: &'f Options<'f>,
    place: &'f str,
    /// Claims that are made of others.
    made: BTreeMap<String, Taken>,
}

impl<'f> Claims<'f> {
    pub(super) fn of(options: &'f Options<'f>, place: &'f str, report: &mut Report) -> Self {
        let mut claims = Self {
            options,
            place,
            made: BTreeMap::new(),
        };
        let file = options.route;
        for (name, taken) in claims.all("AddClaimsToRequest", &file.add_claims_to_request, report) {
            claims.made.insert(name.to_owned(), taken);
        }
        claims
    }

    /// The placeholders of the downstream path that are claims.
    pub(super) fn names(&self, report: &mut Report) -> Names {
        let file = self.options.route;
        let member = "ChangeDownstreamPathTemplate";
        let all = self.all(member, &file.change_downstream_path_template, report);
        Names {
            of_claims: all
                .into_iter()
                .map(|(name, taken)| (name.to_owned(), taken.place()))
                .collect(),
            of_fields: BTreeMap::new(),
        }
    }

    /// Gives the route who may come in, and what goes on of the claims. An error says why no
    /// request of it can be served.
    pub(super) fn give(&self, route: &mut Route, report: &mut Report) -> Result<(), Refused> {
        let file = self.options.route;
        let providers = self.options.providers();
        if providers.is_empty() {
            return match asked(file) {
                Some(member) => Err((member, NOBODY)),
                None => Ok(()),
            };
        }
        let mut require = self.requirements(file)?;
        let mut taken = Vec::new();
        let headers = self.all("AddHeadersToRequest", &file.add_headers_to_request, report);
        for (name, one) in headers {
            if !is_free_field(name) {
                let place = at_key(&at_key(self.place, "AddHeadersToRequest"), name);
                kept(place, "the proxy writes this field itself", report);
                continue;
            }
            let edits = route.request_headers.get_or_insert_with(Edits::default);
            edits.set.push(one.named(name));
            taken.push(one.claim);
        }
        for (name, one) in self.all("AddQueriesToRequest", &file.add_queries_to_request, report) {
            let edits = route.request_query.get_or_insert_with(Edits::default);
            edits.remove.retain(|removed| removed != name);
            edits.set.retain(|set| set.name != name);
            edits.set.push(one.named(name));
            taken.push(one.claim);
        }
        let path = &file.change_downstream_path_template;
        let path = self.all("ChangeDownstreamPathTemplate", path, &mut Report::default());
        taken.extend(path.into_iter().map(|(_, one)| one.claim));
        // A request without a claim that goes on is refused, as Ocelot does.
        let needs_claims = !taken.is_empty();
        require.extend(taken.into_iter().map(|claim| Requirement {
            claim,
            any_of: Vec::new(),
        }));
        route.auth = Some(Auth {
            jwt: Some(Box::new(Jwt {
                verifiers: providers.into_iter().map(str::to_owned).collect(),
                ..Jwt::default()
            })),
            require,
            exempt_methods: match needs_claims {
                true => Vec::new(),
                false => vec!["OPTIONS".to_owned()],
            },
            ..Auth::of(AuthKind::Jwt)
        });
        Ok(())
    }

    /// AllowedScopes and RouteClaimsRequirement.
    fn requirements(&self, file: &FileRoute) -> Result<Vec<Requirement>, Refused> {
        let mut require = Vec::new();
        let scopes = self.options.scopes();
        if !scopes.is_empty() {
            if scopes.iter().any(|scope| scope.contains(['{', '}'])) {
                return Err(("AuthenticationOptions", NOT_SAID));
            }
            require.push(Requirement {
                claim: "scope".to_owned(),
                any_of: scopes.to_vec(),
            });
        }
        let upstream = Template::read(&file.upstream_path_template);
        for (claim, wanted) in &file.route_claims_requirement {
            const MEMBER: &str = "RouteClaimsRequirement";
            if self.made.contains_key(claim) {
                return Err((MEMBER, NOT_SAID));
            }
            let inner = wanted
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'))
                .filter(|inner| !inner.is_empty());
            let text = match inner {
                Some(name) => {
                    let mut unsaid = Vec::new();
                    let text = place_of(name, &upstream, &Names::default(), &mut unsaid);
                    match unsaid.is_empty() {
                        true => text,
                        false => return Err((MEMBER, "its placeholder is none of the path")),
                    }
                }
                None if wanted.contains(['{', '}']) => return Err((MEMBER, NOT_SAID)),
                None => wanted.clone(),
            };
            require.push(Requirement {
                claim: claim.clone(),
                any_of: vec![text],
            });
        }
        Ok(require)
    }

    /// What is taken for each name of a member. What cannot be read is kept.
    fn all<'t>(
        &self,
        member: &str,
        texts: &'t Texts,
        report: &mut Report,
    ) -> Vec<(&'t str, Taken)> {
        let mut all = Vec::new();
        for (name, text) in texts {
            match Taken::read(text).and_then(|taken| self.traced(taken)) {
                Some(taken) => all.push((name.as_str(), taken)),
                None => {
                    let place = at_key(&at_key(self.place, member), name);
                    let why = "it does not say what of which claim, as Claims[sub] > value does";
                    kept(place, why, report);
                }
            }
        }
        all
    }

    /// The same of the claim that this one is made of.
    fn traced(&self, taken: Taken) -> Option<Taken> {
        match (self.made.get(&taken.claim), &taken.part) {
            (None, _) => Some(taken),
            (Some(source), None) => Some(source.clone()),
            (Some(source), Some(_)) => source.part.is_none().then(|| Taken {
                claim: source.claim.clone(),
                ..taken
            }),
        }
    }
}

/// The first member that asks for a claim or makes something of one.
fn asked(file: &FileRoute) -> Option<&'static str> {
    let members = [
        ("RouteClaimsRequirement", &file.route_claims_requirement),
        ("AddClaimsToRequest", &file.add_claims_to_request),
        ("AddHeadersToRequest", &file.add_headers_to_request),
        ("AddQueriesToRequest", &file.add_queries_to_request),
        (
            "ChangeDownstreamPathTemplate",
            &file.change_downstream_path_template,
        ),
    ];
    let mut asked = members.into_iter().filter(|(_, texts)| !texts.is_empty());
    asked.next().map(|(member, _)| member)
}

impl Taken {
    /// Reads `Claims[NAME] > value`, or `Claims[NAME] > value[NUMBER] > LETTERS`.
    fn read(text: &str) -> Option<Self> {
        let mut instructions = text.split('>');
        let claim = instructions.next()?.trim();
        let claim = claim.split_once("Claims[")?.1.split_once(']')?.0;
        let value = instructions.next()?.trim();
        let letters = instructions.next().map(str::trim);
        let part = match (value.strip_prefix("value["), letters) {
            (Some(number), Some(letters)) if !letters.is_empty() => {
                let number = number.split_once(']')?.0.trim().parse().ok()?;
                Some((number, letters.to_owned()))
            }
            _ => None,
        };
        let is_plain = |text: &str| !text.is_empty() && !text.contains(['{', '}']);
        let can_be_said = is_plain(claim)
            && !claim.contains(" part ")
            && part.as_ref().is_none_or(|(_, letters)| is_plain(letters));
        can_be_said.then(|| Self {
            claim: claim.to_owned(),
            part,
        })
    }

    /// Its native place.
    fn place(&self) -> String {
        match &self.part {
            None => format!("{{claim.{}}}", self.claim),
            Some((number, letters)) => {
                format!("{{claim.{} part {number} by {letters}}}", self.claim)
            }
        }
    }

    fn named(&self, name: &str) -> NamedValue {
        NamedValue {
            name: name.to_owned(),
            value: self.place(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_read() {
        for (text, place) in [
            ("Claims[sub] > value", Some("{claim.sub}")),
            ("Claims[sub]>value", Some("{claim.sub}")),
            (
                "Claims[sub] > value[1] > |",
                Some("{claim.sub part 1 by |}"),
            ),
            (
                "Claims[http://a/b] > value[0] > ,",
                Some("{claim.http://a/b part 0 by ,}"),
            ),
            ("Claims[sub] > value[1]", Some("{claim.sub}")),
            ("Claims[sub]", None),
            ("Claims[] > value", None),
            ("sub > value", None),
            ("Claims[sub] > value[x] > |", None),
            ("Claims[a}b] > value", None),
        ] {
            let taken = Taken::read(text);
            assert_eq!(taken.map(|taken| taken.place()).as_deref(), place, "{text}");
        }
    }
}
