//! Why a table cannot be built. The table it should have replaced stays as it is.

/// Why routes and upstreams do not make a table.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The age number is greater than [`AGE_MAX`](super::AGE_MAX).
    #[error("route '{route}': the age number is too large")]
    Age {
        /// The route.
        route: String,
    },
    /// The route has no `upstream`, `redirect`, `respond` or `aggregate`, or more than one of them.
    #[error(
        "route '{route}': give exactly one of 'upstream', 'redirect', 'respond' and 'aggregate'"
    )]
    Action {
        /// The route.
        route: String,
    },
    /// An `auth` lacks what its type needs.
    #[error("route '{route}': 'auth' lacks what its type needs")]
    Auth {
        /// The route.
        route: String,
    },
    /// A condition has both `value` and `regex`.
    #[error("route '{route}': the condition on '{name}' has both 'value' and 'regex'; give one")]
    Condition {
        /// The route.
        route: String,
        /// The field or query parameter.
        name: String,
    },
    /// Two routes have the same id.
    #[error("route '{route}' is there twice; ids must differ")]
    DuplicateRoute {
        /// The id.
        route: String,
    },
    /// Two upstreams have the same name.
    #[error("upstream '{upstream}' is there twice; names must differ")]
    DuplicateUpstream {
        /// The name.
        upstream: String,
    },
    /// A fixed answer has a field that cannot be sent.
    #[error("route '{route}': the field '{name}' cannot be set in a fixed answer")]
    Field {
        /// The route.
        route: String,
        /// The field's name.
        name: String,
    },
    /// The host is not a name, an address or `*.` and a name.
    #[error("route '{route}': '{host}' is not a host; write a name, or '*.' and a name")]
    Host {
        /// The route.
        route: String,
        /// What stands there.
        host: String,
    },
    /// The path cannot be matched.
    #[error("route '{route}': the path '{path}' {fault}")]
    Path {
        /// The route.
        route: String,
        /// What stands there.
        path: String,
        /// What is wrong with it.
        fault: PatternFault,
    },
    /// The route has no path, or more than one.
    #[error(
        "route '{route}': give exactly one of 'path_prefix', 'path', 'path_template' and \
         'path_regex'"
    )]
    Paths {
        /// The route.
        route: String,
    },
    /// A regular expression does not parse or is too large.
    #[error("route '{route}': {source}")]
    Regex {
        /// The route.
        route: String,
        /// What the engine says.
        source: Box<regex::Error>,
    },
    /// A rewrite or redirect cannot be filled in.
    #[error("route '{route}': '{template}' {fault}")]
    Rewrite {
        /// The route.
        route: String,
        /// What stands there.
        template: String,
        /// What is wrong with it.
        fault: PatternFault,
    },
    /// A server has neither an address with a port nor a unix socket, or both.
    #[error("upstream '{upstream}': server {index} needs either 'address' and 'port' or 'unix'")]
    Server {
        /// The upstream.
        upstream: String,
        /// Which server, from 0.
        index: usize,
    },
    /// Servers cannot be spoken to over TLS as it says.
    #[error("upstream '{upstream}': tls: {what}")]
    Tls {
        /// The upstream.
        upstream: String,
        /// What is wrong.
        what: String,
    },
    /// Tokens cannot be checked as it says.
    #[error("route '{route}': auth.jwt: {what}")]
    Token {
        /// The route or verifier.
        route: String,
        /// What is wrong.
        what: String,
    },
    /// All numbers for upstreams have been given out.
    #[error("upstream '{upstream}': 4294967295 upstreams have been made; restart the process")]
    TooManyUpstreams {
        /// The upstream.
        upstream: String,
    },
    /// The route names an upstream that is not there.
    #[error("route '{route}': there is no upstream '{upstream}'")]
    UnknownUpstream {
        /// The route.
        route: String,
        /// The name.
        upstream: String,
    },
    /// An upstream that routes use was to be removed.
    #[error("upstream '{upstream}' cannot be removed: {routes} route(s) use it")]
    UpstreamInUse {
        /// The name.
        upstream: String,
        /// How many routes use it.
        routes: u32,
    },
}

/// What is wrong with a path or a template.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternFault {
    /// A brace that is not part of a capture, or a capture that is only part of a segment.
    #[error("has a brace out of place; a capture is a whole segment, like '/{{id}}'")]
    Brace,
    /// A byte that cannot be sent.
    #[error("has a control character")]
    Control,
    /// Two captures of one name.
    #[error("names a capture twice")]
    DuplicateCapture,
    /// It does not start with `/`.
    #[error("does not start with '/'")]
    NoSlash,
    /// `{name*}` stands before the end.
    #[error("has '{{name*}}' before its end")]
    RestNotLast,
    /// It is longer than [`PATH_BYTES_MAX`](super::PATH_BYTES_MAX).
    #[error("is longer than 8191 bytes")]
    TooLong,
    /// It has more than [`CAPTURES_MAX`](super::CAPTURES_MAX) captures.
    #[error("has more than 16 captures")]
    TooManyCaptures,
    /// It has more than [`SEGMENTS_MAX`](super::SEGMENTS_MAX) segments.
    #[error("has more than 128 segments")]
    TooManySegments,
    /// It uses a capture that the path does not have.
    #[error("uses a capture that the path does not have")]
    UnknownCapture,
}
