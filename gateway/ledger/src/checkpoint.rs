//! Checkpoints (c2sp.org/tlog-checkpoint): the size and root of a log, signed by it, and who the log is.
//!
//! An [`UnverifiedCheckpoint`] is what arrives; only its `verify` makes a [`VerifiedCheckpoint`], and only that one can
//! vouch for entries. The note's key name is the origin, so a signature for one log never counts for another.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::ids::{DIGEST_LEN, FederationId, LogId, MemberName, RootHash};
use crate::merkle::{EMPTY_ROOT, MAX_TREE_SIZE};
use crate::note::{NoteError, NoteVerifier, SignedNote, is_key_name, is_reserved, key_hash};
use crate::signing::{SigningKey, VerifyingKey};

/// Bytes of the federation id that stand in an origin, as twice as many hexadecimal digits.
const ORIGIN_FEDERATION_LEN: usize = 8;

/// Why a checkpoint is not followed. Whoever sent it is at fault, unless it is `NoKey`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not a signed note, or not signed by the log's key.
    #[error("the checkpoint is not a note that its log signed: use another peer")]
    Note(#[from] NoteError),
    /// A line is not what it has to be.
    #[error("the {0} of the checkpoint is malformed: use another peer")]
    Malformed(&'static str),
    /// Not `<member>/<16 hex digits>/log/<epoch>`.
    #[error("the origin does not name a log of a member: it is <member>/<federation>/log/<epoch>")]
    Origin,
    /// A checkpoint of another log than was asked for.
    #[error("the checkpoint is of log {found}, not {expected}: use another peer")]
    OtherLog {
        /// The log that was asked for.
        expected: LogId,
        /// The log that it names.
        found: LogId,
    },
    /// We know no key that may sign this log at this size; our charter may be behind.
    #[error("no key is known that signs log {log} at size {size}: fetch the newest charter")]
    NoKey {
        /// The log.
        log: LogId,
        /// The size that the checkpoint claims.
        size: u64,
    },
}

/// Names one epoch of one member's log: `<member>/<first 16 hex digits of the federation id>/log/<epoch>`.
///
/// It is the first line of the log's checkpoints and the name of the key that signs them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    member: MemberName,
    federation: [u8; ORIGIN_FEDERATION_LEN],
    epoch: u32,
    text: String,
}

impl Origin {
    /// The origin of a member's log in a federation; epochs count from 1.
    pub fn new(member: &MemberName, federation: &FederationId, epoch: u32) -> Self {
        let mut start = [0; ORIGIN_FEDERATION_LEN];
        start.copy_from_slice(&federation.as_bytes()[..ORIGIN_FEDERATION_LEN]);
        Self::from_parts(member.clone(), start, epoch)
    }

    fn from_parts(member: MemberName, federation: [u8; ORIGIN_FEDERATION_LEN], epoch: u32) -> Self {
        let text = format!("{member}/{}/log/{epoch}", hex::encode(federation));
        Self { member, federation, epoch, text }
    }

    /// Reads an origin of ours. Other logs have origins of other forms: they are checkpoints too, but no member's.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        Self::read(text).ok_or(CheckpointError::Origin)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let member = MemberName::new(parts.next()?).ok()?;
        let mut federation = [0; ORIGIN_FEDERATION_LEN];
        hex::decode_to_slice(parts.next()?, &mut federation).ok()?;
        if parts.next()? != "log" {
            return None;
        }
        let epoch = parts.next()?.parse().ok()?;
        let origin = Self::from_parts(member, federation, epoch);
        // Comparing refuses what has a second form: upper-case digits, leading zeros, a plus, a fifth part.
        (epoch > 0 && origin.text == text).then_some(origin)
    }

    /// The member that writes the log.
    pub fn member(&self) -> &MemberName {
        &self.member
    }

    /// Whether it is a log of this federation, as far as the digits in an origin say.
    pub fn is_of(&self, federation: &FederationId) -> bool {
        federation.as_bytes().starts_with(&self.federation)
    }

    /// Which of the member's logs it is, from 1.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// SHA-256 of the origin.
    pub fn log_id(&self) -> LogId {
        log_id(&self.text)
    }

    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// SHA-256 of an origin: the id of its log.
pub fn log_id(origin: &str) -> LogId {
    LogId::new(Sha256::digest(origin).into())
}

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: RootHash,
}

impl Checkpoint {
    /// That the log has this size and root.
    pub fn new(origin: &Origin, size: u64, root: RootHash) -> Self {
        Self { origin: origin.text.clone(), size, root }
    }

    /// The log: an [`Origin`], or that of a log that is not of our making.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// SHA-256 of the origin.
    pub fn log_id(&self) -> LogId {
        log_id(&self.origin)
    }

    /// Entries in the log.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the log's tree.
    pub fn root(&self) -> &RootHash {
        &self.root
    }

