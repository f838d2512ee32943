//! Our own keys: what this member signs with, opens with, and derives record ids from.
//!
//! Each key is a file in the keys folder, PKCS#8 v1 PEM (version 2, which other tools write, is read too). Which ordinal
//! a key has is the charter's word: it is found by the public key. The key of the TLS connection is not among them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use pkcs8::der::asn1::{ObjectIdentifier, OctetStringRef};
use pkcs8::der::pem::LineEnding;
use pkcs8::der::{Decode as _, Encode as _};
use pkcs8::spki::AlgorithmIdentifier;
use pkcs8::{PrivateKeyInfo, PrivateKeyInfoRef, SecretDocument};
use sundbro_ledger::object_id::IdKey;
use sundbro_ledger::signing::SigningKey;
use zeroize::Zeroizing;

/// Ed25519 (RFC 8410 §3).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// X25519 (RFC 8410 §3).
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
/// Larger files are no key.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// The key files of a member, and what losing or leaking each costs.
pub mod file {
    /// Signs transactions. Leaked: entries can be forged in our name until it is revoked.
    pub const TRANSACTION: &str = "transaction.pem";
    /// Signs checkpoints. Leaked: another history can be shown to peers; it convicts itself.
    pub const CHECKPOINT: &str = "checkpoint.pem";
    /// Signs requests, grants, completions, acknowledgements. Leaked: records can be asked for in our name.
    pub const SERVICE: &str = "service.pem";
    /// Opens what is sealed to us. Leaked: subject keys granted to us can be read.
    pub const SEALING: &str = "sealing.pem";
    /// Record ids are derived from it. Lost: after the loss of the locators, rescanned records get new ids.
    pub const OBJECT_ID: &str = "object-id.key";
}

/// Why a key file cannot be used or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read.
    #[error(
        "key file {0} cannot be read: `sundbro member init` writes it, a backup of the keys folder has it"
    )]
    Unreadable(PathBuf, #[source] io::Error),
    /// Everybody on the machine can read it.
    #[error(
        "key file {0} can be read by others than its owner: chmod 600 it, and think about replacing the key"
    )]
    WorldReadable(PathBuf),
    /// It is no PKCS#8 PEM of the expected algorithm.
    #[error(
        "key file {0} holds no {1} private key in PKCS#8 PEM: put back the file that `sundbro member init` wrote"
    )]
    Malformed(PathBuf, &'static str),
    /// It exists already.
    #[error("key file {0} exists already: keys are never overwritten; choose an empty folder")]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("key file {0} cannot be written: check that the folder exists and that there is space")]
    Unwritable(PathBuf, #[source] io::Error),
    /// The operating system gives no randomness.
    #[error(
        "the operating system gives no random bytes: check /dev/urandom and the container's seccomp profile"
    )]
    NoRandomness,
}

/// All keys of this member.
pub struct OwnKeys {
    /// Signs transactions.
    pub transaction: SigningKey,
    /// Signs checkpoints.
    pub checkpoint: SigningKey,
    /// Signs what retrieval exchanges.
    pub service: SigningKey,
    /// Opens what is sealed to us: an X25519 private key.
    pub sealing: Zeroizing<[u8; 32]>,
    /// Record ids are derived from it.
    pub object_id: IdKey,
}

impl fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnKeys(…)")
    }
}

impl OwnKeys {
    /// Reads all keys from `folder`.
    ///
    /// # Errors
    /// Fails at the first file that is missing, readable by everybody, or not a key of its kind.
    pub fn load(folder: &Path) -> Result<Self, KeyFileError> {
        let ed25519 = |name| {
            read_key(&folder.join(name), ED25519, "Ed25519")
                .map(|seed| SigningKey::from_seed(&seed))
        };
        Ok(Self {
            transaction: ed25519(file::TRANSACTION)?,
            checkpoint: ed25519(file::CHECKPOINT)?,
            service: ed25519(file::SERVICE)?,
            sealing: read_key(&folder.join(file::SEALING), X25519, "X25519")?,
            object_id: IdKey::new(*read_hex_key(&folder.join(file::OBJECT_ID))?),
        })
    }

