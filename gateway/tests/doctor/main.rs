//! `sundbro doctor`: each step on the way to a peer, and each category of a gateway, is broken once; exactly that one is
//! named, with its cure and its exit code.

mod home;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use home::{Ended, Home, PEER, US, copy, serve_peer};
use prost::Message as _;
use sundbro_gateway::doctor::STEPS;
use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::ids::FederationId;
use sundbro_proto::federation::v1::Hello;
use sundbro_store::{EQUIVOCATION, Identity, LogState, OpenOptions, Store};
use support::{Ca, Leaf, Running, member};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

/// Where nobody listens.
async fn unused() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    format!("localhost:{}", listener.local_addr().expect("address").port())
}

async fn ask(home: &std::sync::Arc<Home>, arguments: &'static [&'static str]) -> Ended {
    let home = home.clone();
    tokio::task::spawn_blocking(move || home.run(arguments)).await.expect("no panic")
}

/// What the doctor says of each category, in order, and its exit code.
fn states(ended: &Ended) -> Vec<(String, String, String)> {
    let json: serde_json::Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let check = |it: &serde_json::Value| {
        if it["state"] == "failed" || it["state"] == "warning" {
            assert!(!text(&it["cure"]).is_empty(), "no cure: {it}");
        }
        (text(&it["category"]), text(&it["state"]), text(&it["says"]))
    };
    json["checks"].as_array().expect("a list").iter().map(check).collect()
}

/// Dials `at` as the peer; exactly `step` must be broken, and say `word`.
async fn breaks(home: &std::sync::Arc<Home>, at: &str, step: &str, word: &str, code: i32) {
    home.configure(at);
    let ended = ask(home, &["--json", "doctor", "peer", PEER]).await;
    let found = states(&ended);
    let steps: Vec<&str> = found.iter().map(|(category, ..)| category.as_str()).collect();
    assert_eq!(steps, STEPS, "{ended:?}");
    let broken = STEPS.iter().position(|it| *it == step).expect("a step");
    for (at, (category, state, says)) in found.iter().enumerate() {
        let expected = match at.cmp(&broken) {
            std::cmp::Ordering::Less => "ok",
            std::cmp::Ordering::Equal => "failed",
            std::cmp::Ordering::Greater => "not_looked_at",
        };
        assert_eq!(state, expected, "{step}: {category}: {says}");
    }
    let says = &found[broken].2;
    assert!(says.contains(word), "{step}: {says}");
    assert_eq!(ended.code, code, "{ended:?}");
}

