//! What hinders a dial, and how a channel finds back.

use sundbro_gateway::client::{DialError, Target, channel, probe};
use sundbro_gateway::config::Endpoint;
use sundbro_gateway::dial_cause::DialCause;
use sundbro_gateway::server::Door;
use sundbro_gateway::tls::FederationTls;
use sundbro_proto::federation::v1::retrieval_service_server::RetrievalServiceServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tonic::Status;
use tonic::service::Routes;
use tonic::transport::Channel;

use crate::support::Running;
use crate::world::{WhoCalled, World, call, eventually_served};

#[tokio::test]
async fn what_hinders_a_dial_is_told_apart() {
    let world = World::new().await;
    let caller = world.kommune();
    let at = |host: &str, port| Target {
        dial: Some(Endpoint { host: host.to_owned(), port }),
        ..world.target()
    };
    let error = probe(&caller, &at("no-such-host.invalid", 1)).await.expect_err("no such name");
    assert_eq!(error.cause, DialCause::NameNotResolved);

    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    drop(listener);
    let error = probe(&caller, &at("127.0.0.1", port)).await.expect_err("nobody listens");
    assert_eq!(error.cause, DialCause::ConnectionRefused);
    assert!(error.to_string().contains("CONNECTION_REFUSED"), "{error}");

    assert_eq!(
        answered_with(&caller, at, b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
        DialCause::ProtocolMismatch
    );
    assert_eq!(answered_with(&caller, at, b"").await, DialCause::HandshakeInterrupted);
}

/// Dials something that reads a little, says `answer` and hangs up.
async fn answered_with(
    caller: &FederationTls,
    at: impl Fn(&str, u16) -> Target,
    answer: &[u8],
) -> DialCause {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let target = at("127.0.0.1", listener.local_addr().expect("address").port());
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let mut hello = [0; 4_096];
        let _ = stream.read(&mut hello).await.expect("hello");
        stream.write_all(answer).await.expect("answer");
        stream.shutdown().await.expect("shutdown");
    };
    let (_, result) = tokio::join!(server, probe(caller, &target));
    result.expect_err("not a gateway").cause
}

#[tokio::test]
async fn a_channel_finds_a_gateway_that_comes_back() {
    let world = World::new().await;
    let channel = channel(world.kommune(), world.target()).expect("channel");
    call(&channel).await.expect("served");
    let address = world.running.address;
    world.running.stop().await;
    let status = eventually_fails(&channel).await;
    assert_eq!(status.code(), tonic::Code::Unavailable);
    let cause = DialError::in_status(&status).expect("a dial error").cause;
    assert_eq!(cause, DialCause::ConnectionRefused);

    let routes = Routes::new(RetrievalServiceServer::new(WhoCalled)).into_axum_router();
    let door = Door::Federation(world.hospital.clone());
    let _again = Running::start_on(address, door, routes, |it| it.max_connections = 4).await;
    eventually_served(&channel).await;
}

async fn eventually_fails(channel: &Channel) -> Status {
    for _ in 0..1_000 {
        if let Err(status) = call(channel).await
            && DialError::in_status(&status).is_some()
        {
            return status;
        }
    }
    panic!("still served");
}
