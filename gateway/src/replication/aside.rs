//! Keeps the checkpoints that can be judged once our charter is as new as the peer's.
//!
//! Nothing about them is verified yet, so a peer may invent as many as it likes: only so much is kept, and what is left
//! out comes again, since heads are repeated.

use std::collections::BTreeMap;

use bytes::Bytes;
use sundbro_ledger::checkpoint::{Origin, UnverifiedCheckpoint};
use sundbro_ledger::ids::{FederationId, LogId, MemberName};

use super::frames::{MAX_FRAME_BYTES, MAX_HEADS};

/// Most checkpoints that are kept: what one Heads frame holds. More newcomers at once come with the next frames.
const MAX_ASIDE: usize = MAX_HEADS;
/// Most bytes that are kept, over all checkpoints of one session.
const MAX_ASIDE_BYTES: usize = MAX_FRAME_BYTES;

/// One checkpoint of each member, the one shown last.
#[derive(Debug, Default)]
pub(super) struct Aside {
    notes: BTreeMap<MemberName, (LogId, Bytes)>,
    bytes: usize,
}

impl Aside {
    /// Keeps a checkpoint if it is of this federation and there is room.
    pub(super) fn keep(
        &mut self,
        federation: &FederationId,
        checkpoint: &UnverifiedCheckpoint,
        note: &[u8],
    ) {
        let Ok(origin) = Origin::parse(checkpoint.origin()) else { return };
        if !origin.is_of(federation) {
            return;
        }
        if let Some((_, old)) = self.notes.remove(origin.member()) {
            self.bytes -= old.len();
        }
        if self.notes.len() >= MAX_ASIDE || self.bytes + note.len() > MAX_ASIDE_BYTES {
            return;
        }
        self.bytes += note.len();
        // A copy: a slice would keep the whole frame in memory.
        let kept = (checkpoint.log_id(), Bytes::copy_from_slice(note));
        self.notes.insert(origin.member().clone(), kept);
    }

    /// All of them, to be judged again.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (LogId, Bytes)> + use<> {
        std::mem::take(self).notes.into_values()
    }
}

#[cfg(test)]
mod tests {
    use sundbro_ledger::checkpoint::{Checkpoint, sign_checkpoint};
    use sundbro_ledger::merkle::EMPTY_ROOT;
    use sundbro_ledger::signing::SigningKey;

    use super::*;

    const OURS: FederationId = FederationId::new([1; 32]);

    fn show(aside: &mut Aside, member: &str, federation: &FederationId, epoch: u32) -> Bytes {
        let member = MemberName::new(member).expect("a name");
        let origin = Origin::new(&member, federation, epoch);
        let checkpoint = Checkpoint::new(&origin, 0, EMPTY_ROOT);
        let note = Bytes::from(sign_checkpoint(&checkpoint, &SigningKey::from_seed(&[9; 32])));
        // Received in the middle of a frame.
        let frame = Bytes::from([&[0; 4_096][..], &note].concat());
        let received = frame.slice(4_096..);
        let parsed = UnverifiedCheckpoint::parse(&received).expect("well formed");
        aside.keep(&OURS, &parsed, &received);
        received
    }

    #[test]
    fn keeps_one_of_each_member_of_this_federation() {
        let mut aside = Aside::default();
        show(&mut aside, "gp.example", &OURS, 1);
        let newest = show(&mut aside, "gp.example", &OURS, 2);
        show(&mut aside, "lab.example", &FederationId::new([2; 32]), 1);
        let kept: Vec<_> = aside.take().map(|(_, note)| note).collect();
        assert_eq!(kept, std::slice::from_ref(&newest));
        assert_ne!(kept[0].as_ptr(), newest.as_ptr(), "the frame is not held");
        assert_eq!(aside.take().count(), 0);
        assert_eq!(aside.bytes, 0);
    }

    #[test]
    fn keeps_no_more_than_one_frame_of_inventions() {
        let mut aside = Aside::default();
        for number in 0..2_000 {
            show(&mut aside, &format!("invented-{number}.example"), &OURS, 1);
        }
        assert_eq!(aside.notes.len(), MAX_ASIDE);
        assert!(aside.bytes <= MAX_ASIDE_BYTES);
    }
}