fn at(peer: &Running) -> String {
    format!("localhost:{}", peer.address.port())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_on_the_way_to_a_peer_is_broken_once() {
    let home = tokio::task::spawn_blocking(Home::new).await.expect("no panic");
    let home = std::sync::Arc::new(home);
    let leaf = Leaf::of(PEER);
    let (good_tls, _) = home.peer_tls(PEER, home.issue(&leaf));
    let good = serve_peer(good_tls.clone(), home.hello(), None).await;

    home.configure(&at(&good));
    let ended = ask(&home, &["--json", "doctor", "peer", PEER]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(states(&ended).iter().all(|(_, state, _)| state == "ok"), "{ended:?}");

    breaks(&home, "gateway.kommune.invalid:7443", "name", "NAME_NOT_RESOLVED", 5).await;
    breaks(&home, &unused().await, "tcp", "CONNECTION_REFUSED", 5).await;
    let plain = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = plain.local_addr().expect("address").port();
    let talks_http = tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    breaks(&home, &format!("localhost:{port}"), "tls", "PROTOCOL_MISMATCH", 5).await;
    talks_http.abort();

    other_certificates(&home, &leaf).await;

    // What the peer says, and when.
    let late =
        serve_peer(good_tls.clone(), home.hello(), Some("Thu, 01 Jan 2026 00:00:00 GMT")).await;
    breaks(&home, &at(&late), "clock", "REQUEST_NOT_FRESH", 1).await;
    let newer = Hello { protocol_min: 99, protocol_max: 99, ..home.hello() };
    let newer = serve_peer(good_tls.clone(), newer, None).await;
    breaks(&home, &at(&newer), "protocol", "PROTOCOL_MISMATCH", 1).await;
    let elsewhere = Hello { federation_id: vec![9; 32].into(), ..home.hello() };
    let elsewhere = serve_peer(good_tls, elsewhere, None).await;
    breaks(&home, &at(&elsewhere), "protocol", "OTHER_FEDERATION", 1).await;

    // What our own data say of it.
    let data = home.path("data");
    let kept = home.path("kept");
    copy(&data, &kept);
    equivocates(&home, PEER);
    breaks(&home, &at(&good), "heads", EQUIVOCATION, 6).await;
    fs::remove_dir_all(&data).expect("removed");
    copy(&kept, &data);
    suspends(&home, PEER);
    breaks(&home, &at(&good), "membership", "MEMBER_NOT_ACTIVE", 4).await;

    let ended = ask(&home, &["doctor", "peer", "nobody.example"]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    for running in [good, late, newer, elsewhere] {
        running.stop().await;
    }
}

/// Certificates that are not the peer's, and a peer that does not take ours.
async fn other_certificates(home: &std::sync::Arc<Home>, leaf: &Leaf) {
    let stranger = Ca::new(&home.path(""), "stranger");
    let named = |file: &str| Leaf { file: file.to_owned(), ..leaf.clone() };
    let (tls, _) = home.peer_tls(PEER, stranger.issue(&named("stranger")));
    let running = serve_peer(tls, home.hello(), None).await;
    breaks(home, &at(&running), "chain", "PEER_CERTIFICATE_NOT_TRUSTED", 5).await;
    running.stop().await;

    let expired = Leaf { not_before_year: 2020, not_after_year: 2021, ..named("expired") };
    let (tls, _) = home.peer_tls(PEER, home.issue(&expired));
    let running = serve_peer(tls, home.hello(), None).await;
    breaks(home, &at(&running), "chain", "PEER_CERTIFICATE_EXPIRED", 5).await;
    running.stop().await;

    let (tls, _) = home.peer_tls(US, home.issue(&Leaf { file: "us".to_owned(), ..Leaf::of(US) }));
    let running = serve_peer(tls, home.hello(), None).await;
    breaks(home, &at(&running), "san", "PEER_IS_ANOTHER_MEMBER", 5).await;
    running.stop().await;

    let other_host = Leaf { dns: vec!["elsewhere.example".to_owned()], ..named("host") };
    let (tls, _) = home.peer_tls(PEER, home.issue(&other_host));
    let running = serve_peer(tls, home.hello(), None).await;
    breaks(home, &at(&running), "san", "PEER_NAME_MISMATCH", 5).await;
    running.stop().await;

    let (tls, book) = home.peer_tls(PEER, home.issue(&named("picky")));
    book.trust_nobody();
    tls.reload().expect("reloads");
    let running = serve_peer(tls, home.hello(), None).await;
    breaks(home, &at(&running), "own certificate", "OWN_CERTIFICATE_REFUSED", 5).await;
    running.stop().await;
}

fn open(home: &Home) -> Store {
    let federation_id = FederationId::from_hex(&home.federation).expect("an id");
    let own_log = Origin::new(&member(US), &federation_id, 1).log_id();
    let options = OpenOptions {
        identity: Identity { federation_id, own_log },
        gate: Some(home.path("signing.gate")),
        cache_bytes: 1 << 20,
        recreate_gate: false,
    };
    Store::open(&home.path("data"), options).expect("opens")
}

fn equivocates(home: &Home, name: &str) {
    let store = open(home);
    let federation = store.identity().federation_id;
    let log = Origin::new(&member(name), &federation, 1).log_id();
    let state = LogState::Stopped { position: 0, reason: EQUIVOCATION.to_owned() };
    assert!(store.mark_log(&log, &state).expect("marked"));
}

fn suspends(home: &Home, name: &str) {
    let bytes = fs::read(home.suspend(name)).expect("a charter");
    let charter = sundbro_proto::ledger::v1::Charter::decode(&bytes[..]).expect("a charter");
    open(home).put_charter(&charter).expect("stored");
}

/// Exactly `category` is broken, and says `word`.
fn is_sick(home: &Home, category: &str, word: &str, code: i32) {
    let ended = home.run(&["--json", "doctor"]);
    let failed: Vec<_> =
        states(&ended).into_iter().filter(|(_, state, _)| state == "failed").collect();
    assert!(!failed.is_empty(), "{category}: {ended:?}");
    assert!(failed.iter().all(|(found, ..)| found == category), "{category}: {failed:?}");
    assert!(failed.iter().any(|(.., says)| says.contains(word)), "{category}: {failed:?}");
    assert_eq!(ended.code, code, "{category}: {ended:?}");
}

/// `category` warns and says `word`; nothing is broken.
fn worries(ended: &Ended, category: &str, word: &str) {
    let found = states(ended);
    let warned = found
        .iter()
        .any(|(of, state, says)| of == category && state == "warning" && says.contains(word));
    assert!(warned, "{category}: {ended:?}");
    assert!(found.iter().all(|(_, state, _)| state != "failed"), "{ended:?}");
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_category_of_a_gateway_is_broken_once() {
    let home = tokio::task::spawn_blocking(Home::new).await.expect("no panic");
    let (tls, _) = home.peer_tls(PEER, home.issue(&Leaf::of(PEER)));
    let peer = serve_peer(tls, home.hello(), None).await;
    let port = at(&peer);
    tokio::task::spawn_blocking(move || {
        home.configure(&port);
        let ended = home.run(&["--json", "doctor"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        let found = states(&ended);
        let mut categories: Vec<_> = found.iter().map(|(category, ..)| category.as_str()).collect();
        categories.dedup();
        let all = [
            "host",
            "clock",
            "config",
            "keys",
            "tls",
            "membership",
            "storage",
            "adapters",
            "peers",
            "log",
        ];
        assert_eq!(categories, all);
        assert!(home.run(&["doctor"]).stdout.starts_with("host\n  ok   "), "for people");

        let ended = home.run_with_open_files(1_000, &["--json", "doctor"]);
        worries(&ended, "host", "at most 1000 files");
        assert!(!home.run(&["--json", "doctor"]).stdout.contains("the clock went back"));
        let file = fs::File::options().write(true).open(home.path("data/index.redb"));
        let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
        file.and_then(|file| file.set_modified(tomorrow)).expect("a file from tomorrow");
        worries(&home.run(&["--json", "doctor"]), "clock", "the clock went back");
        let file = fs::File::options().write(true).open(home.path("data/index.redb"));
        file.and_then(|file| file.set_modified(SystemTime::now())).expect("of today");

        let config = fs::read_to_string(home.path("gateway.toml")).expect("read");
        fs::write(home.path("gateway.toml"), format!("colour = 1\n{config}")).expect("written");
        is_sick(&home, "config", "colour", 2);
        fs::write(home.path("gateway.toml"), config).expect("written");

        let key = home.path(&format!("{US}-keys/service.pem"));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("mode");
        is_sick(&home, "keys", "service.pem", 2);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("mode");

        // Of another member: the certificate does not say who we are.
        let certificate = home.path("federation.pem");
        let ours = fs::read(&certificate).expect("read");
        fs::copy(home.path("local.pem"), &certificate).expect("copied");
        let ended = home.run(&["--json", "doctor"]);
        assert!(
            states(&ended)
                .iter()
                .any(|(category, state, _)| category == "tls" && state == "failed")
        );
        assert_eq!(ended.code, 2, "{ended:?}");
        fs::write(&certificate, ours).expect("written");

        fs::rename(home.path("documents"), home.path("away")).expect("moved");
        is_sick(&home, "adapters", "cannot be read", 5);
        fs::write(home.path("documents"), "a file").expect("written");
        is_sick(&home, "adapters", "cannot be read", 5);
        fs::remove_file(home.path("documents")).expect("removed");
        fs::rename(home.path("away"), home.path("documents")).expect("moved");

        let gate = fs::read(home.path("signing.gate")).expect("read");
        fs::write(home.path("signing.gate"), &gate[1..]).expect("written");
        is_sick(&home, "storage", "damaged", 6);
        fs::write(home.path("signing.gate"), gate).expect("written");

        let config = fs::read_to_string(home.path("gateway.toml")).expect("read");
        home.configure("localhost:1");
        is_sick(&home, "peers", "CONNECTION_REFUSED", 5);
        fs::write(home.path("gateway.toml"), config).expect("written");

        let kept = home.path("kept");
        copy(&home.path("data"), &kept);
        equivocates(&home, US);
        is_sick(&home, "log", EQUIVOCATION, 6);
        fs::remove_dir_all(home.path("data")).expect("removed");
        copy(&kept, &home.path("data"));
        suspends(&home, US);
        // Nobody serves us then, so no peer is well either.
        let ended = home.run(&["--json", "doctor"]);
        let first =
            states(&ended).into_iter().find(|(_, state, _)| state == "failed").expect("one");
        assert_eq!((first.0.as_str(), ended.code), ("membership", 4), "{ended:?}");
        assert!(first.2.contains("Suspended"), "{first:?}");
    })
    .await
    .expect("no panic");
    peer.stop().await;
}
