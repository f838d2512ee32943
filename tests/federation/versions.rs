//! Gateways that speak several versions of the protocol, in one federation: whoever has one in common goes on with it, and
//! whoever has none is told who must upgrade, while everything still reaches everybody through the others.

mod harness;

use harness::{Federation, Member, eventually};

/// Whether the log of a gateway says on which version a session with a peer began.
fn settled(member: &Member, peer: &Member, protocol: u32) -> bool {
    let (peer, protocol) = (format!("\"{}\"", peer.name), format!("\"protocol\":{protocol}"));
    member.has_logged(&["a session began", &peer, &protocol])
}

/// Everybody publishes, and everybody has everything.
fn replicates_all_ways(federation: &Federation) {
    for member in &federation.members {
        member.await_registered(&member.write_documents(2));
    }
    federation.await_equal();
}

#[test]
fn who_speaks_an_older_version_goes_on_with_who_speaks_a_newer_one() {
    let mut federation = Federation::found(3);
    let (older, newer, newest) = (0, 1, 2);
    federation.at(newer).speaks("1-2");
    federation.at(newest).speaks("1-2");
    federation.members.iter_mut().for_each(Member::start);
    replicates_all_ways(&federation);
    let [a, b, c] = &federation.members[..] else { panic!("three") };
    for (one, other) in [(a, b), (b, a), (a, c), (c, a)] {
        assert!(settled(one, other, 1) && !settled(one, other, 2), "{} {}", one.name, other.name);
    }
    for (one, other) in [(b, c), (c, b)] {
        assert!(settled(one, other, 2) && !settled(one, other, 1), "{} {}", one.name, other.name);
        assert!(
            one.has_logged(&["protocol 2 was heard", &other.name]),
            "the frame of version 2 came"
        );
        assert!(!one.has_logged(&["protocol 2 was heard", &a.name]), "and from nobody else");
    }

    // The older one is upgraded, where it stands.
    federation.at(older).stop();
    federation.at(older).speaks("1-2");
    federation.at(older).start();
    replicates_all_ways(&federation);
    let [a, b, c] = &federation.members[..] else { panic!("three") };
    assert!(settled(a, b, 2) && settled(a, c, 2));
    federation.finish();
}

#[test]
fn with_no_version_in_common_it_is_said_who_must_upgrade() {
    let mut federation = Federation::found(3);
    let (older, both, newest) = (0, 1, 2);
    federation.at(both).speaks("1-2");
    federation.at(newest).speaks("2-2");
    federation.members.iter_mut().for_each(Member::start);
    let [a, _, c] = &federation.members[..] else { panic!("three") };
    let must = format!("{} must upgrade: it speaks protocol 1 to 1", a.name);
    for (one, other) in [(a, c), (c, a)] {
        eventually("the cause is told", || {
            let status = one.try_status()?;
            let log = status.coverage.of(&other.name);
            (!log.reachable && log.unreachable_cause == "PROTOCOL_MISMATCH").then_some(())
        });
        eventually("who must upgrade is told", || {
            one.has_logged(&["PROTOCOL_MISMATCH", &must]).then_some(())
        });
    }
    // Whoever speaks both brings to each what the other has.
    let documents: Vec<_> = [a, c].map(|member| (member, member.write_documents(2))).into();
    for (member, documents) in &documents {
        member.await_registered(documents);
    }
    for (here, there) in [(a, c), (c, a)] {
        let located = here.await_located("it comes through the one between", |it| {
            it.of(&there.name) == 2 && it.is_whole()
        });
        assert!(!located.coverage.replication_complete, "its own gateway was not heard");
    }

    federation.at(older).stop();
    federation.at(older).speaks("1-2");
    federation.at(older).start();
    federation.await_equal();
    federation.finish();
}
