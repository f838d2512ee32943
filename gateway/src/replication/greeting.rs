//! What two gateways settle in their first frames: who speaks, for which federation, in which protocol.
//!
//! Pure: a Hello comes in, a decision goes out.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use sundbro_ledger::ids::{FederationId, MemberName};
use sundbro_proto::federation::v1::Hello;
use sundbro_store::Start;

use super::reasons;
use crate::subject::keys::MAX_EPOCHS;

/// Lowest protocol version that this gateway speaks.
pub const PROTOCOL_MIN: u32 = 1;
/// Highest protocol version that this gateway speaks.
pub const PROTOCOL_MAX: u32 = 1;
/// The versions that this gateway speaks.
pub fn spoken() -> RangeInclusive<u32> {
    #[cfg(feature = "protocol-2")]
    if let Some(named) = super::protocol_2::spoken() {
        return named;
    }
    PROTOCOL_MIN..=PROTOCOL_MAX
}

/// Longest software name in a Hello, in bytes.
const MAX_SOFTWARE_BYTES: usize = 64;

/// What this gateway calls itself in its Hello.
pub const SOFTWARE: &str = concat!("sundbro/", env!("CARGO_PKG_VERSION"));

/// A peer's Hello, parsed.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// Protocol version that the stream uses.
    pub protocol: u32,
    /// Software and version, printable.
    pub software: String,
    /// How often the peer's gateway was started.
    pub incarnation: u32,
    /// Tells clones of one machine apart.
    pub instance_id: [u8; 16],
    /// Newest charter version that it follows.
    pub charter_version: u64,
    /// Subject epochs whose key it holds.
    pub subject_epochs: BTreeSet<u32>,
}

impl Greeting {
    /// Which start of the peer's gateway speaks.
    pub fn start(&self) -> Start {
        Start { incarnation: self.incarnation, instance_id: self.instance_id }
    }
}

/// Why a Hello ends the stream; becomes the Problem that the peer's operator reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GreetingError {
    /// The ranges do not meet.
    #[error(
        "{behind} must upgrade: it speaks protocol {behind_range}, {ahead} speaks {ahead_range}; \
         no version is common"
    )]
    NoCommonProtocol {
        /// Who is behind.
        behind: MemberName,
        /// `min` to `max` of the one behind.
        behind_range: String,
        /// The other one.
        ahead: MemberName,
        /// `min` to `max` of the other one.
        ahead_range: String,
    },
    /// The certificate names somebody else.
    #[error(
        "Hello is not from the member that the certificate names, {0}: correct the gateway's configuration"
    )]
    OtherMember(MemberName),
    /// Another federation.
    #[error(
        "Hello is from another federation than {0}: check the charter that each side was given"
    )]
    OtherFederation(FederationId),
    /// A field breaks its rule.
    #[error("Hello is malformed: {0}")]
    Malformed(&'static str),
}

impl GreetingError {
    /// The constant that the Problem carries.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCommonProtocol { .. } => reasons::PROTOCOL_MISMATCH,
            Self::OtherMember(_) => reasons::OTHER_MEMBER,
            Self::OtherFederation(_) => reasons::OTHER_FEDERATION,
            Self::Malformed(_) => reasons::MALFORMED_FRAME,
        }
    }
}

/// Judges a peer's Hello, by the versions that we said we speak.
///
/// # Errors
/// `GreetingError`; the stream ends with it.
pub fn judge(
    hello: &Hello,
    own: &MemberName,
    peer: &MemberName,
    federation: &FederationId,
    spoken: &RangeInclusive<u32>,
) -> Result<Greeting, GreetingError> {
    // First of all: what else a Hello of another protocol means, we cannot know.
    let protocol = settle_protocol(hello, own, peer, spoken)?;
    if hello.member != peer.as_str() {
        return Err(GreetingError::OtherMember(peer.clone()));
    }
    if hello.federation_id != federation.as_bytes()[..] {
        return Err(GreetingError::OtherFederation(*federation));
    }
    let instance_id = <[u8; 16]>::try_from(&hello.instance_id[..])
        .map_err(|_| GreetingError::Malformed("instance_id is not 16 bytes"))?;
    let printable = |byte: u8| (b' '..=b'~').contains(&byte);
    if hello.software.len() > MAX_SOFTWARE_BYTES || !hello.software.bytes().all(printable) {
        return Err(GreetingError::Malformed("software is not 64 printable characters at most"));
    }
    if hello.subject_epochs.len() > MAX_EPOCHS {
        return Err(GreetingError::Malformed("more than 1,024 subject epochs"));
    }
    Ok(Greeting {
        protocol,
        software: hello.software.clone(),
        incarnation: hello.incarnation,
        instance_id,
        charter_version: hello.charter_version,
        subject_epochs: hello.subject_epochs.iter().copied().collect(),
    })
}

