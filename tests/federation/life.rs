//! What members do together when nobody fails: publish, find, fetch, join late, be suspended, lose the line and heal.

mod harness;

use std::time::Duration;

use harness::{Federation, Journal, Line, Relay, eventually};

/// What is promised after the cause of a break is gone.
const HEALED_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn what_one_publishes_everybody_locates_and_may_fetch() {
    let federation = Federation::running(3);
    let mut journals = Vec::new();
    for member in &federation.members {
        let mut journal = Journal::of(member);
        let documents: Vec<_> = (0..6).map(|_| journal.write(member)).collect();
        member.await_registered(&documents);
        assert_eq!(journal.note(member), 6);
        journals.push(journal);
    }
    let heads = federation.await_equal();
    assert!(heads.logs.values().all(|(size, _)| *size == 6), "{heads:?}");
    for (owner, journal) in journals.iter().enumerate() {
        journal.is_whole_at(&federation.members[(owner + 1) % 3]);
    }

    // A changed document is the next version, and the bytes that come are the new ones.
    let [hospital, gp, municipality] = &federation.members[..] else { panic!("three") };
    let first = hospital.documents().join("visit-00000.json");
    let before = std::fs::read_to_string(&first).expect("a bundle");
    std::fs::write(&first, before.replace("normal", "raised")).expect("written");
    let located = municipality.await_located("the new version is seen", |it| {
        it.pointers.iter().any(|pointer| pointer.version == 2)
    });
    assert_eq!(located.pointers.len(), 18, "a new version is no new record");
    let changed = located.pointers.iter().find(|pointer| pointer.version == 2).expect("seen");
    let got = municipality.retrieve(&changed.name);
    assert_eq!(got, std::fs::read(&first).expect("still there"));

    // Who has no reason gets what somebody gets who asks for nothing that exists.
    let (refused, out) = municipality.get(&changed.name, "clerk");
    assert_eq!((refused.code, out.exists()), (4, false), "{}", refused.stderr);

    // A removed document is withdrawn everywhere.
    std::fs::remove_file(first).expect("removed");
    gp.await_located("the withdrawn record is gone", |it| it.of(&hospital.name) == 5);
    federation.finish();
}

#[test]
fn what_one_publishes_the_others_witness() {
    let mut federation = Federation::found(3);
    federation.members.iter().for_each(harness::Member::observes);
    let author = 0;
    federation.at(author).start();
    // Alone it signs only because somebody answers for it.
    federation.members[author]
        .sundbro(&["log", "override", "--reason", "rehearsal", "--client", "operations.toml"])
        .good();
    let documents = federation.members[author].write_documents(2);
    federation.members[author].await_registered(&documents);
    let alone = federation.members[author].try_newest_state().expect("it answers");
    assert_eq!((alone.position, &*alone.state, alone.witness_quorum), (1, "accepted", 2));
    // One other holds it and vouches for it; two make the quorum.
    federation.at(1).start();
    let await_witnesses = |federation: &Federation, witnesses: u32| {
        eventually("others hold it and vouch for it", || {
            let it = federation.members[author].try_newest_state()?;
            (it.witnessed_by == witnesses && it.replicated_by == witnesses).then_some(it.state)
        })
    };
    assert_eq!(await_witnesses(&federation, 1), "replicated");
    federation.at(2).start();
    assert_eq!(await_witnesses(&federation, 2), "witnessed");
    federation.await_equal();
    federation.finish();
}

#[test]
fn a_late_joiner_has_everything_and_everybody_has_its_records() {
    let mut federation = Federation::running(3);
    let mut journal = Journal::of(&federation.members[0]);
    for _ in 0..8 {
        journal.write(&federation.members[0]);
    }
    eventually("acknowledged", || (journal.note(&federation.members[0]) == 8).then_some(()));
    federation.await_equal();
    // A founder is down while the newcomer is taken in: it learns of it when it is back.
    federation.at(1).stop();
    let late = federation.admit();
    let documents = federation.members[late].write_documents(3);
    federation.at(late).start();
    federation.members[late].await_registered(&documents);
    journal.is_whole_at(&federation.members[late]);
    federation.at(1).start();
    let heads = federation.await_equal();
    assert_eq!(heads.logs.len(), 4);
    for member in &federation.members {
        let located = member.locate();
        assert_eq!(located.coverage.charter_version, 2);
        assert_eq!(located.of(&federation.members[late].name), 3, "at {}", member.name);
    }
    federation.finish();
}

