//! A change of trust while three members retrieve and replicate: it closes the connections of the one it concerns, and
//! of the others not a stream breaks off.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use sundbro_gateway::client::channel;
use sundbro_gateway::tls::Standing;
use sundbro_proto::federation::v1::federation_service_client::FederationServiceClient;
use sundbro_proto::federation::v1::federation_service_server::{
    FederationService, FederationServiceServer,
};
use sundbro_proto::federation::v1::retrieval_service_client::RetrievalServiceClient;
use sundbro_proto::federation::v1::retrieval_service_server::{
    RetrievalService, RetrievalServiceServer,
};
use sundbro_proto::federation::v1::retrieve_record_response::Part;
use sundbro_proto::federation::v1::{
    AcknowledgeRetrievalRequest, AcknowledgeRetrievalResponse, Frame, RetrieveRecordRequest,
    RetrieveRecordResponse, SynchroniseRequest, SynchroniseResponse,
};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::support::{Leaf, eventually, member};
use crate::world::{CLINIC, GP, HOSPITAL, KOMMUNE, World};

/// Bytes of one message of a retrieval.
const DATA: &[u8] = &[0x5d; 4_096];
/// Messages after which a stream has shown that it goes on.
const MANY: u64 = 50;
/// The pace of each stream. Without one, thirty streams that never rest would starve the answers to keepalive.
const PACE: Duration = Duration::from_millis(5);
/// The serial number of the hospital's own certificate.
const OWN_SERIAL: u8 = 9;

type Answers<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// Records without end, and replication that gives back each frame.
#[derive(Clone)]
struct Endless;

#[tonic::async_trait]
impl RetrievalService for Endless {
    type RetrieveRecordStream = Answers<RetrieveRecordResponse>;

    async fn retrieve_record(
        &self,
        _request: Request<RetrieveRecordRequest>,
    ) -> Result<Response<Self::RetrieveRecordStream>, Status> {
        Ok(Response::new(without_end(|| {
            let part = Some(Part::Data(Bytes::from_static(DATA)));
            Ok(RetrieveRecordResponse { part })
        })))
    }

    async fn acknowledge_retrieval(
        &self,
        _request: Request<AcknowledgeRetrievalRequest>,
    ) -> Result<Response<AcknowledgeRetrievalResponse>, Status> {
        Ok(Response::new(AcknowledgeRetrievalResponse::default()))
    }
}

#[tonic::async_trait]
impl FederationService for Endless {
    type SynchroniseStream = Answers<SynchroniseResponse>;

    async fn synchronise(
        &self,
        request: Request<Streaming<SynchroniseRequest>>,
    ) -> Result<Response<Self::SynchroniseStream>, Status> {
        let answer = |request: Result<SynchroniseRequest, Status>| {
            request.map(|request| SynchroniseResponse { frame: request.frame })
        };
        Ok(Response::new(request.into_inner().map(answer).boxed()))
    }
}

/// The same again and again.
fn without_end<M: Send + 'static>(make: fn() -> M) -> Pin<Box<dyn Stream<Item = M> + Send>> {
    let next = move |()| async move {
        tokio::time::sleep(PACE).await;
        Some((make(), ()))
    };
    Box::pin(futures_util::stream::unfold((), next))
}

/// What one member does all the time.
struct Load {
    name: &'static str,
    retrieved: Arc<Progress>,
    replicated: Arc<Progress>,
    tasks: Vec<JoinHandle<()>>,
}

/// How far a stream came, and whether it ended.
#[derive(Default)]
struct Progress {
    messages: AtomicU64,
    ended: AtomicBool,
}

