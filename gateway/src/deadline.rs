//! Honours the deadline that a caller sets with `grpc-timeout`.
//!
//! A call whose caller has stopped waiting is dropped, so that a slow disk does not fill up with answers for nobody.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::HeaderMap;

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
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => status::of(&Passed).into_http(),
    }
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