#[test]
fn a_suspended_member_is_out_and_its_log_still_spreads() {
    let mut federation = Federation::running(4);
    let (active, suspended, away) = (0, 2, 3);
    federation.await_equal();
    let name = federation.members[suspended].name.clone();

    // One member is away while the one that will be suspended publishes.
    federation.at(away).stop();
    let documents = federation.members[suspended].write_documents(4);
    federation.members[suspended].await_registered(&documents);
    federation.members[active].await_located("what it published is seen", |it| it.of(&name) == 4);
    let version = federation.suspend(suspended, active);

    for other in [0, 1] {
        federation.members[other].await_located(
            "its connections close; a new epoch begins",
            |it| {
                let coverage = &it.coverage;
                coverage.charter_version == version
                    && !coverage.of(&name).reachable
                    && coverage.tag_epochs_searched == [1, 2]
                    && coverage.tag_epochs_missing.is_empty()
            },
        );
    }
    // It learns of it, and signs nothing more; nor does it learn the new tags.
    let learnt = || {
        let status = federation.members[suspended].try_status()?;
        (status.coverage.charter_version == version).then_some(status)
    };
    let status = eventually("the suspended member follows the charter", learnt);
    assert_eq!(status.coverage.tag_epochs_searched, [1], "no key of the new epoch");
    federation.members[suspended].write_document();
    eventually("it says why it does not publish", || {
        federation.members[suspended].has_logged(&["MEMBER_NOT_ACTIVE"]).then_some(())
    });
    assert_eq!(federation.members[suspended].try_list().map(|it| it.len()), Some(4));
    let others = federation.members.iter().map(|member| member.name.clone());
    for other in others.filter(|other| *other != name) {
        assert!(!status.coverage.of(&other).reachable, "{other} still talks with it");
    }

    // Who was away gets its log from the others, though its own gateway is gone.
    federation.at(suspended).stop();
    federation.at(away).start();
    let located = federation.members[away].await_located("its log spreads", |it| it.of(&name) == 4);
    assert_eq!(located.coverage.of(&name).state, "LOG_STATE_FOLLOWED");
    // Records of the new epoch are found by those who hold its key, and by those who were away.
    let documents = federation.members[active].write_documents(2);
    federation.members[active].await_registered(&documents);
    let owner = federation.members[active].name.clone();
    federation.members[away].await_located("tags of the new epoch are found", |it| {
        it.of(&owner) == 2 && it.coverage.replication_complete
    });
    federation.await_equal();
    federation.finish();
}

/// Puts a relay into every line of one member, both ways, so that it can be taken off the network.
fn wire_up(federation: &Federation, alone: usize) -> Vec<Relay> {
    let mut relays = Vec::new();
    let mut dial = vec![String::from("[dial]"); federation.members.len()];
    for (index, other) in federation.members.iter().enumerate() {
        if index == alone {
            continue;
        }
        let isolated = &federation.members[alone];
        let (out, back) = (
            Relay::to(other.federation_address.clone()),
            Relay::to(isolated.federation_address.clone()),
        );
        dial[alone] += &format!("\n\"{}\" = \"{}\"", other.name, out.address());
        dial[index] += &format!("\n\"{}\" = \"{}\"", isolated.name, back.address());
        relays.extend([out, back]);
    }
    for (member, lines) in federation.members.iter().zip(&dial) {
        member.configure(lines);
    }
    relays
}

#[test]
fn a_partition_is_told_and_heals_by_itself() {
    let mut federation = Federation::found(3);
    let alone = 1;
    let relays = wire_up(&federation, alone);
    federation.members.iter_mut().for_each(harness::Member::start);
    federation.await_equal();
    // Silent at first, as when packets are lost; then refused, as when a firewall closes.
    for line in [Line::Held, Line::Cut] {
        relays.iter().for_each(|relay| relay.set(line));
        let names: Vec<String> = federation.members.iter().map(|it| it.name.clone()).collect();
        for (index, member) in federation.members.iter().enumerate() {
            member.await_located("coverage tells the partition", |it| {
                names.iter().enumerate().all(|(other, name)| {
                    let apart = other != index && (other == alone || index == alone);
                    other == index || it.coverage.of(name).reachable != apart
                })
            });
        }
        // The side that has a quorum goes on. Whoever is alone lets what comes wait, and says why: nobody could tell it
        // whether a later start of it signs elsewhere.
        let mut journals = Vec::new();
        let inside = federation.members[alone].size_of(&names[alone]);
        for index in [0, alone] {
            let member = &federation.members[index];
            let mut journal = Journal::of(member);
            let documents: Vec<_> = (0..5).map(|_| journal.write(member)).collect();
            if index == alone {
                eventually("it says what it waits for", || {
                    let status = member.try_status()?;
                    (status.signing_stopped_reason == "NO_QUORUM").then_some(())
                });
            } else {
                member.await_registered(&documents);
                journal.note(member);
            }
            journals.push((index, journal, documents));
        }
        assert_eq!(federation.members[alone].size_of(&names[alone]), inside, "{line:?}");
        assert_eq!(
            federation.members[2].size_of(&names[0]),
            federation.members[0].size_of(&names[0]),
            "the other two go on with each other"
        );

        relays.iter().for_each(|relay| relay.set(Line::Whole));
        federation.await_equal_within(HEALED_WITHIN);
        for (index, journal, documents) in &mut journals {
            federation.members[*index].await_registered(documents);
            journal.note(&federation.members[*index]);
        }
        federation.await_equal_within(HEALED_WITHIN);
        for (index, journal, _) in &journals {
            let elsewhere = if *index == alone { 2 } else { alone };
            for name in journal.names() {
                federation.members[elsewhere].retrieve(name);
            }
        }
    }
    federation.finish();
}