    /// The text that is signed: three lines. Extension lines are never written.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.as_bytes()))
    }

    /// Reads the text of a checkpoint. Extension lines are allowed and ignored, as the specification asks.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] says which line.
    pub fn parse_text(text: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Malformed;
        let text = text.strip_suffix('\n').ok_or(malformed("last newline"))?;
        let mut lines = text.split('\n');
        // The origin is also the name of the key, so it has to be one; and it is what a log signs first.
        let fits = |line: &&str| is_key_name(line) && !is_reserved(line);
        let origin = lines.next().filter(fits).ok_or(malformed("origin"))?;
        let size = lines.next().and_then(parse_size).ok_or(malformed("size"))?;
        let root = lines.next().and_then(parse_root).ok_or(malformed("root hash"))?;
        if lines.any(str::is_empty) {
            return Err(malformed("extension lines"));
        }
        if size == 0 && root != EMPTY_ROOT {
            return Err(malformed("root hash of the empty log"));
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// Decimal digits without leading zeros, up to 2^63 - 1.
fn parse_size(line: &str) -> Option<u64> {
    let size: u64 = line.parse().ok()?;
    // Comparing refuses leading zeros and a plus sign.
    (size <= MAX_TREE_SIZE && size.to_string() == line).then_some(size)
}

fn parse_root(line: &str) -> Option<RootHash> {
    // One byte more than 44 characters can hold: bounded, and never a silent cut.
    let mut bytes = [0; DIGEST_LEN + 1];
    let len = STANDARD.decode_slice(line, &mut bytes).ok()?;
    RootHash::try_from(&bytes[..len]).ok()
}

/// Signs a checkpoint with the log's CHECKPOINT key: the bytes of a note whose key name is the origin.
pub fn sign_checkpoint(checkpoint: &Checkpoint, key: &SigningKey) -> Vec<u8> {
    SignedNote::sign(&checkpoint.to_text(), &checkpoint.origin, key)
        .expect(
            "a checkpoint's origin is a key name that is not reserved, its text three plain lines",
        )
        .to_bytes()
}

/// A checkpoint as it arrived: well formed, believed by nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedCheckpoint {
    checkpoint: Checkpoint,
    note: SignedNote,
    bytes: Bytes,
}

impl UnverifiedCheckpoint {
    /// Reads a checkpoint of any log.
    ///
    /// # Errors
    /// Fails when it is not a note, or its text not a checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = SignedNote::parse(bytes)?;
        let checkpoint = Checkpoint::parse_text(note.text())?;
        Ok(Self { checkpoint, note, bytes: Bytes::copy_from_slice(bytes) })
    }

    /// Reads a checkpoint of one log.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`CheckpointError::OtherLog`].
    pub fn parse_of(log: &LogId, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let parsed = Self::parse(bytes)?;
        let found = parsed.log_id();
        if found == *log {
            Ok(parsed)
        } else {
            Err(CheckpointError::OtherLog { expected: *log, found })
        }
    }

    /// The origin that it claims.
    pub fn origin(&self) -> &str {
        self.checkpoint.origin()
    }

    /// The log that it claims to be of.
    pub fn log_id(&self) -> LogId {
        self.checkpoint.log_id()
    }

    /// The size that it claims.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// The root that it claims.
    pub fn root(&self) -> &RootHash {
        &self.checkpoint.root
    }

    /// The note that carries it, cosignatures included.
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// Whether it carries a signature line that names this key. Finds the key to check with; proves nothing.
    pub fn names(&self, key: &VerifyingKey) -> bool {
        let hash = key_hash(self.origin(), key);
        let mut lines = self.note.signatures().iter();
        lines.any(|line| line.key_hash == hash && line.name == self.origin())
    }

    /// Checks that the key signed it as the log that it names. Which key that has to be, the charter says.
    ///
    /// # Errors
    /// [`CheckpointError::Note`].
    pub fn verify(&self, key: &VerifyingKey) -> Result<VerifiedCheckpoint, CheckpointError> {
        self.note.verify(&NoteVerifier::new(self.origin(), *key)?)?;
        Ok(VerifiedCheckpoint { checkpoint: self.checkpoint.clone(), note: self.bytes.clone() })
    }

    /// Checks it with the key that `key_for` finds for the log and size that it claims.
    ///
    /// # Errors
    /// [`CheckpointError::NoKey`] when there is none, and as [`verify`](Self::verify).
    pub fn verify_with(
        &self,
        key_for: impl FnOnce(&Self) -> Option<VerifyingKey>,
    ) -> Result<VerifiedCheckpoint, CheckpointError> {
        let no_key = || CheckpointError::NoKey { log: self.log_id(), size: self.size() };
        self.verify(&key_for(self).ok_or_else(no_key)?)
    }
}

/// A checkpoint that its log signed. Whether it is consistent with what we hold of the log is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    checkpoint: Checkpoint,
    note: Bytes,
}

impl VerifiedCheckpoint {
    /// The origin.
    pub fn origin(&self) -> &str {
        self.checkpoint.origin()
    }

    /// The log.
    pub fn log_id(&self) -> LogId {
        self.checkpoint.log_id()
    }

    /// Entries in the log.
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// Root of the log's tree.
    pub fn root(&self) -> &RootHash {
        &self.checkpoint.root
    }

    /// The bytes of the note, exactly as they arrived.
    pub fn note(&self) -> &Bytes {
        &self.note
    }
}
