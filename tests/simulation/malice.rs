//! What one dishonest member does to the frames that it sends: it withholds, replays, damages and lies.
//!
//! That it signs two histories of its own log is not done here: two gateways of it run, and each signs.

use bytes::Bytes;
use prost::Message as _;
use sundbro_proto::federation::v1::Frame;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_store::testing::Dice;

/// Frames that are remembered, to be sent again.
const MEMORY: usize = 64;

/// A dishonest member.
pub struct Malice {
    /// Which member it is.
    pub member: usize,
    /// Of which kinds it is, one bit each.
    kinds: u64,
    sent: Vec<Frame>,
    dice: Dice,
    /// It has done with it.
    pub is_over: bool,
    /// How many frames were not what they should have been.
    pub done: u64,
}

const WITHHOLDS: u64 = 1;
const REPLAYS: u64 = 2;
const DAMAGES: u64 = 4;
const LIES: u64 = 8;
const IS_DEAF_TO_SOME: u64 = 16;
/// How many bits there are.
const KINDS: u64 = 32;

impl Malice {
    pub fn new(member: usize, mut dice: Dice) -> Self {
        let kinds = dice.roll(KINDS);
        Self { member, kinds, sent: Vec::new(), dice, is_over: false, done: 0 }
    }

    fn does(&mut self, kind: u64, one_in: u64) -> bool {
        self.kinds & kind != 0 && self.dice.roll(one_in) == 0
    }

    /// What goes out instead of a frame.
    pub fn instead_of(&mut self, frame: Frame, to: usize) -> Vec<Frame> {
        if self.is_over {
            return vec![frame];
        }
        if self.sent.len() < MEMORY {
            self.sent.push(frame.clone());
        } else {
            let at = self.dice.roll(MEMORY as u64) as usize;
            self.sent[at] = frame.clone();
        }
        let before = frame.clone();
        let out = self.change(frame, to);
        self.done += u64::from(out != [before]);
        out
    }

    fn change(&mut self, frame: Frame, to: usize) -> Vec<Frame> {
        let answers = matches!(
            frame.kind,
            Some(
                Kind::Chunk(_)
                    | Kind::Payloads(_)
                    | Kind::Consistency(_)
                    | Kind::StartAnswer(_)
                    | Kind::Ack(_)
                    | Kind::Evidence(_)
                    | Kind::Charter(_)
            )
        );
        if answers && self.does(WITHHOLDS, 4) {
            return Vec::new();
        }
        if to % 2 == 1 && answers && self.does(IS_DEAF_TO_SOME, 2) {
            return Vec::new();
        }
        if self.does(REPLAYS, 6) {
            let at = self.dice.roll(self.sent.len() as u64) as usize;
            return vec![self.sent[at].clone(), frame];
        }
        if self.does(DAMAGES, 12) {
            return self.damaged(&frame).into_iter().collect();
        }
        if self.does(LIES, 3) {
            return vec![self.lie(frame)];
        }
        vec![frame]
    }

    /// With one bit turned over. `None`: that is no frame any more.
    fn damaged(&mut self, frame: &Frame) -> Option<Frame> {
        let mut bytes = frame.encode_to_vec();
        let bit = self.dice.roll(bytes.len() as u64 * 8) as usize;
        *bytes.get_mut(bit / 8)? ^= 1 << (bit % 8);
        Frame::decode(Bytes::from(bytes)).ok()
    }

    /// Lies about heads, starts and what is held.
    fn lie(&mut self, mut frame: Frame) -> Frame {
        match &mut frame.kind {
            Some(Kind::StartAnswer(answer)) => {
                answer.incarnation = answer.incarnation.wrapping_add(self.dice.roll(5) as u32);
                answer.is_yours = self.dice.roll(2) == 0;
                answer.checkpoint.clear();
            }
            Some(Kind::Ack(ack)) => ack.durable_size += self.dice.roll(1_000),
            Some(Kind::Heads(heads)) => {
                // Older ones, which it once sent in all honesty.
                let older = self.sent.iter().find_map(|frame| match &frame.kind {
                    Some(Kind::Heads(older)) => Some(older.clone()),
                    _ => None,
                });
                *heads = older.unwrap_or_default();
            }
            Some(Kind::Chunk(chunk)) => chunk.tree_size += self.dice.roll(3),
            _ => {}
        }
        frame
    }
}
