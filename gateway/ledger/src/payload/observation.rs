//! Which heads of other logs a member has verified, as one of its transactions says it.

use bytes::Bytes;
use sundbro_proto::ledger::v1;

use super::VoidReason;
use crate::canonical::{self, strictly_ascending};
use crate::ids::{LeafHash, LogId, RootHash};
use crate::merkle::{MAX_TREE_SIZE, leaf_hash};

/// Most heads that one observation changes: at most 81 bytes each, so that all of them fit a blob of 64 KiB with room to
/// spare. A federation of 2,000 logs needs four observations the first time and one ever after.
pub const MAX_CHANGED_HEADS: usize = 512;

/// How much of a log was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservedHead {
    /// The log.
    pub log: LogId,
    /// Its tree size, from 1.
    pub size: u64,
    /// Its root at that size.
    pub root: RootHash,
}

impl ObservedHead {
    /// Its hash as a leaf of the tree over all heads: of the canonical message.
    pub fn leaf(&self) -> LeafHash {
        leaf_hash(&canonical::encode(&self.to_wire()))
    }

    /// The message that says it.
    pub fn to_wire(self) -> v1::ObservedHead {
        v1::ObservedHead {
            log_id: Bytes::copy_from_slice(self.log.as_bytes()),
            size: self.size,
            root: Bytes::copy_from_slice(self.root.as_bytes()),
        }
    }

    fn from_wire(wire: &v1::ObservedHead) -> Result<Self, VoidReason> {
        let log = LogId::try_from(&wire.log_id[..])
            .map_err(|_| VoidReason::Field("a log_id in changed is not 32 bytes"))?;
        if wire.size == 0 || wire.size > MAX_TREE_SIZE {
            return Err(VoidReason::Field("a size in changed is not 1 to 2^63 - 1"));
        }
        let root = RootHash::try_from(&wire.root[..])
            .map_err(|_| VoidReason::Field("a root in changed is not 32 bytes"))?;
        Ok(Self { log, size: wire.size, root })
    }
}

/// Says which heads its author has verified since its last observation, and commits to all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// RFC 6962 root over the heads after it, in order of log id.
    pub heads_root: RootHash,
    /// How many they are.
    pub heads_count: u64,
    /// Those that are not what they were, ascending by log id, none twice, 1 to [`MAX_CHANGED_HEADS`].
    pub changed: Vec<ObservedHead>,
}

impl Observation {
    pub(super) fn from_wire(wire: &v1::Observation) -> Result<Self, VoidReason> {
        if wire.changed.is_empty() || wire.changed.len() > MAX_CHANGED_HEADS {
            return Err(VoidReason::Field("changed heads are not 1 to 512"));
        }
        let heads_root = RootHash::try_from(&wire.heads_root[..])
            .map_err(|_| VoidReason::Field("heads_root is not 32 bytes"))?;
        let changed: Vec<_> =
            wire.changed.iter().map(ObservedHead::from_wire).collect::<Result<_, _>>()?;
        if !strictly_ascending(changed.iter().map(|head| head.log)) {
            return Err(VoidReason::Field("changed heads do not ascend"));
        }
        Ok(Self { heads_root, heads_count: wire.heads_count, changed })
    }

    pub(super) fn to_wire(&self) -> v1::Observation {
        v1::Observation {
            heads_root: Bytes::copy_from_slice(self.heads_root.as_bytes()),
            heads_count: self.heads_count,
            changed: self.changed.iter().map(|head| head.to_wire()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Payload;
    use super::*;
    use crate::blob::MAX_BODY_LEN;

    fn head(log: u8) -> ObservedHead {
        ObservedHead { log: LogId::new([log; 32]), size: 3, root: RootHash::new([log; 32]) }
    }

    fn observation(changed: Vec<ObservedHead>) -> Observation {
        Observation { heads_root: RootHash::new([7; 32]), heads_count: 9, changed }
    }

    /// What the observation reads back as, after `spoil` had its way with it.
    fn read(spoil: impl FnOnce(&mut v1::Observation)) -> Result<Payload, VoidReason> {
        let mut wire = observation(vec![head(1), head(2)]).to_wire();
        spoil(&mut wire);
        let body = v1::transaction_payload::Body::Observation(wire);
        Payload::parse(&canonical::encode(&v1::TransactionPayload { body: Some(body) }))
    }

    #[test]
    fn an_observation_reads_back_as_it_was_written() {
        let payload = Payload::Observed(observation(vec![head(1), head(2)]));
        let body = payload.encode().expect("keeps every rule");
        // Field 80, a submessage.
        assert_eq!(body[..2], [0x82, 0x05]);
        assert_eq!(Payload::parse(&body), Ok(payload));
    }

    #[test]
    fn each_rule_about_a_value_is_kept() {
        let check = |spoil: fn(&mut v1::Observation), problem| {
            assert_eq!(read(spoil), Err(VoidReason::Field(problem)));
        };
        assert!(read(|_| ()).is_ok());
        check(|it| it.changed.clear(), "changed heads are not 1 to 512");
        check(|it| it.changed.swap(0, 1), "changed heads do not ascend");
        check(|it| it.changed[1] = it.changed[0].clone(), "changed heads do not ascend");
        check(|it| it.changed[0].size = 0, "a size in changed is not 1 to 2^63 - 1");
        check(|it| it.changed[0].size = 1 << 63, "a size in changed is not 1 to 2^63 - 1");
        check(|it| it.changed[0].log_id = Bytes::new(), "a log_id in changed is not 32 bytes");
        check(|it| it.changed[0].root = Bytes::new(), "a root in changed is not 32 bytes");
        check(|it| it.heads_root = Bytes::new(), "heads_root is not 32 bytes");
    }

    #[test]
    fn the_largest_observation_fits_a_blob_and_no_larger_one_is_read() {
        let heads = |count: usize| {
            let head = |n: usize| {
                let mut log = [0xff; 32];
                log[..8].copy_from_slice(&(n as u64).to_be_bytes());
                ObservedHead { log: LogId::new(log), size: MAX_TREE_SIZE, ..head(255) }
            };
            observation((0..count).map(head).collect())
        };
        let most = Payload::Observed(Observation { heads_count: u64::MAX, ..heads(512) });
        assert!(most.encode().expect("fits").len() < MAX_BODY_LEN);
        let more = Payload::Observed(heads(513)).encode();
        assert_eq!(more, Err(VoidReason::Field("changed heads are not 1 to 512")));
    }
}
