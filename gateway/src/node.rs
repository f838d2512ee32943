//! The running gateway: identity, store, charter, then listeners, then replication and adapters, in that order.
//!
//! Bad configuration or material ends the start with nothing bound. Ready means: configuration valid, keys loaded, store
//! verified, charter followed, listeners bound; health says so.

use std::net::SocketAddr;
use std::sync::Arc;

use sundbro_adapters::Adapter;
use sundbro_adapters::documents::{DocumentsAdapter, DocumentsSettings, IdentifierSystems};
use sundbro_adapters::profile::Profile;
use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::ids::MemberName;
use sundbro_ledger::member::KeyPurpose;
use sundbro_proto::admin::v1::admin_service_server::AdminServiceServer;
use sundbro_proto::federation::v1::retrieval_service_server::RetrievalServiceServer;
use sundbro_proto::gateway::v1::audit_service_server::AuditServiceServer;
use sundbro_proto::gateway::v1::ledger_service_server::LedgerServiceServer;
use sundbro_proto::gateway::v1::records_service_server::RecordsServiceServer;
use sundbro_store::{OutboxLimits, ResumeError, Store};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

use crate::charter_book::CharterBook;
use crate::cli::{CliError, Exit};
use crate::config::{self, Config};
use crate::connections::Connections;
use crate::hub::{Hub, PeerTable};
use crate::identity::OwnKeys;
use crate::ingest::{self, IngestContext, Ingests, Outbox};
use crate::lobby::Places;
use crate::locate::{Finder, LocateContext};
use crate::own_reach::OwnReachReader;
use crate::policy::{PolicyBook, PolicyState};
use crate::publisher::{self, PublisherContext, PublisherHandle, SigningState};
use crate::replication::{
    FederationEndpoint, OwnIdentity, OwnLogCheck, Replication, ReplicationContext,
    ReplicationSettings, TlsDial,
};
use crate::retrieval::acknowledge::{self, AcknowledgeContext, Acknowledgements};
use crate::retrieval::channels::DialledChannels;
use crate::retrieval::owner::{Owner, OwnerContext, SourceSet};
use crate::retrieval::requester::{Requester, RequesterContext};
use crate::retrieval::service::RetrievalApi;
use crate::retrieval::signer::ServiceSigner;
use crate::scrub::{LastScrub, ScrubContext};
use crate::server::{Deadlines, Door, Listening, serve};
use crate::services::admin::{AdapterState, AdminApi, AdminContext, Operations};
use crate::services::audit::AuditApi;
use crate::services::ledger::LedgerApi;
use crate::services::records::{RecordsApi, RecordsContext};
use crate::sight::scrub::ScrubCounts;
use crate::sight::{Sight, Sources};
use crate::subject::SubjectKeys;
use crate::subject::grant::SealingKey;
use crate::tls::{End, FederationTls, LocalTls, watch_files};
use crate::world::World;

/// What is said on the command line and not in the configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Write the signing gate anew from the database.
    pub recreate_signing_gate: bool,
}

/// A gateway that runs.
pub struct Running {
    /// Where other members reach it.
    pub federation: SocketAddr,
    /// Where local systems reach it.
    pub local: SocketAddr,
    /// Where numbers and health are told. `None`: nowhere.
    pub sight: Option<SocketAddr>,
    tasks: TaskTracker,
    publisher: std::thread::JoinHandle<()>,
}

impl Running {
    /// Waits until everything has ended after `stop`.
    pub async fn ended(self) {
        self.tasks.wait().await;
        // Every handle went with the tasks, so the thread has answered what it was given and ends.
        let publisher = self.publisher;
        if tokio::task::spawn_blocking(move || publisher.join()).await.is_err() {
            tracing::error!("the publisher did not end well: look for its error above");
        }
        tracing::info!("stopped");
    }
}

/// What stands before anything is bound.
struct Ground {
    config: Config,
    keys: Arc<OwnKeys>,
    store: Arc<Store>,
    charter: Arc<CharterBook>,
    subjects: Arc<SubjectKeys>,
    policy: Arc<PolicyBook>,
    federation_tls: Arc<FederationTls>,
    local_tls: Arc<LocalTls>,
}

