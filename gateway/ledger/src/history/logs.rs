//! Which logs a charter knows, and that their ids can be told apart by their first bytes.

use std::collections::BTreeMap;

use super::OfferError;
use crate::charter::Charter;
use crate::checkpoint::Origin;
use crate::ids::{FederationId, LogId, MemberName};

/// How many bytes of a log id keys of the index use; two logs of a federation never share them.
pub const SHORT_LOG_ID_LEN: usize = 8;

/// Whose a log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOwner {
    /// The member that writes it.
    pub member: MemberName,
    /// Which of the member's log epochs it is.
    pub epoch: u32,
    /// Its name in checkpoints.
    pub origin: Origin,
}

/// Every log of a charter. Refuses two ids that begin with the same bytes.
pub(super) fn logs_of(
    charter: &Charter,
    federation: &FederationId,
) -> Result<BTreeMap<LogId, LogOwner>, OfferError> {
    let mut logs: BTreeMap<LogId, LogOwner> = BTreeMap::new();
    for member in charter.members().values() {
        for log in &member.log_epochs {
            let origin = Origin::new(&member.name, federation, log.epoch);
            let owner = LogOwner { member: member.name.clone(), epoch: log.epoch, origin };
            logs.insert(owner.origin.log_id(), owner);
        }
    }
    refuse_collisions(logs.iter())?;
    Ok(logs)
}

/// Ids in order stand beside each other when they begin alike.
fn refuse_collisions<'a>(
    logs: impl Iterator<Item = (&'a LogId, &'a LogOwner)>,
) -> Result<(), OfferError> {
    let mut last: Option<(&LogId, &LogOwner)> = None;
    for (id, owner) in logs {
        if let Some((last_id, last_owner)) = last
            && last_id.as_bytes()[..SHORT_LOG_ID_LEN] == id.as_bytes()[..SHORT_LOG_ID_LEN]
        {
            let (a, b) = (last_owner.origin.to_string(), owner.origin.to_string());
            return Err(OfferError::LogIdsCollide { a, b });
        }
        last = Some((id, owner));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_log_ids_that_begin_with_the_same_eight_bytes() {
        let owner = |name: &str| {
            let member = MemberName::new(name).expect("name");
            let origin = Origin::new(&member, &FederationId::new([1; 32]), 1);
            LogOwner { member, epoch: 1, origin }
        };
        let id = |at: usize| {
            let mut bytes = [7; 32];
            bytes[at] = 8;
            LogId::new(bytes)
        };
        let check = |a: LogId, b: LogId| {
            let logs = BTreeMap::from([(a, owner("a.example")), (b, owner("b.example"))]);
            refuse_collisions(logs.iter())
        };
        assert_eq!(check(id(6), id(7)), Ok(()), "they differ within the first eight bytes");
        assert!(matches!(check(id(8), id(31)), Err(OfferError::LogIdsCollide { .. })));
    }
}
