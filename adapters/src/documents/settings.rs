//! What an operator says about one folder of documents.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use crate::profile::{Profile, normalise_system};

/// Largest file that is read into memory to be parsed, in bytes. A CDA document with an embedded PDF of 20 MB is
/// 27 MB; described by a sidecar, a file may have any size.
pub const DEFAULT_PARSE_LIMIT_BYTES: u64 = 32 * 1024 * 1024;

/// How long a file must rest before it is read.
pub const DEFAULT_SETTLE: Duration = Duration::from_secs(2);

/// Raised whenever the readers take something else out of the same file, so that every file is read again.
const READER_VERSION: u32 = 3;

/// The settings of one folder.
#[derive(Debug, Clone)]
pub struct DocumentsSettings {
    /// Name of the source; part of its records' ids.
    pub name: String,
    /// The folder. Everything in it is looked at, at any depth down to 32.
    pub folder: PathBuf,
    /// Which patient identifiers become subjects.
    pub identifier_systems: IdentifierSystems,
    /// The rules of identifiers.
    pub profile: Profile,
    /// The zone of times that are written without an offset.
    pub time_zone: TimeZone,
    /// How long a file must rest before it is read.
    pub settle: Duration,
    /// Largest file that is parsed, in bytes.
    pub parse_limit_bytes: u64,
    /// Whether everything that is missing is gone, even if it is most of what was known.
    pub allow_emptied: bool,
    /// What time it is; tests bring their own.
    pub clock: Clock,
}

impl DocumentsSettings {
    /// The settings of a folder, with the defaults of everything else.
    pub fn new(
        name: impl Into<String>,
        folder: impl Into<PathBuf>,
        identifier_systems: IdentifierSystems,
        profile: Profile,
    ) -> Self {
        Self {
            name: name.into(),
            folder: folder.into(),
            identifier_systems,
            profile,
            time_zone: profile.time_zone(),
            settle: DEFAULT_SETTLE,
            parse_limit_bytes: DEFAULT_PARSE_LIMIT_BYTES,
            allow_emptied: false,
            clock: Clock::default(),
        }
    }

    /// SHA-256 over everything that decides what a file's metadata is.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let zone = self.time_zone.iana_name().unwrap_or("");
        let text = format!(
            "sundbro documents reader {READER_VERSION}\nprofile {}\nzone {zone}\nlimit {}\nsystems {}\n",
            self.profile, self.parse_limit_bytes, self.identifier_systems,
        );
        Sha256::digest(text.as_bytes()).into()
    }
}

/// Which systems name a patient in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentifierSystems {
    /// `["*"]`: every one. For folders whose documents carry nothing but national identifiers, and for trying out.
    All,
    /// Only these, as URIs.
    Listed(BTreeSet<String>),
}

/// Why a list of systems means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierSystemsError {
    /// Nothing in it.
    #[error("identifier_systems is empty: name the systems, or \"dk\", or \"*\" for every one")]
    Empty,
    /// An entry without text.
    #[error("identifier_systems has an empty entry: write URIs, OIDs as urn:oid:…")]
    EmptyEntry,
}

impl IdentifierSystems {
    /// From the configured list: URIs, bare OIDs, `dk` for all Danish person numbers, `*` for every system. An empty
    /// list means the systems of the profile.
    ///
    /// # Errors
    /// Fails if the list says nothing and the profile knows no system, or an entry is empty.
    pub fn from_list(list: &[String], profile: Profile) -> Result<Self, IdentifierSystemsError> {
        if list.iter().any(|entry| entry.trim() == "*") {
            return Ok(Self::All);
        }
        let mut systems = BTreeSet::new();
        for entry in list {
            match entry.trim() {
                "" => return Err(IdentifierSystemsError::EmptyEntry),
                "dk" => systems.extend(Profile::Dk.systems().iter().map(|s| (*s).to_owned())),
                uri => {
                    systems.insert(normalise_system(uri));
                }
            }
        }
        if list.is_empty() {
            systems.extend(profile.systems().iter().map(|s| (*s).to_owned()));
        }
        if systems.is_empty() {
            Err(IdentifierSystemsError::Empty)
        } else {
            Ok(Self::Listed(systems))
        }
    }

    /// Whether a normalised system is among them.
    pub fn contains(&self, system: &str) -> bool {
        match self {
            Self::All => true,
            Self::Listed(systems) => systems.contains(system),
        }
    }
}

impl fmt::Display for IdentifierSystems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Listed(systems) => {
                for (at, system) in systems.iter().enumerate() {
                    write!(f, "{}{system}", if at == 0 { "" } else { " " })?;
                }
                Ok(())
            }
        }
    }
}

/// Says what time it is.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// A clock that asks the given function.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now.
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl Default for Clock {
    /// The machine's own clock.
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dk;

    fn list(
        entries: &[&str],
        profile: Profile,
    ) -> Result<IdentifierSystems, IdentifierSystemsError> {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        IdentifierSystems::from_list(&entries, profile)
    }

    #[test]
    fn dk_stands_for_the_danish_systems() {
        let systems = list(&["dk", "http://mrn.example"], Profile::None).unwrap();
        for system in dk::SYSTEMS {
            assert!(systems.contains(system));
        }
        assert!(systems.contains("http://mrn.example"));
        assert!(!systems.contains("urn:oid:1.2.208.176.1.1"));
    }

    #[test]
    fn a_star_stands_for_every_system_and_no_list_for_those_of_the_profile() {
        assert_eq!(list(&["dk", "*"], Profile::None), Ok(IdentifierSystems::All));
        assert_eq!(list(&[], Profile::Dk), list(&["dk"], Profile::None));
        assert_eq!(list(&[], Profile::None), Err(IdentifierSystemsError::Empty));
        assert_eq!(list(&[" "], Profile::Dk), Err(IdentifierSystemsError::EmptyEntry));
        assert!(list(&["1.2.3"], Profile::None).unwrap().contains("urn:oid:1.2.3"));
    }

    #[test]
    fn the_digest_changes_with_what_decides_the_metadata() {
        let settings = |profile, systems: &[&str]| {
            DocumentsSettings::new("a", "/b", list(systems, profile).unwrap(), profile)
        };
        let one = settings(Profile::Dk, &["dk"]);
        assert_eq!(
            one.digest(),
            DocumentsSettings { settle: Duration::ZERO, ..one.clone() }.digest()
        );
        assert_ne!(one.digest(), settings(Profile::None, &["dk"]).digest());
        assert_ne!(one.digest(), settings(Profile::Dk, &["dk", "1.2"]).digest());
        let utc = DocumentsSettings { time_zone: TimeZone::UTC, ..one.clone() };
        assert_ne!(one.digest(), utc.digest());
    }
}
