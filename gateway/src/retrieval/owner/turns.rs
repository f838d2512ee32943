//! How many retrievals of one member are under way at once: one that asks for too many waits, and nobody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sundbro_ledger::ids::MemberName;

/// Retrievals of one member at once. Each keeps a source open and at most 1 MiB of a record in memory; a hospital that
/// opens the whole file of a patient at once gets through.
pub const MAX_RETRIEVALS_PER_MEMBER: usize = 64;

/// Counts what is under way.
#[derive(Debug)]
pub(super) struct Turns {
    most: usize,
    taken: Mutex<BTreeMap<MemberName, usize>>,
}

impl Turns {
    /// So many for each member.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// One more of this member, until what is returned is dropped. `None`: it has as many as it may have.
    pub(super) fn take(self: &Arc<Self>, member: &MemberName) -> Option<Turn> {
        let mut taken = self.taken();
        let count = taken.entry(member.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Turn { member: member.clone(), turns: self.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<MemberName, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One retrieval that is under way.
#[derive(Debug)]
pub(super) struct Turn {
    member: MemberName,
    turns: Arc<Turns>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = self.turns.taken();
        if let Some(count) = taken.get_mut(&self.member) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.member);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_has_turns_of_its_own_and_gets_them_back() {
        let member = |name| MemberName::new(name).expect("a name");
        let turns = Turns::new(2);
        let (one, other) = (member("one.example"), member("other.example"));
        let first = turns.take(&one).expect("a turn");
        let second = turns.take(&one).expect("a turn");
        assert!(turns.take(&one).is_none());
        let elsewhere = turns.take(&other).expect("another's turn");
        drop(first);
        let third = turns.take(&one).expect("one came back");
        drop((second, third, elsewhere));
        assert!(turns.taken().is_empty(), "nothing is kept of who is gone");
    }
}
