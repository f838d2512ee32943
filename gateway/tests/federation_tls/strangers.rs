//! Callers who say nothing, or next to nothing, or too much: they cost themselves their place and nobody else.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustls::client::Resumption;
use rustls_pki_types::ServerName;
use sundbro_gateway::client::{channel, probe};
use sundbro_gateway::server::Door;
use sundbro_proto::federation::v1::retrieval_service_server::RetrievalServiceServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::service::Routes;

use crate::support::{Leaf, Running, UNKNOWN, member};
use crate::world::{CLINIC, KOMMUNE, WhoCalled, World, call, raw_client};

/// Longer than anything here takes; what is tested are deadlines and places, not speed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Short, so that the test need not wait long for it.
const DEADLINE: Duration = Duration::from_millis(400);
/// Connections of somebody who fills the lobby, from each of his addresses.
const SILENT: usize = 40;

/// A connection from one of the many addresses of the loopback network.
async fn connect_from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).expect("loopback");
    socket.connect(to).await.expect("connect")
}

#[tokio::test]
async fn hundreds_who_say_nothing_keep_no_member_out() {
    let world = World::new().await;
    let mut silent = Vec::new();
    for address in 2..12 {
        for _ in 0..SILENT {
            silent.push(connect_from(address, world.running.address).await);
        }
    }
    // All from the silent ones' own network, after all of them, and from the address of one of them.
    let kommune = channel(world.kommune(), world.target()).expect("channel");
    assert_eq!(call(&kommune).await.expect("served"), KOMMUNE);
    let clinic = world.caller(&Leaf::of(CLINIC));
    probe(&clinic, &world.target()).await.expect("another one gets in");
    // As many as there are places, less those that the members' handshakes took for a moment.
    let gone = silent.len() - UNKNOWN.all;
    let ends = count_closed(silent, gone).await;
    assert!((gone..gone + 4).contains(&ends), "{ends} of them were shown out");
    assert_eq!(call(&kommune).await.expect("still served"), KOMMUNE);
}

#[tokio::test]
async fn one_address_gets_few_places() {
    let world = World::new().await;
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(connect_from(2, world.running.address).await);
    }
    let other = connect_from(3, world.running.address).await;
    let ends = count_closed(silent, SILENT - UNKNOWN.per_source).await;
    assert_eq!(ends, SILENT - UNKNOWN.per_source);
    assert_eq!(count_closed(vec![other], 0).await, 0, "who comes from elsewhere stays");
}

/// Waits until at least so many were closed by the other side; how many are closed then.
async fn count_closed(connections: Vec<TcpStream>, at_least: usize) -> usize {
    let ends = |mut connection: TcpStream| async move {
        // A place that is taken away ends in a FIN or a reset; nobody writes anything.
        assert_eq!(connection.read(&mut [0]).await.unwrap_or(0), 0);
    };
    let mut reads: FuturesUnordered<_> = connections.into_iter().map(ends).collect();
    for _ in 0..at_least {
        timeout(PATIENCE, reads.next()).await.expect("closed in time").expect("as many as that");
    }
    let mut ended = at_least;
    while let std::task::Poll::Ready(Some(())) = futures_util::poll!(reads.next()) {
        ended += 1;
    }
    ended
}

async fn hurried(world: &World) -> Running {
    let routes = Routes::new(RetrievalServiceServer::new(WhoCalled)).into_axum_router();
    let door = Door::Federation(world.hospital.clone());
    Running::start_on("127.0.0.1:0", door, routes, |listening| {
        listening.deadlines.handshake = DEADLINE;
        listening.deadlines.first_request = DEADLINE;
    })
    .await
}

#[tokio::test]
async fn a_handshake_has_a_deadline_whatever_was_said_before() {
    let world = World::new().await;
    let running = hurried(&world).await;
    // The head of a record that announces a ClientHello, and less and less of it.
    let begun: &[&[u8]] =
        &[b"", b"\x16", b"\x16\x03\x01\x02\x00", b"\x16\x03\x01\x02\x00\x01\x00\x01"];
    for begin in begun {
        let mut stream = TcpStream::connect(running.address).await.expect("connect");
        stream.write_all(begin).await.expect("written");
        let read = timeout(PATIENCE, stream.read(&mut [0])).await.expect("it ends");
        assert_eq!(read.unwrap_or(0), 0, "{begin:?}");
    }
}

async fn raw(world: &World, running: &Running) -> TlsStream<TcpStream> {
    let files = world.ca.issue(&Leaf { file: "raw".to_owned(), ..Leaf::of(KOMMUNE) });
    let config = raw_client(world, &files, Resumption::disabled());
    let stream = TcpStream::connect(running.address).await.expect("connect");
    let name = ServerName::try_from("localhost").expect("name");
    TlsConnector::from(config).connect(name, stream).await.expect("our half")
}

/// Reads until the other side ends it; what it said before.
async fn said(stream: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let mut said = Vec::new();
    // A cut without a goodbye is an end too.
    let read = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it ends");
    drop(read);
    said
}

#[tokio::test]
async fn a_member_that_asks_nothing_goes_and_one_that_has_asked_stays() {
    let world = World::new().await;
    let running = hurried(&world).await;
    let target = sundbro_gateway::client::Target { endpoint: running.endpoint(), ..world.target() };
    let clinic = channel(world.caller(&Leaf::of(CLINIC)), target).expect("channel");
    assert_eq!(call(&clinic).await.expect("served"), CLINIC);
    let open = || world.hospital.connections().open_with(&member(CLINIC));
    let before = open();
    // Both came later than the clinic: when they are gone, its time would be over too.
    for preface in
        [&b""[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"]
    {
        let mut silent = raw(&world, &running).await;
        silent.write_all(preface).await.expect("written");
        said(&mut silent).await;
    }
    assert_eq!(call(&clinic).await.expect("still served"), CLINIC);
    assert_eq!(open(), before, "by the same connection");
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// The error code of the GOAWAY frame among what was said (RFC 9113 §6.8).
fn goaway(mut said: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = said.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == 7 {
            return Some(u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?));
        }
        said = rest;
    }
    None
}

#[tokio::test]
async fn who_opens_and_resets_without_end_is_told_to_calm_down() {
    let world = World::new().await;
    let mut stream = raw(&world, &world.running).await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    for number in (1..400).step_by(2) {
        // :method POST, :scheme https, :path / of the static table, END_HEADERS; then RST_STREAM CANCEL.
        bytes.extend(frame(1, 4, number, &[0x83, 0x87, 0x84]));
        bytes.extend(frame(3, 0, number, &8_u32.to_be_bytes()));
    }
    stream.write_all(&bytes).await.expect("written");
    stream.flush().await.expect("written");
    let answer = said(&mut stream).await;
    assert_eq!(goaway(&answer), Some(11), "ENHANCE_YOUR_CALM");
    probe(&world.caller(&Leaf::of(CLINIC)), &world.target()).await.expect("others get in");
}

#[tokio::test]
async fn headers_larger_than_the_limit_are_refused() {
    let world = World::new().await;
    let kommune = channel(world.kommune(), world.target()).expect("channel");
    let mut client =
        sundbro_proto::federation::v1::retrieval_service_client::RetrievalServiceClient::new(
            kommune,
        );
    let mut request =
        tonic::Request::new(sundbro_proto::federation::v1::AcknowledgeRetrievalRequest::default());
    let long = "x".repeat(32 * 1024).parse().expect("ASCII");
    request.metadata_mut().insert("x-long", long);
    client.acknowledge_retrieval(request).await.expect_err("more than the server says it takes");
}
