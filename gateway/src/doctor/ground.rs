//! What examinations stand on: configuration, data folder, charter and TLS material, each as far as it can be had.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use sundbro_ledger::charter::Charter;
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::{FederationId, MemberName};
use sundbro_ledger::member::MemberState;
use sundbro_store::Store;

use crate::config::{Config, ConfigError};
use crate::connections::Connections;
use crate::status::chain;
use crate::tls::{FederationTls, Standing, TrustBook};

/// What was found of a gateway. Why something is missing stands in its place, for people.
pub struct Ground {
    /// The configuration; nothing else is looked at without one.
    pub config: Config,
    /// The data folder, opened to read.
    pub store: Result<Arc<Store>, String>,
    /// The charters in it.
    pub charter: Result<Arc<StoredCharter>, String>,
    /// Certificate, key and revocation lists towards members.
    pub tls: Result<Arc<FederationTls>, String>,
}

impl Ground {
    /// Reads everything. Blocking.
    ///
    /// # Errors
    /// When the configuration is not valid.
    pub fn lay(file: &Path) -> Result<Self, ConfigError> {
        let config = Config::load(file)?;
        let store = Store::open_read_only(&config.data_dir);
        let store = store.map(Arc::new).map_err(|error| chain(&error));
        let charter = match &store {
            Ok(store) => StoredCharter::read(store, &config.federation_id).map(Arc::new),
            Err(_) => Err("the data folder cannot be read".to_owned()),
        };
        let book: Arc<dyn TrustBook> = match &charter {
            Ok(charter) => charter.clone(),
            Err(_) => Arc::new(NobodyTrusted),
        };
        let files = config.federation.tls.clone();
        let tls = FederationTls::load(config.member.clone(), files, book, Connections::new());
        Ok(Self { store, charter, tls: tls.map_err(|error| chain(&error)), config })
    }
}

/// The charters of a data folder, as they are now.
#[derive(Debug)]
pub struct StoredCharter(pub CharterHistory);

impl StoredCharter {
    fn read(store: &Store, federation: &FederationId) -> Result<Self, String> {
        let mut charters = store.charters().map_err(|error| chain(&error))?.into_iter();
        let first = charters.next().ok_or("the data folder holds no charter")?;
        let first = Charter::from_wire(&first).map_err(|error| chain(&error))?;
        let joined = CharterHistory::join(federation, first);
        let mut history = joined.map_err(|error| chain(&error))?;
        for charter in charters {
            let charter = Charter::from_wire(&charter).map_err(|error| chain(&error))?;
            let _ = history.offer(charter).map_err(|error| chain(&error))?;
        }
        Ok(Self(history))
    }
}

impl TrustBook for StoredCharter {
    fn trusted_roots(&self) -> Vec<CertificateDer<'static>> {
        let authorities = &self.0.current().head().authorities;
        authorities.iter().map(|one| CertificateDer::from(one.certificate.to_vec())).collect()
    }

    fn may_certify(&self, ca_sha256: &[u8; 32], member: &MemberName) -> bool {
        self.0.may_certify(ca_sha256, member)
    }

    fn member_state(&self, member: &MemberName) -> Standing {
        match self.0.current().member(member).map(|entry| entry.state) {
            None => Standing::Unknown,
            Some(MemberState::Active) => Standing::Active,
            Some(MemberState::Suspended) => Standing::Suspended,
            Some(MemberState::Left) => Standing::Left,
        }
    }
}

/// Stands in for a charter that cannot be read, so that our own files can be looked at all the same.
#[derive(Debug)]
struct NobodyTrusted;

impl TrustBook for NobodyTrusted {
    fn trusted_roots(&self) -> Vec<CertificateDer<'static>> {
        Vec::new()
    }

    fn may_certify(&self, _ca_sha256: &[u8; 32], _member: &MemberName) -> bool {
        false
    }

    fn member_state(&self, _member: &MemberName) -> Standing {
        Standing::Unknown
    }
}