impl Progress {
    fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    async fn follow<M>(self: Arc<Self>, mut answers: Streaming<M>) {
        while let Ok(Some(_)) = answers.message().await {
            self.messages.fetch_add(1, Ordering::Relaxed);
        }
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Load {
    async fn of(world: &World, name: &'static str, serial: u8) -> Self {
        let caller = world.caller(&Leaf { serial, ..Leaf::of(name) });
        let channel = channel(caller, world.target()).expect("channel");
        let (retrieved, replicated) = <(Arc<Progress>, Arc<Progress>)>::default();
        let tasks = vec![
            tokio::spawn(retrieve(channel.clone(), retrieved.clone())),
            tokio::spawn(replicate(channel, replicated.clone())),
        ];
        let load = Self { name, retrieved, replicated, tasks };
        load.goes_on().await;
        load
    }

    /// Waits until both streams have brought many messages more.
    async fn goes_on(&self) {
        for progress in [&self.retrieved, &self.replicated] {
            let from = progress.messages();
            let what = format!("the streams of {} go on", self.name);
            eventually(&what, || progress.ended() || progress.messages() >= from + MANY).await;
            assert!(!progress.ended(), "a stream of {} broke off", self.name);
        }
    }

    async fn breaks_off(&self) {
        let what = format!("the streams of {} end", self.name);
        eventually(&what, || self.retrieved.ended() && self.replicated.ended()).await;
    }

    fn connections(&self, world: &World) -> Vec<u64> {
        world.hospital.connections().open_with(&member(self.name))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn retrieve(channel: Channel, progress: Arc<Progress>) {
    let mut client = RetrievalServiceClient::new(channel);
    let answer = client.retrieve_record(RetrieveRecordRequest::default()).await.expect("a stream");
    progress.follow(answer.into_inner()).await;
}

async fn replicate(channel: Channel, progress: Arc<Progress>) {
    let (to, frames) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        // Ends with the stream that takes from it.
        while to.send(SynchroniseRequest { frame: Some(Frame::default()) }).await.is_ok() {
            tokio::time::sleep(PACE).await;
        }
    });
    let mut client = FederationServiceClient::new(channel);
    let answer = client.synchronise(ReceiverStream::new(frames)).await.expect("a stream");
    progress.follow(answer.into_inner()).await;
}

/// Three members under load at a hospital that reads a revocation list.
async fn busy() -> (World, [Load; 3]) {
    let routes = Routes::new(RetrievalServiceServer::new(Endless))
        .add_service(FederationServiceServer::new(Endless));
    let world = World::serving(routes, |ca| {
        let mut files = ca.issue(&Leaf { serial: OWN_SERIAL, ..Leaf::of(HOSPITAL) });
        files.crls.push(ca.revoke("ca.crl", &[]));
        files
    })
    .await;
    let loads = [
        Load::of(&world, KOMMUNE, 1).await,
        Load::of(&world, CLINIC, 2).await,
        Load::of(&world, GP, 3).await,
    ];
    (world, loads)
}

/// Makes a change and takes it into use: the connections of `concerned` close, counted, and those of the others stay the
/// same ones, with the same streams on them.
async fn closes_only(concerned: &[&str], change: impl FnOnce(&World)) {
    let (world, loads) = busy().await;
    let before: Vec<_> = loads.iter().map(|load| load.connections(&world)).collect();
    assert!(before.iter().all(|open| open.len() == 1), "one connection each: {before:?}");
    change(&world);
    let closed = world.hospital.reload().expect("reload");
    assert_eq!(closed, concerned.len());
    for (load, before) in loads.iter().zip(&before) {
        if concerned.contains(&load.name) {
            load.breaks_off().await;
            let gone = || load.connections(&world).iter().all(|open| !before.contains(open));
            eventually("the connection is off the list", gone).await;
        } else {
            load.goes_on().await;
            assert_eq!(load.connections(&world), *before, "{} has the same connection", load.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_closes_whom_it_names() {
    closes_only(&[KOMMUNE], |world| drop(world.ca.revoke("ca.crl", &[1]))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_closes_the_suspended() {
    closes_only(&[CLINIC], |world| world.book.set(CLINIC, Standing::Suspended)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_departure_and_a_revocation_at_once_close_two() {
    closes_only(&[KOMMUNE, GP], |world| {
        world.book.set(KOMMUNE, Standing::Left);
        world.ca.revoke("ca.crl", &[3]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_of_our_own_closes_nobody() {
    closes_only(&[], |world| {
        world.ca.issue(&Leaf { serial: 7, ..Leaf::of(HOSPITAL) });
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_that_change_nothing_close_nobody() {
    closes_only(&[], |world| {
        for _ in 0..20 {
            assert_eq!(world.hospital.reload().expect("reload"), 0);
        }
    })
    .await;
}
