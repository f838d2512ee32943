//! Who must answer that our own log may be signed, and what their answers come to. Pure: answers in, a count out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use sundbro_ledger::ids::MemberName;

/// Too few other members answered that we may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{answered} of {needed} other members have answered that our log may be signed")]
pub struct NoQuorum {
    /// How many have.
    pub answered: usize,
    /// How many must, by the charter.
    pub needed: usize,
}

/// Who must be asked, and how many of them must answer: what a charter says, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Electorate {
    /// Every active member but us.
    pub peers: BTreeSet<MemberName>,
    /// `recovery_quorum`.
    pub needed: usize,
}

/// What one peer answered last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    /// The question.
    pub(super) round: u64,
    /// Highest start of us that the peer knows.
    pub(super) incarnation: u32,
    /// Whether that is the one that asked.
    pub(super) is_ours: bool,
}

/// What each peer answered last.
#[derive(Debug, Default)]
pub(super) struct Answers(BTreeMap<MemberName, Answer>);

/// What the answers to some questions come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tally {
    /// How many peers that count answered that we are the newest start.
    pub(super) for_us: usize,
    /// Whether enough of the peers may still answer so.
    pub(super) may_suffice: bool,
    /// The highest other start that one of them knows, and who.
    pub(super) outbid: Option<(u32, MemberName)>,
}

impl Answers {
    /// Keeps what a peer answered, unless it has answered a later question already.
    pub(super) fn keep(&mut self, peer: &MemberName, answer: Answer) {
        if self.0.get(peer).is_none_or(|held| held.round <= answer.round) {
            self.0.insert(peer.clone(), answer);
        }
    }

    /// What a peer answered counts no more.
    pub(super) fn forget(&mut self, peer: &MemberName) {
        self.0.remove(peer);
    }

    /// Nobody has answered: what was answered was about another start.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many of the peers have answered at all.
    pub(super) fn of(&self, electorate: &Electorate) -> usize {
        electorate.peers.iter().filter(|peer| self.0.contains_key(*peer)).count()
    }

    /// What the answers to these questions come to.
    pub(super) fn tally(&self, electorate: &Electorate, rounds: RangeInclusive<u64>) -> Tally {
        let counted = electorate.peers.iter().filter_map(|peer| {
            let answer = self.0.get(peer).filter(|answer| rounds.contains(&answer.round));
            answer.map(|answer| (peer, *answer))
        });
        let (ours, others): (Vec<_>, Vec<_>) = counted.partition(|(_, answer)| answer.is_ours);
        let highest = others.iter().max_by_key(|(_, answer)| answer.incarnation);
        Tally {
            for_us: ours.len(),
            may_suffice: electorate.peers.len() - others.len() >= electorate.needed,
            outbid: highest.map(|(peer, answer)| (answer.incarnation, (*peer).clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> MemberName {
        MemberName::new(&format!("m{number}.example")).expect("a name")
    }

    fn electorate(needed: usize) -> Electorate {
        Electorate { peers: (0..4).map(name).collect(), needed }
    }

    fn answers(given: &[(usize, u64, u32, bool)]) -> Answers {
        let mut answers = Answers::default();
        for &(peer, round, incarnation, is_ours) in given {
            answers.keep(&name(peer), Answer { round, incarnation, is_ours });
        }
        answers
    }

    #[test]
    fn answers_count_from_active_peers_to_the_questions_asked() {
        let answers =
            answers(&[(0, 7, 3, true), (1, 6, 3, true), (2, 7, 9, false), (9, 7, 3, true)]);
        let tally = |rounds| answers.tally(&electorate(2), rounds);
        assert_eq!(tally(7..=7).for_us, 1, "one answered an earlier question, one is no peer");
        assert_eq!(tally(6..=7).for_us, 2);
        assert_eq!(tally(7..=7).outbid, Some((9, name(2))));
        assert_eq!(tally(8..=8), Tally { for_us: 0, may_suffice: true, outbid: None });
        assert_eq!(answers.of(&electorate(2)), 3);
    }

    #[test]
    fn a_late_answer_to_an_earlier_question_changes_nothing() {
        let answers = answers(&[(0, 7, 3, true), (0, 6, 9, false)]);
        assert_eq!(answers.tally(&electorate(1), 1..=7).for_us, 1);
    }

    #[test]
    fn the_rest_suffice_until_too_many_know_a_later_start() {
        let refuse = |count: usize| -> Vec<_> { (0..count).map(|it| (it, 1, 9, false)).collect() };
        let check = |count: usize, needed: usize, suffices: bool| {
            let tally = answers(&refuse(count)).tally(&electorate(needed), 1..=1);
            assert_eq!(tally.may_suffice, suffices, "{count} refuse, {needed} are needed");
        };
        check(1, 2, true);
        check(2, 2, true);
        check(3, 2, false);
        check(0, 4, true);
        check(1, 4, false);
    }
}
