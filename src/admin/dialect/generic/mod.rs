//! Generic: seed 002, Otoroshi's resource API. Every kind is served by the same URLs,
//! `/apis/{group}/{version}/{entity}[/{id}|/_count|/_template|/_schema|/_bulk]`.
//!
//! Reading order: `catalogue` and `form` (which kinds there are), `convert` (how Otoroshi's routes
//! and backends are native ones), `effect` (what documents mean for traffic), `read`, `write` and
//! `bulk` (what is asked), `act` (what a write means), `body`, `patch`, `listing`, `place`,
//! `media`, `armour`, `render` (how it is written down), `login` and `access` (who may), `other`
//! and `legacy` (what is no resource).

mod access;
mod act;
mod answer;
mod armour;
mod batch;
mod body;
mod bulk;
mod catalogue;
mod check;
mod convert;
mod effect;
mod fault;
mod form;
pub mod fuzz;
mod legacy;
mod listing;
mod login;
mod media;
mod openapi;
mod other;
mod patch;
mod place;
mod plain;
mod read;
mod render;
mod seeds;
mod template;
mod view;
mod write;

use std::rc::Rc;

use hyper::Method;
use hyper::header;
use serde_json::Value;

pub(in crate::admin) use self::access::Rights as Access;
use self::access::{Flag, Rights};
pub(in crate::admin) use self::answer::refusal;
pub(in crate::admin) use self::bulk::answer as bulk_answer;
use self::catalogue::Resource;
pub(in crate::admin) use self::convert::is_own;
pub(in crate::admin) use self::effect::{dress, effects};
pub(in crate::admin) use self::fault::Fault;
pub(in crate::admin) use self::login::{Sessions, monitor, recognise};
use self::render::Style;
pub(in crate::admin) use self::seeds::seed;
use super::super::core::Core;
use super::super::entity::Kind;
use super::super::request::{Answer, Request, decode};
use crate::model::config::Role;

/// The version of Otoroshi whose API this is.
const VERSION: &str = "18.0.0";

/// A request to this API.
pub(crate) struct Call<'c> {
    core: &'c Rc<Core>,
    request: &'c Request,
    rights: Rc<Rights>,
}