/// Starts a gateway.
///
/// # Errors
/// With what is wrong and what to do; nothing goes on running.
pub async fn start(
    config: Config,
    options: Options,
    stop: CancellationToken,
) -> Result<Running, CliError> {
    let ground = tokio::task::spawn_blocking(move || lay_ground(config, options))
        .await
        .map_err(|error| CliError::new(Exit::Failed, error))??;
    let bind = |address: SocketAddr| async move {
        TcpListener::bind(address).await.map_err(|error| {
            let what =
                format!("{address} cannot be listened on: {error}; is another gateway running?");
            CliError::new(Exit::Failed, what)
        })
    };
    let federation = bind(ground.config.federation.listen).await?;
    let local = bind(ground.config.local.listen).await?;
    let sight = match ground.config.sight {
        Some(listen) => Some(bind(listen).await?),
        None => None,
    };
    run(ground, federation, local, sight, stop).await
}

fn lay_ground(config: Config, options: Options) -> Result<Ground, CliError> {
    let usage = |error: Box<dyn std::error::Error + Send + Sync>| CliError::new(Exit::Usage, error);
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| CliError::new(Exit::Failed, error);
    if config.policy_dir.is_none() {
        tracing::warn!("no policy is configured: nobody is granted anything");
    }
    let policy = PolicyBook::open(config.policy_dir.clone())?;
    let keys = Arc::new(OwnKeys::load(&config.keys_dir).map_err(|error| usage(error.into()))?);
    let subjects =
        Arc::new(SubjectKeys::open(&config.keys_dir).map_err(|error| usage(error.into()))?);
    let mut open = crate::cli::open_options(&config);
    open.recreate_gate = options.recreate_signing_gate;
    let store = Store::open(&config.data_dir, open).map_err(|error| failed(error.into()))?;
    store.set_reserve(config.min_free_bytes);
    let store = Arc::new(store);
    let charter = CharterBook::open(store.clone(), &config.federation_id)
        .map_err(|error| CliError::new(Exit::Integrity, error))?;
    let charter = Arc::new(charter);
    subjects.follow(charter.history().subject_epochs()).map_err(|error| usage(error.into()))?;
    // What was appended before a crash and not folded yet.
    crate::publisher::fold_all(&store, &charter).map_err(|error| failed(error.into()))?;
    let federation_tls = FederationTls::load(
        config.member.clone(),
        config.federation.tls.clone(),
        charter.clone(),
        Connections::new(),
    )
    .map_err(|error| usage(error.into()))?;
    let local_tls = LocalTls::load(config.local.clone(), Connections::new())
        .map_err(|error| usage(error.into()))?;
    Ok(Ground { config, keys, store, charter, subjects, policy, federation_tls, local_tls })
}

