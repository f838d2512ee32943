//! The local door: health and reflection, and who may reach what.
//!
//! Health and reflection tell nothing about anybody and are open to every connection. Everything else is closed
//! unless the client certificate is one that the configuration names; `AdminService` needs an operator.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::server::HealthReporter;

use crate::caller::{CallerError, LocalClient};
use crate::status;

/// gRPC services that need no certificate.
const OPEN: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];
/// gRPC services that need an operator.
const OPERATORS_ONLY: &str = "/sundbro.admin.";

/// Marks a request whose client certificate is good but of nobody that the configuration names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnknownClient;

/// The services that every gateway offers locally, to which others are added.
///
/// Health answers "not serving" until the reporter is told otherwise. Reflection is there in v1 and v1alpha, since
/// Python's reflection client still speaks only the latter.
///
/// # Errors
/// When the descriptor set that was compiled in does not parse.
pub fn base_routes() -> Result<(RoutesBuilder, HealthReporter), tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(sundbro_proto::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let mut routes: RoutesBuilder = Routes::builder();
    routes
        .add_service(health)
        .add_service(describe().build_v1()?)
        .add_service(describe().build_v1alpha()?);
    Ok((routes, reporter))
}

/// Puts the check of the caller around all routes: a service that is added later cannot forget it.
pub(crate) fn guard(routes: Router) -> Router {
    routes.layer(from_fn(check))
}

async fn check(request: Request, next: Next) -> Response {
    match refusal(&request) {
        None => next.run(request).await,
        Some(error) => status::of(&error).into_http(),
    }
}

fn refusal(request: &Request) -> Option<CallerError> {
    let path = request.uri().path();
    if OPEN.iter().any(|open| path.starts_with(open)) {
        return None;
    }
    let Some(client) = request.extensions().get::<LocalClient>() else {
        let known = request.extensions().get::<UnknownClient>().is_none();
        return Some(if known { CallerError::NoCertificate } else { CallerError::UnknownClient });
    };
    if path.starts_with(OPERATORS_ONLY) && !client.is_operator() {
        return Some(CallerError::NotOperator { client: client.name().to_owned() });
    }
    None
}