/// Whether a path belongs to this API.
pub(in crate::admin) fn is_mine(path: &str) -> bool {
    ["/apis", "/api", "/.well-known/otoroshi"]
        .into_iter()
        .any(|start| {
            path.strip_prefix(start)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
}

/// Whether a path is for a stream of lines.
pub(in crate::admin) fn is_bulk(path: &str) -> bool {
    path.starts_with("/apis/") && path.ends_with("/_bulk")
}

/// Answers a request.
pub(in crate::admin) async fn answer(core: &Rc<Core>, request: &Request) -> Answer {
    let call = Call::of(core, request);
    match route(&call).await {
        Ok(answer) => answer,
        Err(fault) => answer::fault(
            &fault,
            &call.style(false).unwrap_or_else(|_| Style::plain()),
        ),
    }
}

async fn route(call: &Call<'_>) -> Result<Answer, Fault> {
    let mut segments = Vec::new();
    for segment in call.request.path().trim_end_matches('/').split('/').skip(1) {
        let segment = decode(segment);
        segments.push(segment.ok_or_else(|| Fault::bad_request("the path is not UTF-8"))?);
    }
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["apis", group, version, entity, rest @ ..] if rest.len() <= 1 => {
            if let ["cluster", "node", what] = [*group, *version, *entity]
                && rest.is_empty()
            {
                return other::node(call, what).await;
            }
            resource(call, [group, version, entity], rest.first().copied()).await
        }
        ["apis", rest @ ..] => other::answer(call, rest).await,
        ["api", rest @ ..] => legacy::answer(call, rest).await,
        [".well-known", "otoroshi", "monitoring", what] => other::monitoring(call, what).await,
        _ => Err(Fault::not_found("there is no such endpoint")),
    }
}

async fn resource(
    call: &Call<'_>,
    [group, version, entity]: [&str; 3],
    id: Option<&str>,
) -> Result<Answer, Fault> {
    let resource = catalogue::find(group, version, entity)
        .ok_or_else(|| Fault::not_found("resource not found"))?;
    on_resource(call, resource, id).await
}

/// A request about entities of a resource, wherever it came in.
async fn on_resource(
    call: &Call<'_>,
    resource: &'static Resource,
    id: Option<&str>,
) -> Result<Answer, Fault> {
    let method = &call.request.method;
    if method == Method::GET || method == Method::HEAD {
        call.allow(resource, Flag::Read)?;
        return match id {
            None => read::list(call, resource).await,
            Some("_count") => read::count(call, resource).await,
            Some("_template") => read::template(call, resource),
            Some("_schema") => read::schema(call, resource),
            Some("_bulk") => Err(Fault::method_not_allowed()),
            Some(id) => read::one(call, resource, id),
        };
    }
    if id.is_some_and(|id| id.starts_with('_')) {
        return Err(Fault::method_not_allowed());
    }
    write::answer(call, resource, id).await
}

impl<'c> Call<'c> {
    fn of(core: &'c Rc<Core>, request: &'c Request) -> Self {
        let rights = match (&request.principal.rights, request.principal.role) {
            (Some(rights), _) => rights.clone(),
            (None, Role::Write) => Rc::default(),
            (None, Role::Read) => Rc::new(Rights::to_read()),
        };
        Self {
            core,
            request,
            rights,
        }
    }

    /// Whether the kind and the key allow it.
    fn allow(&self, resource: &Resource, flag: Flag) -> Result<(), Fault> {
        let can = match flag {
            Flag::Bulk => resource.can.bulk,
            Flag::Create => resource.can.create,
            Flag::Delete => resource.can.delete,
            Flag::Read => true,
            Flag::Update => resource.can.update,
        };
        if flag != Flag::Read && resource.kind != "GlobalConfig" && self.is_read_only() {
            return Err(Fault::unauthorized(
                "the API is read-only: apiReadOnly is set in the GlobalConfig",
            ));
        }
        if can && self.rights.allows(resource, flag) {
            Ok(())
        } else {
            Err(Fault::unauthorized("you cannot do that"))
        }
    }

    /// Whether the GlobalConfig has it that nothing else may be changed.
    fn is_read_only(&self) -> bool {
        let state = self.core.state.borrow();
        let config = Kind::of_list("global-configs")
            .and_then(|kind| state.of_kind(kind).get(catalogue::GLOBAL_ID).cloned());
        config.is_some_and(|config| config.value()["apiReadOnly"] == true)
    }

    fn label(&self, resource: &Resource) -> String {
        resource.label(self.core.state.borrow().config.admin.kind_style)
    }

    fn style(&self, list: bool) -> Result<Style, Fault> {
        let field = |name| {
            self.request
                .fields
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let accept = field(header::ACCEPT);
        Style::of(
            accept,
            field(header::ACCEPT_ENCODING),
            self.request.query(),
            list,
        )
    }

    fn whole(
        &self,
        status: u16,
        resource: Option<&Resource>,
        value: Value,
    ) -> Result<Answer, Fault> {
        Ok(self.styled(status, resource, value, &self.style(false)?))
    }

    fn styled(
        &self,
        status: u16,
        resource: Option<&Resource>,
        value: Value,
        style: &Style,
    ) -> Answer {
        answer::whole(self, status, resource, value, style)
    }
}

/// A text of `bytes` random bytes, in hexadecimal.
pub(crate) fn random_text(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    // Without the kernel's randomness there is no secret to be had, and nothing else to do.
    if let Err(error) = getrandom::fill(&mut random) {
        unreachable!("the kernel gives random bytes: {error}");
    }
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