async fn run(
    ground: Ground,
    federation: TcpListener,
    local: TcpListener,
    sight_listener: Option<TcpListener>,
    stop: CancellationToken,
) -> Result<Running, CliError> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| CliError::new(Exit::Failed, error);
    let Ground { config, keys, store, charter, subjects, policy, federation_tls, local_tls } =
        ground;
    let tasks = TaskTracker::new();
    let origin = Origin::new(&config.member, &config.federation_id, 1);
    let own_log = origin.log_id();
    let hub = Arc::new(Hub::new());
    let peers = Arc::new(PeerTable::new());

    let mut instance_id = [0; 16];
    getrandom::fill(&mut instance_id)
        .map_err(|_| CliError::new(Exit::Failed, "the operating system gives no random bytes"))?;
    let replication = Replication::new(ReplicationContext {
        store: store.clone(),
        charter: charter.clone(),
        hub: hub.clone(),
        peers: peers.clone(),
        subjects: subjects.clone(),
        own: OwnIdentity {
            member: config.member.clone(),
            log: own_log,
            instance_id,
            sealing: SealingKey::new(sealing_key_id(&charter, &config.member), &keys.sealing),
        },
        settings: ReplicationSettings {
            // Others may ask for knowledge as fresh as we do.
            heads_interval: ReplicationSettings::default()
                .heads_interval
                .min(config.coverage_max_age / 3),
            ..ReplicationSettings::default()
        },
        stop: stop.clone(),
    });
    let context = PublisherContext {
        member: config.member.clone(),
        federation_id: config.federation_id,
        origin,
        keys: keys.clone(),
        store: store.clone(),
        charter: charter.clone(),
        hub: hub.clone(),
        own_log: replication.own_log().clone(),
        shown: replication.shown().clone(),
        world: World::of_this_machine(),
    };
    let (publisher, publisher_thread) =
        publisher::spawn(context, tokio::runtime::Handle::current())
            .map_err(|error| failed(error.into()))?;

    let asked = replication.own_log().clone();
    tasks.spawn(publisher::follow_own_log(asked, publisher.clone(), stop.clone()));
    let interval = config.federation.observation_interval;
    tasks.spawn(crate::witness::run(hub.clone(), publisher.clone(), interval, stop.clone()));
    let scrubbed = ScrubCounts::default();
    tasks.spawn(crate::scrub::run(ScrubContext {
        store: store.clone(),
        charter: charter.clone(),
        hub,
        counts: scrubbed.clone(),
        interval: config.scrub_interval,
        stop: stop.clone(),
    }));

    let outbox = Outbox::new(store.clone(), OutboxLimits::DEFAULT);
    let ingest = IngestContext {
        member: config.member.clone(),
        own_log,
        store: store.clone(),
        keys: keys.clone(),
        subjects: subjects.clone(),
        publisher: publisher.clone(),
        outbox: outbox.clone(),
        stop: stop.clone(),
    };
    let ingests = start_ingests(&config, &ingest, &tasks)?;
    // Also without an adapter: what one found that is not configured any more is signed all the same.
    tasks.spawn(ingest::sign_what_waits(ingest, charter.clone()));
    let ingests = Arc::new(ingests);

    let now_millis: crate::retrieval::NowMillis = Arc::new(crate::clock::unix_millis);
    let signer = Arc::new(ServiceSigner::new(
        config.member.clone(),
        config.federation_id,
        keys.service.clone(),
        charter.clone(),
    ));
    let again = ingests.clone();
    let owner = Owner::new(OwnerContext {
        signer: signer.clone(),
        store: store.clone(),
        charter: charter.clone(),
        policy: policy.clone(),
        sources: Arc::new(SourceSet::new(
            ingests.values().map(|ingest| ingest.adapter().clone()),
            Box::new(move |name| match again.get(name).cloned() {
                Some(ingest) => Box::pin(async move { ingest.look_again_and_wait().await }),
                None => Box::pin(std::future::ready(())),
            }),
        )),
        now_millis: now_millis.clone(),
    });
    tasks.spawn(owner.clone().run(stop.clone()));
    let channels = Arc::new(DialledChannels::new(
        federation_tls.clone(),
        charter.clone(),
        config.dial.clone(),
    ));
    let acknowledgements = Acknowledgements::new();
    let acknowledge = AcknowledgeContext {
        member: config.member.clone(),
        store: store.clone(),
        channels: channels.clone(),
        owner: owner.clone(),
        acknowledgements: acknowledgements.clone(),
        peers: peers.clone(),
    };
    tasks.spawn(acknowledge::run(acknowledge, stop.clone()));
    let requester = Requester::new(RequesterContext {
        signer,
        store: store.clone(),
        charter: charter.clone(),
        channels,
        owner: owner.clone(),
        acknowledgements,
        now_millis: now_millis.clone(),
    });

    let reach = Arc::new(OwnReachReader::new(
        config.member.clone(),
        store.clone(),
        charter.clone(),
        peers.clone(),
    ));
    let sessions = TaskTracker::new();
    let federation_routes =
        Routes::new(FederationEndpoint::server(replication.clone(), sessions.clone()))
            .add_service(RetrievalServiceServer::new(RetrievalApi::new(owner.clone())));
    let sight = Sight::new(Sources {
        member: config.member.clone(),
        store: store.clone(),
        charter: charter.clone(),
        subjects: subjects.clone(),
        peers: peers.clone(),
        publisher: publisher.clone(),
        reach: reach.clone(),
        scrub: scrubbed,
        ingests: ingests.clone(),
        outbox: outbox.clone(),
        retrievals: [owner.counts().clone(), requester.counts().clone()],
        federation: federation_tls.clone(),
        local: local_tls.clone(),
    });
    let finder = Finder::new(LocateContext {
        member: config.member.clone(),
        store: store.clone(),
        charter: charter.clone(),
        peers,
        subjects: subjects.clone(),
        coverage_max_age: config.coverage_max_age,
    });
    let (mut local_routes, health) =
        crate::local::base_routes().map_err(|error| failed(error.into()))?;
    local_routes
        .add_service(RecordsServiceServer::new(RecordsApi::new(RecordsContext {
            finder: finder.clone(),
            requester,
            profile: profile_of(config.profile),
            now_millis,
        })))
        .add_service(LedgerServiceServer::new(LedgerApi::new(finder.clone(), reach.clone())))
        .add_service(AuditServiceServer::new(AuditApi::new(store.clone())))
        .add_service(AdminServiceServer::new(AdminApi::new(AdminContext {
            member: config.member.clone(),
            federation_id: config.federation_id,
            started_unix_seconds: crate::clock::unix_seconds(),
            finder,
            reach,
            store: store.clone(),
            charter: charter.clone(),
            subjects: subjects.clone(),
            outbox: outbox.clone(),
            operations: Arc::new(Assembled {
                store,
                publisher: publisher.clone(),
                own_log: replication.own_log().clone(),
                ingests,
                sight: sight.clone(),
                policy: policy.clone(),
            }),
        })));

    let addresses = (
        federation.local_addr().map_err(|error| failed(error.into()))?,
        local.local_addr().map_err(|error| failed(error.into()))?,
    );
    let sight_address = sight_listener.as_ref().and_then(|listener| listener.local_addr().ok());
    let listening = |door, max_connections| Listening {
        door,
        max_connections,
        unknown: Places::default(),
        deadlines: Deadlines::default(),
        grace_period: config.shutdown_grace_period,
        stop: stop.clone(),
    };
    let federation_door = Door::Federation(federation_tls.clone());
    tasks.spawn(serve(
        federation,
        federation_routes.into_axum_router(),
        listening(federation_door, config.federation.max_connections),
    ));
    tasks.spawn(serve(
        local,
        local_routes.routes().into_axum_router(),
        listening(Door::Local(local_tls.clone()), config.local.max_connections),
    ));
    tasks.spawn(watch_files(federation_tls.clone(), stop.clone()));
    tasks.spawn(watch_files(local_tls, stop.clone()));
    tasks.spawn(crate::policy::watch(policy, stop.clone()));
    tasks.spawn(sight.clone().warn_of_ends(stop.clone()));
    if let Some(listener) = sight_listener {
        tasks.spawn(sight.clone().serve(listener, stop.clone()));
    }
    let followers = (federation_tls.clone(), subjects.clone());
    tasks.spawn(follow_charter(charter.clone(), followers, stop.clone()));
    let dial = TlsDial::new(federation_tls, charter, config.dial.clone());
    // It ends by itself, and says goodbye to its peers first.
    tasks.spawn(async move { replication.run(dial).await });
    tasks.close();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    sight.set_ready();
    tracing::info!(
        member = %config.member, federation = %addresses.0, local = %addresses.1,
        sight = sight_address.map(tracing::field::display), "ready"
    );
    let (federation, local) = addresses;
    let sight = sight_address;
    Ok(Running { federation, local, sight, tasks, publisher: publisher_thread })
}

