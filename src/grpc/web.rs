//! gRPC-Web: the same services for pages in browsers, which can speak no gRPC
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>).
//!
//! A browser lets a page read an answer only if the server names the page's origin, and asks before
//! most requests. Not before all: a page whose own name was made to lead to this machine is at home
//! here, for the browser. So origins are named one by one, a request that names another is refused
//! whatever the browser thinks, and none is allowed where others may reach the broker and nobody said
//! which.

use std::{str::FromStr, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use tonic::body::Body;
use tower_http::{
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
    validate_request::{ValidateRequest, ValidateRequestHeaderLayer},
};

/// Where a page may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebOrigin {
    /// This machine: any port of `localhost`, `127.0.0.1` and `[::1]`.
    Local,
    /// `https://shop.example:8443`, as a browser says it.
    Exact(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no origin: write local, or scheme://host[:port] without a path")]
pub struct InvalidOrigin(String);

impl FromStr for WebOrigin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<WebOrigin, InvalidOrigin> {
        if text == "local" {
            return Ok(WebOrigin::Local);
        }
        let invalid = || InvalidOrigin(text.chars().take(100).collect());
        let (scheme, rest) = text.split_once("://").ok_or_else(invalid)?;
        let authority: http::uri::Authority = rest.parse().map_err(|_| invalid())?;
        let plain = matches!(scheme, "http" | "https")
            && !rest.contains('@')
            && !authority.host().is_empty()
            && !rest.chars().any(|c| c.is_ascii_uppercase() || c == '*');
        if plain { Ok(WebOrigin::Exact(text.to_owned())) } else { Err(invalid()) }
    }
}

impl std::fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            WebOrigin::Local => "local",
            WebOrigin::Exact(origin) => origin,
        })
    }
}

impl WebOrigin {
    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        match self {
            WebOrigin::Exact(exact) => origin == exact,
            WebOrigin::Local => {
                let rest = origin.strip_prefix("http://").or(origin.strip_prefix("https://"));
                let authority = rest.and_then(|rest| rest.parse::<http::uri::Authority>().ok());
                let host = authority.as_ref().map(http::uri::Authority::host);
                matches!(host, Some("localhost" | "127.0.0.1" | "[::1]"))
            }
        }
    }
}

/// Where pages may come from, shared by all connections.
#[derive(Debug, Clone)]
pub(super) struct Origins(Arc<[WebOrigin]>);

impl Origins {
    pub(super) fn new(origins: Vec<WebOrigin>) -> Origins {
        Origins(origins.into())
    }

    fn allow(&self, origin: &HeaderValue) -> bool {
        self.0.iter().any(|allowed| allowed.allows(origin))
    }
}

/// Refuses pages from elsewhere. Who is no page names no origin.
pub(super) fn guard(origins: Origins) -> ValidateRequestHeaderLayer<Origins> {
    ValidateRequestHeaderLayer::custom(origins)
}

impl<B> ValidateRequest<B> for Origins {
    type ResponseBody = Body;

    fn validate(&mut self, request: &mut Request<B>) -> Result<(), Response<Body>> {
        let mut named = request.headers().get_all(header::ORIGIN).iter();
        if named.all(|origin| self.allow(origin)) {
            return Ok(());
        }
        let mut refusal = Response::new(Body::empty());
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        Err(refusal)
    }
}

/// What pages accept is not for messages: their libraries know none that are compressed, and the
/// browser undoes what is compressed on the way.
pub(super) fn uncompressed<B>(mut request: Request<B>) -> Request<B> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_some_and(|name| name.as_bytes().starts_with(b"application/grpc-web")) {
        request.headers_mut().remove("grpc-accept-encoding");
    }
    request
}

/// What browsers are told of cross-origin calls.
pub(super) fn cors(origins: Origins) -> CorsLayer {
    const REMEMBERED: Duration = Duration::from_secs(3600);
    let exposed = ["grpc-status", "grpc-message", "grpc-status-details-bin"];
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| origins.allow(origin)))
        .allow_methods([Method::POST])
        .allow_headers(AllowHeaders::list(
            ["x-grpc-web", "x-user-agent", "grpc-timeout", "connect-protocol-version"]
                .map(HeaderName::from_static)
                .into_iter()
                .chain([header::CONTENT_TYPE]),
        ))
        .expose_headers(exposed.map(HeaderName::from_static))
        .max_age(REMEMBERED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_say() {
        for valid in ["local", "https://shop.example", "http://localhost:5173", "http://[::1]:80"] {
            assert_eq!(
                valid.parse::<WebOrigin>().map(|origin| origin.to_string()),
                Ok(valid.into())
            );
        }
        for invalid in [
            "",
            "*",
            "null",
            "shop.example",
            "https://shop.example/",
            "https://*.shop.example",
            "ftp://shop.example",
            "https://a@shop.example",
            "https://Shop.example",
            "https://",
        ] {
            assert!(invalid.parse::<WebOrigin>().is_err(), "{invalid:?}");
        }
    }

    #[test]
    fn only_pages_of_this_machine_are_local() {
        let allows =
            |origin: &str| WebOrigin::Local.allows(&HeaderValue::from_str(origin).unwrap());
        for local in
            ["http://localhost", "http://localhost:5173", "https://127.0.0.1:1", "http://[::1]:2"]
        {
            assert!(allows(local), "{local}");
        }
        for other in [
            "http://localhost.evil.example",
            "http://evil.example",
            "null",
            "http://10.0.0.1",
            "http://127.0.0.1.evil.example:80",
            "file://",
        ] {
            assert!(!allows(other), "{other}");
        }
    }
}
