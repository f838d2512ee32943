//! Names and digests as types, parsed once at the edge.
//!
//! `Display` is whole, `Debug` is short (`log:9f3a41c2`), so that a log line stays readable and a message stays exact.

use core::fmt;

/// Length of every digest, log id, tag value and key in bytes.
pub const DIGEST_LEN: usize = 32;

/// A length or text that does not fit the type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct IdError {
    what: &'static str,
    problem: &'static str,
}

impl IdError {
    pub(crate) fn new(what: &'static str, problem: &'static str) -> Self {
        Self { what, problem }
    }
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $short:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; DIGEST_LEN]);

        impl $name {
            /// From its 32 bytes.
            pub const fn new(bytes: [u8; DIGEST_LEN]) -> Self {
                Self(bytes)
            }

            /// Its 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; DIGEST_LEN] {
                &self.0
            }

            /// From 64 lower-case hexadecimal digits.
            ///
            /// # Errors
            /// Fails on another length, another digit, or upper case.
            pub fn from_hex(text: &str) -> Result<Self, IdError> {
                if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    return Err(IdError::new($short, "is not lower-case hexadecimal"));
                }
                let mut bytes = [0; DIGEST_LEN];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| IdError::new($short, "is not 64 hexadecimal digits"))?;
                Ok(Self(bytes))
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdError;

            fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
                bytes.try_into().map(Self).map_err(|_| IdError::new($short, "is not 32 bytes"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($short, ":{}"), hex::encode(&self.0[..4]))
            }
        }
    };
}

digest!(
    /// Names a log: SHA-256 of its origin.
    LogId,
    "log"
);
digest!(
    /// Leaf hash of an entry: SHA-256(00 ‖ entry), RFC 6962 §2.1. Names a transaction.
    LeafHash,
    "tx"
);
digest!(
    /// Hash of any node of a Merkle tree, leaves included (RFC 6962 §2.1).
    NodeHash,
    "node"
);
digest!(
    /// Root hash of a Merkle tree (RFC 6962 §2.1). The root of no leaves is SHA-256 of nothing.
    RootHash,
    "root"
);
digest!(
    /// Names a federation: digest of version 1 of its charter.
    FederationId,
    "federation"
);
digest!(
    /// Digest of a charter head: SHA-256 of its bytes.
    CharterDigest,
    "charter"
);
digest!(
    /// Commitment to a blob: of a payload or of a detail, which differ in their first bytes.
    Commitment,
    "blob"
);
digest!(
    /// SHA-256 of a record's content.
    ContentDigest,
    "content"
);
digest!(
    /// SHA-256 of a signed retrieval message.
    MessageDigest,
    "message"
);
digest!(
    /// Digest of evidence: SHA-256 of `"sundbro/v1/evidence\n"` and its bytes.
    EvidenceDigest,
    "evidence"
);

impl FederationId {
    /// 32 zero bytes: what version 1 of a charter and the cards of its founders are signed under, nothing else.
    pub const FOUNDING: Self = Self([0; DIGEST_LEN]);
}

impl LeafHash {
    /// What the entry at position 0 of every log epoch follows.
    pub const NONE: Self = Self([0; DIGEST_LEN]);
}

impl From<LeafHash> for NodeHash {
    fn from(leaf: LeafHash) -> Self {
        Self(leaf.0)
    }
}

impl From<NodeHash> for RootHash {
    fn from(node: NodeHash) -> Self {
        Self(node.0)
    }
}

impl From<RootHash> for NodeHash {
    fn from(root: RootHash) -> Self {
        Self(root.0)
    }
}

/// Longest member name in bytes: leaves room for the origin of a log in a note.
pub const MAX_MEMBER_NAME_LEN: usize = 200;

/// A member's name: a DNS name in lower case. An identity, not an address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberName(String);