/// What status shows and only the assembled gateway knows.
struct Assembled {
    store: Arc<Store>,
    publisher: PublisherHandle,
    own_log: Arc<OwnLogCheck>,
    ingests: Arc<Ingests>,
    policy: Arc<PolicyBook>,
    sight: Arc<Sight>,
}

impl Operations for Assembled {
    fn signing(&self) -> SigningState {
        match self.store.signing_stop() {
            Some(stop) if stop.is_passing() => SigningState::Behind(stop),
            Some(stop) => SigningState::Stopped(stop),
            None => self.publisher.state().borrow().clone(),
        }
    }

    fn override_quorum(&self) -> Result<(), ResumeError> {
        self.own_log.override_quorum(&self.store)
    }

    fn policy(&self) -> PolicyState {
        self.policy.state()
    }

    fn adapters(&self) -> Vec<AdapterState> {
        let state = |(name, ingest): (&String, &ingest::IngestHandle)| AdapterState {
            name: name.clone(),
            trouble: ingest.trouble(),
            scanned: ingest.scanned(),
        };
        let mut adapters: Vec<AdapterState> = self.ingests.iter().map(state).collect();
        adapters.sort_by(|a, b| a.name.cmp(&b.name));
        adapters
    }

    fn ends(&self) -> Vec<End> {
        self.sight.ends()
    }

