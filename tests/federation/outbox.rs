//! What a member finds while it is alone: kept over kills and losses at the source, and signed once when others are back.

mod harness;

use std::fs;

use harness::{Federation, Member, eventually, holds_within};

/// The windows between two things that become durable one after the other, and before anything is sent.
const WINDOWS: [&str; 3] = ["payload_ledger", "ledger_gate", "gate_send"];
/// How long a window may take to be reached.
const HIT_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

/// Waits until this much waits to be signed.
fn await_waiting(member: &Member, wanted: u64) {
    let mut last = None;
    let done = holds_within(HIT_WITHIN, || {
        last = member.try_status().map(|status| status.outbox);
        last.as_ref().is_some_and(|outbox| outbox.waiting == wanted)
    });
    assert!(done, "{wanted} are to wait, not {last:?}:\n{}", member.last_lines());
}

fn await_size(member: &Member, of: &str, wanted: u64) {
    let mut last = None;
    let done = holds_within(HIT_WITHIN, || {
        last = member.try_heads().and_then(|heads| heads.logs.get(of).map(|(size, _)| *size));
        last == Some(wanted)
    });
    assert!(
        done,
        "{} is to hold {wanted} of {of}, not {last:?}:\n{}",
        member.name,
        member.last_lines()
    );
}

#[test]
fn what_is_found_alone_is_signed_in_order_whatever_becomes_of_its_source() {
    let mut federation = Federation::running(3);
    let alone = 0;
    let name = federation.members[alone].name.clone();
    let before = federation.members[alone].write_documents(3);
    federation.members[alone].await_registered(&before);
    federation.await_equal();
    federation.at(1).stop();
    federation.at(2).stop();

    let member = &federation.members[alone];
    let mut wrote = Vec::new();
    for waiting in 1..=4 {
        wrote.push(member.write_document());
        await_waiting(member, waiting);
    }
    let status = member.status();
    assert_eq!(status.signing_stopped_reason, "NO_QUORUM");
    assert!(status.outbox.since_unix_seconds.is_some());
    let told = member.sundbro(&["status", "--client", "operations.toml"]).good().stdout;
    assert!(told.contains("outbox: 4 found and not signed yet since "), "{told}");
    // One is changed, one removed, and one that is registered is removed too.
    let folder = member.documents();
    let changed = wrote.iter().find(|it| it.file.ends_with(".json")).expect("a bundle").clone();
    let text = fs::read_to_string(folder.join(&changed.file)).expect("a bundle");
    fs::write(folder.join(&changed.file), text.replace("normal", "raised")).expect("written");
    await_waiting(member, 5);
    let gone = wrote.iter().find(|it| **it != changed).expect("another").clone();
    gone.remove(&folder);
    await_waiting(member, 6);
    before[0].remove(&folder);
    await_waiting(member, 7);
    assert_eq!(member.size_of(&name), 3, "nothing is signed");

    // Killed, and one more is removed while nothing looks.
    federation.at(alone).kill();
    let unseen = wrote.iter().find(|it| **it != changed && **it != gone).expect("a third").clone();
    unseen.remove(&folder);
    federation.at(alone).start();
    await_waiting(&federation.members[alone], 8);
    federation.at(alone).kill();
    federation.at(1).start();
    federation.at(2).start();
    federation.at(alone).start();
    await_waiting(&federation.members[alone], 0);

    let heads = federation.await_equal();
    assert_eq!(heads.logs[&name].0, 11, "each is one entry");
    let located = federation.members[1]
        .await_located("what is there is seen", |it| it.of(&name) == 4 && it.is_whole());
    let own: Vec<_> = located.pointers.iter().filter(|it| it.custodian == name).collect();
    let of = |digest: &str| own.iter().find(|pointer| pointer.digest() == digest).copied();
    let raised = fs::read(folder.join(&changed.file)).expect("still there");
    let raised = of(&hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&raised))).expect("seen");
    assert_eq!((raised.version, raised.position), (2, 7), "after the four, before the removals");
    for withdrawn in [&gone, &unseen, &before[0]] {
        assert!(of(&withdrawn.digest()).is_none(), "{} is withdrawn", withdrawn.file);
    }
    for there in
        wrote.iter().filter(|it| ![&changed, &gone, &unseen].contains(it)).chain(&before[1..])
    {
        let pointer = of(&there.digest()).expect("registered");
        assert_eq!(pointer.version, 1);
        assert_eq!(federation.members[2].retrieve(&pointer.name), there.content);
    }
    federation.finish();
}

/// Killed wherever the signing of what waits has got to, with everything gone at the source.
#[test]
fn what_waits_is_signed_once_though_its_signing_is_killed() {
    let mut federation = Federation::running(3);
    let alone = 0;
    let name = federation.members[alone].name.clone();
    let mut size = 0;
    for (round, point) in (1..).zip(WINDOWS) {
        federation.at(1).stop();
        federation.at(2).stop();
        let member = &federation.members[alone];
        let documents = member.write_documents(5);
        await_waiting(member, 5);
        federation.at(alone).kill();
        let folder = federation.members[alone].documents();
        documents.iter().for_each(|document| document.remove(&folder));
        federation.at(1).start();
        federation.at(2).start();
        let reached = federation.at(alone).start_stopping_at(point, 0);
        eventually("the window is reached", || reached.exists().then_some(()));
        federation.at(alone).kill();
        federation.at(alone).start();
        // Five registrations and, once it is seen that they are gone, five withdrawals.
        size += 10;
        await_size(&federation.members[alone], &name, size);
        await_waiting(&federation.members[alone], 0);
        println!("round {round}: killed at {point}");
    }
    let heads = federation.await_equal();
    assert_eq!(heads.logs[&name].0, size);
    assert_eq!(federation.members[1].locate().of(&name), 0, "all are withdrawn");
    federation.members[alone].verifies();
    federation.finish();
}
