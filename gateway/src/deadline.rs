//! Honours the deadline that a caller sets with `grpc-timeout`.
//!
//! A call whose caller has stopped waiting is dropped, so that a slow disk does not fill up with answers for nobody. The
//! deadline is one for the whole call: a stream that has begun ends with it too.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::HeaderMap;
use hyper::body::{Frame, SizeHint};
use tokio::time::Sleep;

use crate::reason::{self, Reason};
use crate::status::{self, Culprit, Fault, Retry, Situation};

/// The header of gRPC's HTTP/2 protocol: at most 8 digits and a unit.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Puts the deadline around all routes: outermost, so that it also covers what checks the caller.
pub(crate) fn honour(routes: Router) -> Router {
    routes.layer(from_fn(limit))
}

async fn limit(request: Request, next: Next) -> Response {
    let Some(limit) = timeout_of(request.headers()) else { return next.run(request).await };
    let mut passed = Box::pin(tokio::time::sleep(limit));
    let response = tokio::select! {
        biased;
        response = next.run(request) => response,
        () = &mut passed => return status::of(&Passed).into_http(),
    };
    response.map(|body| Body::new(Limited { body: Some(body), passed }))
}

/// The body of an answer, until the deadline has passed: then its last word is the status that says so.
struct Limited {
    /// `None`: it was dropped, and with it whatever made it.
    body: Option<Body>,
    passed: Pin<Box<Sleep>>,
}

impl hyper::body::Body for Limited {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let answer = self.get_mut();
        let Some(body) = &mut answer.body else { return Poll::Ready(None) };
        // First the clock: a stream that always has something to say never lets it have its turn.
        if answer.passed.as_mut().poll(context).is_ready() {
            answer.body = None;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers()))));
        }
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            // It has said how it ended, and says nothing after that.
            answer.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(hyper::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // Of what may be cut off no length is promised.
        SizeHint::default()
    }
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // A status that made no headers would leave a stream without an end; the code alone always does.
    if status::of(&Passed).add_header(&mut trailers).is_err() {
        let code = i32::from(tonic::Code::DeadlineExceeded);
        trailers.insert("grpc-status", http::HeaderValue::from(code));
    }
    trailers
}

/// The deadline, if the caller set one that can be read. An unreadable one is no deadline, as elsewhere in gRPC.
fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[derive(Debug, thiserror::Error)]
#[error("the deadline of the call has passed: ask again with a longer one")]
struct Passed;

impl Fault for Passed {
    fn culprit(&self) -> Culprit {
        Culprit::Caller
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn reason(&self) -> Reason {
        reason::DEADLINE_EXCEEDED
    }

    fn situation(&self) -> Situation {
        Situation::DeadlineExceeded
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::oneshot;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_call_ends_when_its_caller_has_stopped_waiting() {
        let slow = Router::new().fallback(std::future::pending::<()>);
        let request = Request::builder().header(GRPC_TIMEOUT, "2m").body(axum::body::Body::empty());
        let answer = honour(slow).oneshot(request.expect("request")).await.expect("infallible");
        let status = answer.headers().get("grpc-status").expect("a gRPC status");
        assert_eq!(status, i32::from(tonic::Code::DeadlineExceeded).to_string().as_str());
    }

    /// Only the head of an answer was bound by the deadline: a stream went on for ever, for nobody.
    #[tokio::test]
    async fn a_stream_that_has_begun_ends_with_the_deadline_and_says_so() {
        let (held, dropped) = oneshot::channel::<()>();
        let held = Arc::new(Mutex::new(Some(held)));
        let endless = Router::new().fallback(move || {
            let held = held.lock().expect("lock").take();
            // Always ready: nothing but the deadline ends it.
            let stream = futures_util::stream::repeat_with(move || {
                let _held = &held;
                Ok::<_, std::io::Error>(Bytes::from_static(b"part"))
            });
            std::future::ready(Body::from_stream(stream))
        });
        let request = Request::builder().header(GRPC_TIMEOUT, "50m").body(Body::empty());
        let answer = honour(endless).oneshot(request.expect("request")).await.expect("infallible");
        let mut body = answer.into_body();
        let mut parts = 0;
        let trailers = loop {
            let frame = std::future::poll_fn(|context| {
                hyper::body::Body::poll_frame(Pin::new(&mut body), context)
            });
            let frame = frame.await.expect("an end").expect("a frame");
            match frame.into_trailers() {
                Ok(trailers) => break trailers,
                Err(_) => parts += 1,
            }
            tokio::task::yield_now().await;
        };
        assert!(parts > 0);
        let status = tonic::Status::from_header_map(&trailers).expect("a status");
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        assert!(dropped.await.is_err(), "whatever made the stream is gone");
    }

    #[test]
    fn reads_timeouts_of_every_unit_and_ignores_the_rest() {
        let check = |text: &'static str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, http::HeaderValue::from_static(text));
            assert_eq!(timeout_of(&headers), expected, "{text}");
        };
        check("2H", Some(Duration::from_secs(7_200)));
        check("3M", Some(Duration::from_secs(180)));
        check("99999999S", Some(Duration::from_secs(99_999_999)));
        check("5m", Some(Duration::from_millis(5)));
        check("6u", Some(Duration::from_micros(6)));
        check("7n", Some(Duration::from_nanos(7)));
        for text in ["", "S", "1", "123456789S", "-1S", "1s", "+1S"] {
            check(text, None);
        }
        assert_eq!(timeout_of(&HeaderMap::new()), None);
    }
}