    fn last_scrub(&self) -> Option<LastScrub> {
        self.sight.last_scrub()
    }
}

fn profile_of(profile: Option<config::Profile>) -> Profile {
    match profile {
        Some(config::Profile::Dk) => Profile::Dk,
        None => Profile::None,
    }
}

/// Our sealing key's ordinal. 0 when the charter does not list it: then nothing is sealed to us.
fn sealing_key_id(charter: &CharterBook, member: &MemberName) -> u32 {
    let history = charter.history();
    let entry = history.current().member(member);
    let key = entry
        .into_iter()
        .flat_map(|entry| &entry.keys)
        .rfind(|key| key.purpose == KeyPurpose::Sealing);
    key.map_or(0, |key| key.key_id)
}

/// Takes every change of the charter into the TLS material: connections of peers whose trust changed are closed; and
/// into the subject keys that are used.
async fn follow_charter(
    charter: Arc<CharterBook>,
    (tls, subjects): (Arc<FederationTls>, Arc<SubjectKeys>),
    stop: CancellationToken,
) {
    let mut changes = charter.watch();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        let (tls, subjects, history) = (tls.clone(), subjects.clone(), charter.history());
        let follow = move || {
            let closed = tls.reload();
            if let Err(error) = subjects.follow(history.subject_epochs()) {
                let error = crate::status::chain(&error);
                tracing::error!(error, "a subject key file is unusable");
            }
            closed
        };
        match tokio::task::spawn_blocking(follow).await {
            Ok(Ok(closed)) => tracing::info!(closed, "trust follows the charter"),
            Ok(Err(error)) => {
                let error = crate::status::chain(&error);
                tracing::error!(
                    error,
                    "TLS files are unusable: trust follows the charter all the same"
                );
            }
            Err(error) => tracing::error!(%error, "trust does not follow the charter"),
        }
    }
}

fn start_ingests(
    config: &Config,
    context: &IngestContext,
    tasks: &TaskTracker,
) -> Result<Ingests, CliError> {
    let mut ingests = Ingests::new();
    for source in &config.documents {
        let profile = profile_of(source.profile);
        let systems = IdentifierSystems::from_list(&source.identifier_systems, profile)
            .map_err(|error| CliError::new(Exit::Usage, error))?;
        let mut settings = DocumentsSettings::new(&source.name, &source.folder, systems, profile);
        settings.settle = source.settle;
        settings.allow_emptied = source.allow_emptied;
        let adapter: Arc<dyn Adapter> = Arc::new(DocumentsAdapter::new(settings));
        let (handle, task) = ingest::spawn(context.clone(), adapter, source.poll_interval);
        tasks.spawn(async move {
            // A task that panicked has said so; the others go on.
            drop(task.await);
        });
        ingests.insert(source.name.clone(), handle);
    }
    Ok(ingests)
}
