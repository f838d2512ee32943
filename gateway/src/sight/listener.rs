//! `/metrics`, `/healthz` and `/readyz` by plain HTTP, on a listener of their own: no secret is told, nothing is changed.
//!
//! It stands apart from the other two listeners, so that whoever watches needs no certificate, and so that a gateway
//! whose certificates have ended can still say so.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;

use super::Sight;
use super::text::Format;
use crate::lobby::{Lobby, Places};

/// Connections at once: two Prometheus servers, a load balancer, and people. Whoever comes last gets a place, so that
/// silent ones keep no health check out.
const PLACES: Places = Places { all: 32, per_source: 32 };
/// How long a request's head may take, and how long a connection may rest between two of them.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// Largest head of a request.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Pause after the operating system refuses to accept: a loop without one would take a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct Shared {
    sight: Arc<Sight>,
    /// One scrape at a time: however many ask, one thread reads.
    scraping: Arc<Mutex<()>>,
}

/// Answers until `stop`.
pub(super) async fn serve(sight: Arc<Sight>, listener: TcpListener, stop: CancellationToken) {
    let shared = Shared { sight, scraping: Arc::default() };
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(shared);
    let lobby = Lobby::new(PLACES);
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let (routes, stop) = (routes.clone(), stop.clone());
                let ticket = lobby.enter(from.ip());
                tasks.spawn(async move {
                    tokio::select! {
                        () = ticket.shown_out() => {}
                        () = connection(stream, routes, stop) => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection: check the limit of open files");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn connection(stream: TcpStream, routes: Router, stop: CancellationToken) {
    let service =
        hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            // An axum router is always ready.
            routes.clone().call(request)
        });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection of the sight listener ended");
            }
        }
        // A scrape that is cut is repeated by whoever scrapes; stopping does not wait for it.
        () = stop.cancelled() => {}
    }
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let format = Format::of(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    let one_at_a_time = shared.scraping.clone().lock_owned().await;
    let sight = shared.sight.clone();
    let scraping = move || {
        // Held until the work has ended, whether or not whoever asked still waits.
        let _one_at_a_time = one_at_a_time;
        sight.scrape()
    };
    match tokio::task::spawn_blocking(scraping).await {
        Ok(Ok(text)) => {
            let text = format.of_open_metrics(text);
            ([(CONTENT_TYPE, format.content_type())], text).into_response()
        }
        Ok(Err(error)) => {
            tracing::warn!(error = crate::status::chain(&error), "numbers cannot be gathered");
            said(StatusCode::SERVICE_UNAVAILABLE, "the data folder cannot be read")
        }
        Err(_) => said(StatusCode::INTERNAL_SERVER_ERROR, "gathering numbers failed"),
    }
}

async fn healthz(State(shared): State<Shared>) -> Response {
    let sight = shared.sight.clone();
    match tokio::task::spawn_blocking(move || sight.health()).await {
        Ok(Ok(())) => said(StatusCode::OK, "healthy"),
        Ok(Err(why)) => said(StatusCode::SERVICE_UNAVAILABLE, why),
        Err(_) => said(StatusCode::INTERNAL_SERVER_ERROR, "looking failed"),
    }
}

async fn readyz(State(shared): State<Shared>) -> Response {
    match shared.sight.is_ready() {
        true => said(StatusCode::OK, "ready"),
        false => said(StatusCode::SERVICE_UNAVAILABLE, "starting"),
    }
}

fn said(status: StatusCode, line: &str) -> Response {
    (status, format!("{line}\n")).into_response()
}
