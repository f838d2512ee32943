//! Laws of identifiers of people, and of every name that has one spelling.

use jiff::civil::{Date, date};
use sundbro_adapters::Profile;
use sundbro_adapters::dk::SYSTEMS;
use sundbro_adapters::profile::normalise_system;
use sundbro_gateway::config;
use sundbro_ledger::checkpoint::{Checkpoint, Origin};
use sundbro_ledger::ids::{FederationId, MemberName, RecordId};
use sundbro_ledger::member::Endpoint;
use sundbro_ledger::note::NoteVerifier;

use crate::Verdict;

const TODAY: Date = date(2026, 11, 23);

/// The first byte chooses a system of the Danish profile, or the text before the first newline is one; the rest is the
/// value.
pub fn identifier(bytes: &[u8]) -> Verdict {
    let Some((choice, rest)) = bytes.split_first() else { return Verdict::Refused };
    let Ok(text) = core::str::from_utf8(rest) else { return Verdict::Refused };
    let listed = SYSTEMS.get(usize::from(*choice) % (SYSTEMS.len() + 1));
    let (system, value) = match listed {
        Some(system) => (*system, text),
        None => text.split_once('\n').unwrap_or(("", text)),
    };
    let once = normalise_system(system);
    assert_eq!(normalise_system(&once), once, "a system has one spelling");
    let read = Profile::Dk.accept(system, value, TODAY);
    if let Ok(accepted) = &read {
        let (system, normal) = accepted.subject.expose_for_tag();
        let again = Profile::Dk.accept(system, normal, TODAY).expect("what is normal is accepted");
        assert_eq!(again.subject.expose_for_tag(), (system, normal), "normal is normal");
        assert_eq!(again.notes, accepted.notes, "the same number is odd in the same ways");
        if listed.is_some() {
            for spelling in [normal.to_lowercase(), normal.to_uppercase()] {
                let other = Profile::Dk.accept(system, &spelling, TODAY);
                let other = other.expect("another spelling of the same number");
                assert_eq!(other.subject, accepted.subject, "one person, one tag");
            }
        }
    }
    Verdict::of(&read)
}

/// Bytes as the text of every name that has one spelling.
pub fn name(bytes: &[u8]) -> Verdict {
    let Ok(text) = core::str::from_utf8(bytes) else { return Verdict::Refused };
    let verdicts = [
        same(text, MemberName::new(text).map(|it| it.to_string())),
        same(text, Endpoint::new(text).map(|it| it.to_string())),
        same(text, Origin::parse(text).map(|it| it.to_string())),
        same(text, RecordId::parse(text).map(|it| it.to_string())),
        same(text, FederationId::from_hex(text).map(|it| it.to_string())),
        same(text, NoteVerifier::parse_vkey(text).map(|it| it.vkey())),
        dialled(text),
        checkpoint_text(text),
    ];
    if verdicts.contains(&Verdict::Taken) { Verdict::Taken } else { Verdict::Refused }
}

fn same<E>(text: &str, read: Result<String, E>) -> Verdict {
    if let Ok(written) = &read {
        assert_eq!(written, text, "it has one spelling");
    }
    Verdict::of(&read)
}

/// What an operator may write has several spellings, and one meaning.
fn dialled(text: &str) -> Verdict {
    let Some(endpoint) = config::Endpoint::parse(text) else { return Verdict::Refused };
    assert_eq!(config::Endpoint::parse(&endpoint.to_string()), Some(endpoint));
    Verdict::Taken
}

fn checkpoint_text(text: &str) -> Verdict {
    let read = Checkpoint::parse_text(text);
    if let Ok(checkpoint) = &read {
        assert!(text.starts_with(&checkpoint.to_text()), "further lines may follow");
        assert_eq!(Checkpoint::parse_text(&checkpoint.to_text()).as_ref(), Ok(checkpoint));
    }
    Verdict::of(&read)
}
