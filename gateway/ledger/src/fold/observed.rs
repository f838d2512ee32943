//! What the observations of one log add up to: the heads of other logs that its member vouches for.
//!
//! An observation says what changed and commits to the whole. So whoever has followed a log from its start can tell
//! whether the next one is sound, and one that is not changes nothing: those after it are judged by what stood before.

use std::collections::BTreeMap;

use super::{Effect, Row};
use crate::ids::{LogId, RootHash};
use crate::merkle::Frontier;
use crate::payload::{Observation, ObservedHead, VoidReason};
use crate::transaction::{Audience, Header};

/// The heads after the valid observations of one log: one for each log that it ever named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heads(BTreeMap<LogId, (u64, RootHash)>);

impl Heads {
    /// Before the first observation.
    pub fn new() -> Self {
        Self::default()
    }

    /// The head of a log. `None`: it was never observed.
    pub fn get(&self, log: &LogId) -> Option<ObservedHead> {
        self.0.get(log).map(|(size, root)| ObservedHead { log: *log, size: *size, root: *root })
    }

    /// Puts a head in the place of the one before.
    pub fn put(&mut self, head: &ObservedHead) {
        self.0.insert(head.log, (head.size, head.root));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// In order of log id.
    pub fn iter(&self) -> impl Iterator<Item = ObservedHead> {
        self.0.iter().map(|(log, (size, root))| ObservedHead {
            log: *log,
            size: *size,
            root: *root,
        })
    }

    /// RFC 6962 root over their canonical messages, in order of log id.
    pub fn root(&self) -> RootHash {
        self.iter().map(|head| head.leaf()).collect::<Frontier>().root()
    }

    /// The observation that says that these heads, ascending by log id, are not what they were; they are from now on.
    pub fn observe(&mut self, changed: Vec<ObservedHead>) -> Observation {
        changed.iter().for_each(|head| self.put(head));
        Observation { heads_root: self.root(), heads_count: self.count(), changed }
    }

    /// Judges an observation that follows these heads. They are those after it if it counts, else what they were.
    ///
    /// `missing_below` says that a payload of header audience FEDERATION at a lower position of the log is not here: it may
    /// be an observation too, so this one is pending, unless it breaks a rule that no other one can mend.
    pub fn judge(&mut self, header: &Header, it: &Observation, missing_below: bool) -> Effect {
        if let Err(reason) = check_alone(header, it) {
            return Effect::Void(reason);
        }
        if missing_below {
            return Effect::Pending;
        }
        let before: Vec<_> =
            it.changed.iter().map(|head| (head.log, self.get(&head.log))).collect();
        it.changed.iter().for_each(|head| self.put(head));
        if self.count() == it.heads_count && self.root() == it.heads_root {
            return Effect::Observed;
        }
        for (log, head) in before {
            match head {
                Some(head) => self.put(&head),
                None => drop(self.0.remove(&log)),
            }
        }
        Effect::Void(VoidReason::HeadsDoNotFollow)
    }

    /// Their rows in the index, shared ones: an observation is for everybody.
    pub fn rows(&self, observer: &LogId) -> impl Iterator<Item = Row> {
        self.iter().map(|head| Row::observed(observer, &head))
    }
}

/// The rules that need nothing but the entry.
fn check_alone(header: &Header, it: &Observation) -> Result<(), VoidReason> {
    // Heads that only some may see would give every replica another sum.
    if header.audience != Audience::Federation {
        return Err(VoidReason::ObservationNotForAll);
    }
    // The entry itself commits to its own log, by the link to the entry before.
    if it.changed.iter().any(|head| head.log == header.log_id) {
        return Err(VoidReason::ObservesOwnLog);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Commitment, LeafHash};
    use crate::merkle::{EMPTY_ROOT, leaf_hash, node_hash};

    const OWN: LogId = LogId::new([1; 32]);

    fn header(audience: Audience) -> Header {
        Header {
            charter_version: 1,
            log_id: OWN,
            position: 0,
            previous_leaf: LeafHash::NONE,
            key_id: 1,
            incarnation: 1,
            recorded_hour: 0,
            payload_commitment: Commitment::new([0; 32]),
            payload_size: 256,
            audience,
        }
    }

    fn head(log: u8, size: u64) -> ObservedHead {
        ObservedHead { log: LogId::new([log; 32]), size, root: RootHash::new([size as u8; 32]) }
    }

    /// What an observation does that follows nothing.
    fn first(it: &Observation, audience: Audience, missing_below: bool) -> Effect {
        Heads::new().judge(&header(audience), it, missing_below)
    }

    #[test]
    fn heads_add_up_and_the_root_is_over_all_of_them() {
        let (mut author, mut reader) = (Heads::new(), Heads::new());
        assert_eq!(reader.root(), EMPTY_ROOT);
        let said = [
            author.observe(vec![head(2, 1), head(3, 5)]),
            author.observe(vec![head(4, 2)]),
            // A charter cut a branch.
            author.observe(vec![head(3, 4)]),
        ];
        for it in &said {
            let effect = reader.judge(&header(Audience::Federation), it, false);
            assert_eq!(effect, Effect::Observed);
        }
        assert_eq!(reader, author);
        assert_eq!(reader.iter().collect::<Vec<_>>(), [head(2, 1), head(3, 4), head(4, 2)]);
        assert_eq!(reader.get(&LogId::new([3; 32])), Some(head(3, 4)));
        assert_eq!((said[2].heads_count, said[2].heads_root), (3, reader.root()));
    }

    #[test]
    fn the_root_is_that_of_the_tree_over_the_messages() {
        let mut heads = Heads::new();
        heads.observe(vec![head(2, 1), head(3, 300)]);
        let message = |log: u8, size: &[u8], root: u8| {
            [&[0x0a, 32][..], &[log; 32], &[0x10], size, &[0x1a, 32], &[root; 32]].concat()
        };
        let (left, right) = (message(2, &[1], 1), message(3, &[0xac, 0x02], 300_u64 as u8));
        let root = node_hash(&leaf_hash(&left).into(), &leaf_hash(&right).into());
        assert_eq!(heads.root(), RootHash::from(root));
    }

    #[test]
    fn what_does_not_follow_is_void_and_changes_nothing() {
        let mut heads = Heads::new();
        heads.observe(vec![head(2, 1), head(4, 1)]);
        let before = heads.clone();
        let good = heads.clone().observe(vec![head(2, 2), head(3, 1)]);
        let void = Effect::Void(VoidReason::HeadsDoNotFollow);
        for wrong in [
            Observation { heads_root: RootHash::new([0; 32]), ..good.clone() },
            Observation { heads_count: 2, ..good.clone() },
            Observation { changed: vec![head(2, 2)], ..good.clone() },
            Observation { changed: vec![head(2, 3), head(3, 1)], ..good.clone() },
        ] {
            let effect = heads.judge(&header(Audience::Federation), &wrong, false);
            assert_eq!((effect, &heads), (void, &before), "{wrong:?}");
        }
        let effect = heads.judge(&header(Audience::Federation), &good, false);
        assert_eq!(effect, Effect::Observed, "the void ones stand in nobody's way");
        assert_eq!(first(&good, Audience::Federation, false), void, "head 4 was there before");
    }

    #[test]
    fn it_is_for_all_and_about_others() {
        let it = Heads::new().observe(vec![head(2, 1)]);
        assert_eq!(first(&it, Audience::Federation, false), Effect::Observed);
        let limited = Effect::Void(VoidReason::ObservationNotForAll);
        assert_eq!(first(&it, Audience::Limited, false), limited);
        let own = Heads::new().observe(vec![head(1, 1), head(2, 1)]);
        let void = Effect::Void(VoidReason::ObservesOwnLog);
        assert_eq!(first(&own, Audience::Federation, false), void);
        // What no other payload can mend does not wait for one.
        assert_eq!(first(&own, Audience::Federation, true), void);
        assert_eq!(first(&it, Audience::Limited, true), limited);
        assert_eq!(first(&it, Audience::Federation, true), Effect::Pending);
    }
}
