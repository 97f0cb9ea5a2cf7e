//! The front of every connection: a call to the broker in gRPC itself goes straight to it, and a
//! publish that comes in one piece not even through tonic's handler.
//!
//! All else goes through the layers that pages need and by the table of all services. What answers is
//! the same there, and what is asked of a page is asked there: who names an origin goes that way.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Either},
};
use http::{Method, Request, Response, Version, header};
use tonic::body::Body;
use tower::{Service, ServiceExt as _, util::Oneshot};

use super::publish::{self, Came};
use crate::broker::Broker;

/// Cloned for every request.
#[derive(Debug)]
pub(super) struct Front<C, R>(Arc<Ways<C, R>>);

#[derive(Debug)]
struct Ways<C, R> {
    broker: Broker,
    calls: C,
    rest: R,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Publish,
    Call,
    Rest,
}

impl<C, R> Front<C, R> {
    /// `calls` answers calls to `broker`, and `rest` does the same and everything else.
    pub(super) fn new(broker: Broker, calls: C, rest: R) -> Front<C, R> {
        Front(Arc::new(Ways { broker, calls, rest }))
    }
}

impl<C, R> Clone for Front<C, R> {
    fn clone(&self) -> Front<C, R> {
        Front(self.0.clone())
    }
}

impl<C, R> Service<Request<Body>> for Front<C, R>
where
    C: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    C: Clone + Send + Sync + 'static,
    C::Future: Send,
    R: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    R: Clone + Send + Sync + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<
        BoxFuture<'static, Result<Response<Body>, Infallible>>,
        Either<Oneshot<C, Request<Body>>, Oneshot<R, Request<Body>>>,
    >;

    /// Each way is asked when it is gone.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match way(&request) {
            Way::Publish => match publish::read(request) {
                Came::Whole(message) => {
                    let ways = self.0.clone();
                    let answer = async move { Ok(publish::answer(&ways.broker, message).await) };
                    Either::Left(answer.boxed())
                }
                Came::Otherwise(request) => {
                    Either::Right(Either::Left(self.0.calls.clone().oneshot(*request)))
                }
            },
            Way::Call => Either::Right(Either::Left(self.0.calls.clone().oneshot(request))),
            Way::Rest => Either::Right(Either::Right(self.0.rest.clone().oneshot(request))),
        }
    }
}

/// A call in gRPC to the broker, with which no browser says where a page is from, need not go the way
/// of the rest.
fn way<T>(request: &Request<T>) -> Way {
    let headers = request.headers();
    let Some(method) = request.uri().path().strip_prefix("/tidings.v1.Broker/") else {
        return Way::Rest;
    };
    let native = request.version() == Version::HTTP_2
        && request.method() == Method::POST
        && headers.get(header::CONTENT_TYPE).is_some_and(|media| media == "application/grpc")
        && !headers.contains_key(header::ORIGIN);
    match method {
        _ if !native => Way::Rest,
        "Publish" => Way::Publish,
        _ => Way::Call,
    }
}

#[cfg(test)]
mod tests {
    use http::request::Builder;

    use super::*;

    fn call() -> Builder {
        Request::post("http://broker/tidings.v1.Broker/Publish").version(Version::HTTP_2)
    }

    fn goes(request: Builder) -> Way {
        way(&request.body(()).expect("a request"))
    }

    #[test]
    fn only_calls_in_grpc_of_whom_is_no_page_go_straight_to_the_broker() {
        let native = || call().header("content-type", "application/grpc");
        assert_eq!(goes(native()), Way::Publish);
        assert_eq!(goes(native().uri("http://broker/tidings.v1.Broker/Subscribe")), Way::Call);
        for rest in [
            native().header("origin", "http://localhost:5173"),
            native().header("origin", "null"),
            native().version(Version::HTTP_11),
            native().method(Method::OPTIONS),
            native().uri("http://broker/tidings.v1.Admin/GetServerInfo"),
            native().uri("http://broker/tidings.v1.Brokers/Publish"),
            native().uri("http://broker/"),
            call(),
            call().header("content-type", "application/grpc-web+proto"),
            call().header("content-type", "application/grpc-web-text"),
            call().header("content-type", "text/plain"),
        ] {
            assert_eq!(goes(rest), Way::Rest);
        }
    }
}