    /// Draws new keys and writes them to `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// Fails when a file exists already or cannot be written.
    pub fn create(folder: &Path) -> Result<Self, KeyFileError> {
        fs::create_dir_all(folder)
            .map_err(|error| KeyFileError::Unwritable(folder.to_owned(), error))?;
        for name in [file::TRANSACTION, file::CHECKPOINT, file::SERVICE] {
            write_key(&folder.join(name), ED25519, &random_key()?)?;
        }
        write_key(&folder.join(file::SEALING), X25519, &random_key()?)?;
        write_hex_key(&folder.join(file::OBJECT_ID), &random_key()?)?;
        Self::load(folder)
    }

    /// Writes a new keys folder in which the keys named are new and the others are those of `from`; other files there, such
    /// as subject keys, are copied.
    ///
    /// # Errors
    /// As [`OwnKeys::create`]; and when a key that is kept cannot be read in `from`.
    pub fn renew(from: &Path, to: &Path, renewed: &BTreeSet<&str>) -> Result<Self, KeyFileError> {
        let unwritable = |error| KeyFileError::Unwritable(to.to_owned(), error);
        let unreadable = |error| KeyFileError::Unreadable(from.to_owned(), error);
        fs::create_dir_all(to).map_err(unwritable)?;
        if fs::read_dir(to).map_err(unwritable)?.next().is_some() {
            return Err(KeyFileError::Exists(to.to_owned()));
        }
        let signing = [file::TRANSACTION, file::CHECKPOINT, file::SERVICE];
        for name in signing.into_iter().filter(|name| renewed.contains(name)) {
            write_key(&to.join(name), ED25519, &random_key()?)?;
        }
        if renewed.contains(file::SEALING) {
            write_key(&to.join(file::SEALING), X25519, &random_key()?)?;
        }
        for entry in fs::read_dir(from).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if path.is_file() && !renewed.contains(name) {
                write_private(&to.join(name), &read_private(&path)?)?;
            }
        }
        Self::load(to)
    }

    /// The public half of the sealing key.
    pub fn sealing_public(&self) -> [u8; 32] {
        crate::subject::grant::public_of(&self.sealing)
    }
}

/// Reads one Ed25519 key: a steward's, say.
///
/// # Errors
/// As [`OwnKeys::load`].
pub fn read_signing_key(path: &Path) -> Result<SigningKey, KeyFileError> {
    read_key(path, ED25519, "Ed25519").map(|seed| SigningKey::from_seed(&seed))
}

/// Draws an Ed25519 key and writes it.
///
/// # Errors
/// As [`OwnKeys::create`].
pub fn create_signing_key(path: &Path) -> Result<SigningKey, KeyFileError> {
    write_key(path, ED25519, &random_key()?)?;
    read_signing_key(path)
}

/// 32 random bytes.
///
/// # Errors
/// When the operating system gives none.
pub fn random_key() -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(key.as_mut()).map_err(|_| KeyFileError::NoRandomness)?;
    Ok(key)
}

fn read_key(
    path: &Path,
    algorithm: ObjectIdentifier,
    name: &'static str,
) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let malformed = || KeyFileError::Malformed(path.to_owned(), name);
    let text = read_private(path)?;
    let text = std::str::from_utf8(&text).map_err(|_| malformed())?;
    let (label, document) = SecretDocument::from_pem(text).map_err(|_| malformed())?;
    if label != "PRIVATE KEY" {
        return Err(malformed());
    }
    let info = PrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| malformed())?;
    if info.algorithm.oid != algorithm {
        return Err(malformed());
    }
    // RFC 8410 §7: the private key is an OCTET STRING inside the OCTET STRING.
    let inner =
        <&OctetStringRef>::from_der(info.private_key.as_bytes()).map_err(|_| malformed())?;
    let key = <[u8; 32]>::try_from(inner.as_bytes()).map_err(|_| malformed())?;
    Ok(Zeroizing::new(key))
}