fn settle_protocol(
    hello: &Hello,
    own: &MemberName,
    peer: &MemberName,
    spoken: &RangeInclusive<u32>,
) -> Result<u32, GreetingError> {
    let (min, max) = (hello.protocol_min, hello.protocol_max);
    if min == 0 || min > max {
        return Err(GreetingError::Malformed("the range of protocol versions is empty"));
    }
    let (own_min, own_max) = (*spoken.start(), *spoken.end());
    if min <= own_max && max >= own_min {
        return Ok(max.min(own_max));
    }
    let ours = format!("{own_min} to {own_max}");
    let theirs = format!("{min} to {max}");
    let we_are_behind = own_max < min;
    let (behind, behind_range, ahead, ahead_range) = if we_are_behind {
        (own.clone(), ours, peer.clone(), theirs)
    } else {
        (peer.clone(), theirs, own.clone(), ours)
    };
    Err(GreetingError::NoCommonProtocol { behind, behind_range, ahead, ahead_range })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> MemberName {
        MemberName::new(text).expect("name")
    }

    fn hello() -> Hello {
        Hello {
            protocol_min: 1,
            protocol_max: 3,
            software: "sundbro/9".into(),
            member: "gp.example".into(),
            federation_id: vec![1; 32].into(),
            incarnation: 4,
            instance_id: vec![2; 16].into(),
            charter_version: 5,
            subject_epochs: vec![1, 2],
        }
    }

    fn judged(hello: &Hello) -> Result<Greeting, GreetingError> {
        speaking(1..=1, hello)
    }

    fn speaking(spoken: RangeInclusive<u32>, hello: &Hello) -> Result<Greeting, GreetingError> {
        let (own, peer) = (name("lab.example"), name("gp.example"));
        judge(hello, &own, &peer, &FederationId::new([1; 32]), &spoken)
    }

    #[test]
    fn settles_on_the_lower_of_the_two_highest_versions() {
        let greeting = judged(&hello()).expect("fits");
        assert_eq!((greeting.protocol, greeting.charter_version), (1, 5));
        let settled = |spoken| speaking(spoken, &hello()).expect("fits").protocol;
        assert_eq!((settled(1..=2), settled(2..=9), settled(3..=3)), (2, 3, 3));
    }

    #[test]
    fn says_who_must_upgrade() {
        let newer = Hello { protocol_min: 2, ..hello() };
        let error = judged(&newer).expect_err("no common version");
        assert_eq!(error.reason(), "PROTOCOL_MISMATCH");
        assert!(error.to_string().starts_with("lab.example must upgrade"), "{error}");
        let error = speaking(4..=5, &hello()).expect_err("no common version");
        assert!(error.to_string().starts_with("gp.example must upgrade"), "{error}");
    }

    #[test]
    fn refuses_others_and_what_is_malformed() {
        let check = |hello: Hello, reason: &str| {
            assert_eq!(judged(&hello).map(|_| ()).map_err(|error| error.reason()), Err(reason));
        };
        check(Hello { member: "other.example".into(), ..hello() }, "OTHER_MEMBER");
        check(Hello { federation_id: vec![9; 32].into(), ..hello() }, "OTHER_FEDERATION");
        check(Hello { instance_id: vec![9; 15].into(), ..hello() }, "MALFORMED_FRAME");
        check(Hello { software: "a\nb".into(), ..hello() }, "MALFORMED_FRAME");
        check(Hello { subject_epochs: vec![1; 1025], ..hello() }, "MALFORMED_FRAME");
        check(Hello { protocol_min: 0, ..hello() }, "MALFORMED_FRAME");
        check(Hello { protocol_min: 4, ..hello() }, "MALFORMED_FRAME");
    }

    #[test]
    fn takes_as_much_as_the_limits_allow_and_no_more() {
        let check =
            |hello: Hello, fits: bool| assert_eq!(judged(&hello).is_ok(), fits, "{hello:?}");
        let software = |bytes| Hello { software: "s".repeat(bytes), ..hello() };
        check(software(0), true);
        check(software(MAX_SOFTWARE_BYTES), true);
        check(software(MAX_SOFTWARE_BYTES + 1), false);
        check(software(MAX_SOFTWARE_BYTES + 2), false);
        let epochs = |count| Hello { subject_epochs: (0..count).collect(), ..hello() };
        let most = u32::try_from(MAX_EPOCHS).expect("small");
        check(epochs(0), true);
        check(epochs(most), true);
        check(epochs(most + 1), false);
        // A range of one version, which is what each gateway offers today.
        check(Hello { protocol_max: 1, ..hello() }, true);
    }
}
