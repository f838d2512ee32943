//! The charter heads in a file: each follows the one before, and a version that stands twice is healed by the next.

use sundbro_proto::ledger::v1;

use super::BookError;
use crate::charter::{
    CharterHead, ForkedHead, StewardSignature, SuccessionError, check_head_succession,
    check_signers, digest_of, signatures_from_wire, verify_signatures,
};
use crate::history::MAX_FORK_HEADS;
use crate::ids::{CharterDigest, FederationId};

/// Heads of versions 1 to n, n of which stands once.
#[derive(Debug)]
pub(super) struct HeadChain {
    /// Version v stands at v − 1. One head is in force; of several none is, and the version after them names them all.
    versions: Vec<Vec<ReadHead>>,
}

#[derive(Debug)]
struct ReadHead {
    head: CharterHead,
    digest: CharterDigest,
    signatures: Vec<StewardSignature>,
}

impl HeadChain {
    /// Checks that the heads follow one another from version 1, each signed.
    pub(super) fn read(
        heads: &[v1::ReceiptHead],
        federation: &FederationId,
    ) -> Result<Self, BookError> {
        let mut chain = Self { versions: Vec::new() };
        for head in heads {
            chain.read_head(head, federation)?;
        }
        chain.check_healed()?;
        Ok(chain)
    }

    /// The newest charter version.
    pub(super) fn newest_version(&self) -> u64 {
        self.versions.len() as u64
    }

    /// The head that is in force at a version.
    pub(super) fn head(&self, version: u64) -> Option<&CharterHead> {
        let place = usize::try_from(version.checked_sub(1)?).ok()?;
        in_force(self.versions.get(place)?).map(|one| &one.head)
    }

    /// The version by which something that names one is judged: of one that stood twice the version that healed it.
    pub(super) fn judging(&self, version: u64) -> u64 {
        let healed = (version..=self.newest_version()).find(|at| self.head(*at).is_some());
        healed.unwrap_or(version)
    }

    fn read_head(
        &mut self,
        wire: &v1::ReceiptHead,
        federation: &FederationId,
    ) -> Result<(), BookError> {
        let next = self.newest_version().saturating_add(1);
        let head = CharterHead::parse(&wire.head)
            .map_err(|source| BookError::Head { version: next, source: Box::new(source) })?;
        let signatures = signatures_from_wire(&wire.signatures)
            .ok_or(BookError::HeadSignatures { version: next })?;
        let digest = digest_of(&wire.head);
        let is_sibling = self.versions.len() > 1 && head.version == self.newest_version();
        let read = ReadHead { head, digest, signatures };
        let place = if is_sibling { self.versions.len() - 1 } else { self.versions.len() };
        self.check_follows(place, &read, &wire.head, federation).map_err(|source| {
            let version = if is_sibling { read.head.version } else { next };
            BookError::Succession { version, source: Box::new(source) }
        })?;
        match self.versions.last_mut() {
            Some(heads) if is_sibling => {
                let ascends = heads.last().is_some_and(|last| last.digest < read.digest);
                if !ascends || heads.len() == MAX_FORK_HEADS {
                    return Err(BookError::ForkedHeads { version: read.head.version });
                }
                heads.push(read);
            }
            _ => self.versions.push(vec![read]),
        }
        Ok(())
    }

    /// Checks a head against the versions below a place.
    fn check_follows(
        &self,
        place: usize,
        read: &ReadHead,
        head_bytes: &[u8],
        federation: &FederationId,
    ) -> Result<(), SuccessionError> {
        let below = &self.versions[..place];
        let before = below.iter().filter_map(|heads| in_force(heads));
        let last = before.clone().next_back().map(|one| &one.head);
        let forked: Vec<ForkedHead<'_>> = match below.last() {
            Some(heads) if heads.len() > 1 => heads.iter().map(ReadHead::forked).collect(),
            _ => Vec::new(),
        };
        let ReadHead { head, signatures, .. } = read;
        check_head_succession(before.map(|one| (&one.head, one.digest)), &forked, head)?;
        verify_signatures(last, head, head_bytes, signatures, federation)?;
        check_signers(last, &forked, head, signatures)
    }

    /// Checks that the newest version stands once, and that of those that stand twice nothing is there but what the version
    /// above names.
    fn check_healed(&self) -> Result<(), BookError> {
        for (place, heads) in self.versions.iter().enumerate().filter(|(_, heads)| heads.len() > 1)
        {
            let above = self.versions.get(place + 1).into_iter().flatten();
            let named: Vec<_> = above.flat_map(|one| &one.head.previous).collect();
            if !heads.iter().all(|one| named.contains(&&one.digest)) {
                return Err(BookError::ForkedHeads { version: place as u64 + 1 });
            }
        }
        Ok(())
    }
}

impl ReadHead {
    fn forked(&self) -> ForkedHead<'_> {
        let Self { head, digest, signatures } = self;
        ForkedHead { head, digest: *digest, signatures }
    }
}

/// The one head of a version.
fn in_force(heads: &[ReadHead]) -> Option<&ReadHead> {
    match heads {
        [one] => Some(one),
        _ => None,
    }
}