impl MemberName {
    /// Parses a name: labels of letters, digits and inner hyphens, joined by dots, at least two labels.
    ///
    /// # Errors
    /// Fails when a label is empty, longer than 63 bytes or holds another character, or the name is too long.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let wrong = |problem| Err(IdError::new("member name", problem));
        if text.len() > MAX_MEMBER_NAME_LEN {
            return wrong("is longer than 200 bytes");
        }
        if !text.contains('.') {
            return wrong("has no dot: use a domain name of the organisation");
        }
        for label in text.split('.') {
            if label.is_empty() || label.len() > 63 {
                return wrong("has a label that is empty or longer than 63 bytes");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return wrong("has a label that starts or ends with a hyphen");
            }
            let fits =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if !label.bytes().all(fits) {
                return wrong("holds something else than a-z, 0-9, hyphen and dot");
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::str::FromStr for MemberName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

/// A record's id: the member that founded it, and 16 bytes.
///
/// Text form `<member>/records/<32 lower-case hex digits>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The founding member; a record is registered in this member's log.
    pub member: MemberName,
    /// 16 opaque bytes.
    pub id: [u8; 16],
}

impl RecordId {
    /// Its resource name, `members/<member>/records/<id>`.
    pub fn resource_name(&self) -> String {
        format!("members/{self}")
    }

    /// Parses the text form, with or without the leading `members/`.
    ///
    /// # Errors
    /// Fails when a part is missing or malformed.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::new("record id", "is not <member>/records/<32 hex digits>");
        let text = text.strip_prefix("members/").unwrap_or(text);
        let (member, digits) = text.split_once("/records/").ok_or_else(wrong)?;
        if digits.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(wrong());
        }
        let mut id = [0; 16];
        hex::decode_to_slice(digits, &mut id).map_err(|_| wrong())?;
        Ok(Self { member: MemberName::new(member)?, id })
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/records/{}", self.member, hex::encode(self.id))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record:{}/{}", self.member, hex::encode(&self.id[..4]))
    }
}

/// A pseudonym of a person.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectTag {
    /// How the value was made: 1 is HMAC-SHA-256 under the epoch's key.
    pub scheme: u32,
    /// Subject epoch of the charter, from 1.
    pub epoch: u32,
    /// The pseudonym.
    pub value: [u8; DIGEST_LEN],
}

impl fmt::Debug for SubjectTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag:{}.{}.{}", self.scheme, self.epoch, hex::encode(&self.value[..4]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_read_back_what_they_print_and_debug_is_short() {
        let id = LogId::new([0xab; 32]);
        assert_eq!(LogId::from_hex(&id.to_string()), Ok(id));
        assert_eq!(format!("{id:?}"), "log:abababab");
        assert!(LogId::from_hex(&id.to_string().to_uppercase()).is_err());
        assert!(LogId::try_from(&[1; 31][..]).is_err());
        let tag = SubjectTag { scheme: 1, epoch: 2, value: [0xab; 32] };
        assert_eq!(format!("{tag:?}"), "tag:1.2.abababab");
        let name = MemberName::new("gp.example").expect("name");
        assert_eq!(
            (format!("{name:?}"), name.to_string()),
            ("gp.example".into(), "gp.example".into())
        );
    }

    #[test]
    fn member_names_are_lower_case_domain_names() {
        for good in ["gp.example", "rigshospitalet.regionh.example", "a-1.example"] {
            assert!(MemberName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "example",
            "GP.example",
            "-a.example",
            "a..example",
            "a.example.",
            "ø.example",
            "a_b.example",
            "a/b.example",
        ] {
            assert!(MemberName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn record_ids_read_back_what_they_print() {
        let id = RecordId { member: MemberName::new("gp.example").expect("name"), id: [7; 16] };
        assert_eq!(RecordId::parse(&id.to_string()), Ok(id.clone()));
        assert_eq!(RecordId::parse(&id.resource_name()), Ok(id));
        assert!(RecordId::parse("gp.example/records/07").is_err());
        assert!(RecordId::parse("gp.example/episodes/07070707070707070707070707070707").is_err());
    }
}