fn write_key(
    path: &Path,
    algorithm: ObjectIdentifier,
    key: &Zeroizing<[u8; 32]>,
) -> Result<(), KeyFileError> {
    let unwritable = |_| {
        KeyFileError::Unwritable(path.to_owned(), io::Error::other("the key cannot be encoded"))
    };
    let inner = OctetStringRef::new(key.as_ref()).map_err(unwritable)?;
    let inner = Zeroizing::new(inner.to_der().map_err(unwritable)?);
    let outer = OctetStringRef::new(&inner).map_err(unwritable)?;
    let algorithm = AlgorithmIdentifier { oid: algorithm, parameters: None };
    // Without the public key it is version 1, which OpenSSL 3.0 and Node 20 can read.
    let info: PrivateKeyInfoRef<'_> = PrivateKeyInfo::new(algorithm, outer);
    let document = SecretDocument::encode_msg(&info).map_err(unwritable)?;
    let pem = document.to_pem("PRIVATE KEY", LineEnding::LF).map_err(unwritable)?;
    write_private(path, pem.as_bytes())
}

/// Reads a file of 64 hexadecimal digits: a symmetric key.
pub(crate) fn read_hex_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let text = read_private(path)?;
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim_ascii(), key.as_mut())
        .map_err(|_| KeyFileError::Malformed(path.to_owned(), "64 hexadecimal digits of a"))?;
    Ok(key)
}

/// Writes a symmetric key as 64 hexadecimal digits; never over another file.
pub(crate) fn write_hex_key(path: &Path, key: &Zeroizing<[u8; 32]>) -> Result<(), KeyFileError> {
    let mut text = Zeroizing::new(hex::encode(key.as_ref()));
    text.push('\n');
    write_private(path, text.as_bytes())
}

fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    use std::io::Read as _;
    let unreadable = |error| KeyFileError::Unreadable(path.to_owned(), error);
    let file = fs::File::open(path).map_err(unreadable)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata().map_err(unreadable)?.permissions().mode() & 0o077 != 0 {
            return Err(KeyFileError::WorldReadable(path.to_owned()));
        }
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_KEY_FILE_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
        _ => KeyFileError::Unwritable(path.to_owned(), error),
    })?;
    let unwritable = |error| KeyFileError::Unwritable(path.to_owned(), error);
    file.write_all(bytes).map_err(unwritable)?;
    file.sync_all().map_err(unwritable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_are_the_keys_written_and_never_overwritten() {
        let folder = tempfile::tempdir().expect("folder");
        let made = OwnKeys::create(folder.path()).expect("create");
        let read = OwnKeys::load(folder.path()).expect("load");
        assert_eq!(made.transaction.public().as_bytes(), read.transaction.public().as_bytes());
        assert_ne!(made.transaction.public().as_bytes(), made.service.public().as_bytes());
        assert_eq!(made.sealing, read.sealing);
        assert!(matches!(OwnKeys::create(folder.path()), Err(KeyFileError::Exists(_))));
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("folder");
        OwnKeys::create(folder.path()).expect("create");
        let path = folder.path().join(file::SERVICE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(matches!(OwnKeys::load(folder.path()), Err(KeyFileError::WorldReadable(_))));
    }

    #[test]
    fn a_key_of_another_algorithm_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        OwnKeys::create(folder.path()).expect("create");
        fs::copy(folder.path().join(file::SEALING), folder.path().join(file::SERVICE))
            .expect("copy");
        assert!(matches!(OwnKeys::load(folder.path()), Err(KeyFileError::Malformed(_, "Ed25519"))));
    }

    #[test]
    fn version_1_is_written_and_version_2_is_read() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key.pem");
        create_signing_key(&path).expect("create");
        let pem = fs::read_to_string(&path).expect("read");
        let (_, document) = SecretDocument::from_pem(&pem).expect("PEM");
        // SEQUENCE, 46 bytes, INTEGER 0: version 1, no public key.
        assert_eq!(document.as_bytes()[..5], [0x30, 0x2e, 0x02, 0x01, 0x00]);
        // RFC 8410 §10.3: the same key with attributes and public key, version 2.
        let v2 = "-----BEGIN PRIVATE KEY-----\n\
            MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n\
            Z9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PRIVATE KEY-----\n";
        let second = folder.path().join("v2.pem");
        write_private(&second, v2.as_bytes()).expect("write");
        let key = read_signing_key(&second).expect("version 2");
        assert_eq!(
            hex::encode(key.public().as_bytes()),
            "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
        );
    }
}
