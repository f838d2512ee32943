//! Channels to the gateways of other members, one for each, to where the charter in force says they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sundbro_ledger::ids::MemberName;
use tonic::transport::Channel;

use crate::charter_book::CharterBook;
use crate::client::{self, Target};
use crate::config::Endpoint;
use crate::tls::FederationTls;

/// Where calls to members go through.
pub trait PeerChannels: Send + Sync {
    /// The channel to a member's gateway. Nothing is dialled before the first call.
    ///
    /// # Errors
    /// When the charter does not list the member as active, or its endpoint cannot be dialled.
    fn channel(&self, member: &MemberName) -> Result<Channel, NoChannel>;
}

/// Why there is no channel to a member.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoChannel {
    /// It does not take part.
    #[error("the charter in force does not list {0} as active")]
    NotActive(MemberName),
    /// Its endpoint in the charter is not one that can be dialled.
    #[error("the endpoint of {0} cannot be dialled: the stewards must correct it")]
    Endpoint(MemberName, #[source] Option<tonic::transport::Error>),
}

/// Channels over our own TLS, kept as long as the charter names the same endpoint.
pub struct DialledChannels {
    tls: Arc<FederationTls>,
    charter: Arc<CharterBook>,
    dial: BTreeMap<MemberName, Endpoint>,
    // One for each member of the charter, so the charter bounds it.
    open: Mutex<BTreeMap<MemberName, (Target, Channel)>>,
}

impl DialledChannels {
    /// `dial` says where a member is dialled instead of at its endpoint in the charter (`[dial]`).
    pub fn new(
        tls: Arc<FederationTls>,
        charter: Arc<CharterBook>,
        dial: BTreeMap<MemberName, Endpoint>,
    ) -> Self {
        Self { tls, charter, dial, open: Mutex::default() }
    }
}

impl PeerChannels for DialledChannels {
    fn channel(&self, member: &MemberName) -> Result<Channel, NoChannel> {
        let history = self.charter.history();
        let entry = history.current().member(member).filter(|entry| entry.is_active());
        let entry = entry.ok_or_else(|| NoChannel::NotActive(member.clone()))?;
        let endpoint = Endpoint::parse(entry.endpoint.as_str())
            .ok_or_else(|| NoChannel::Endpoint(member.clone(), None))?;
        let dial = self.dial.get(member).cloned();
        let target = Target { member: member.clone(), endpoint, dial };
        // A map of finished values: a thread that panicked left nothing half-written.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, channel)) = open.get(member)
            && *known == target
        {
            return Ok(channel.clone());
        }
        let channel = client::channel(self.tls.clone(), target.clone())
            .map_err(|error| NoChannel::Endpoint(member.clone(), Some(error)))?;
        open.insert(member.clone(), (target, channel.clone()));
        Ok(channel)
    }
}
