//! Makes frames, and cuts what is long into frames of at most 1 MiB.

use bytes::Bytes;
use prost::Message;
use sundbro_ledger::ids::{Commitment, LogId};
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{
    self as wire, Blob, CharterFrame, Frame, Head, Heads, Payloads, Problem, WantBlobs, want,
};
use sundbro_proto::ledger::v1::Charter;
use sundbro_store::{BlobKey, BlobKind};

/// Longest frame, encoded.
pub const MAX_FRAME_BYTES: usize = 1 << 20;
/// Room in a frame for what stands around a list: tags, lengths, a log id.
const FRAME_OVERHEAD_BYTES: usize = 256;
/// Tag and length around one element of a list.
const ELEMENT_OVERHEAD_BYTES: usize = 8;
/// Most heads in one frame.
pub const MAX_HEADS: usize = 256;
/// Most blobs asked for at once.
pub const MAX_WANTED_BLOBS: usize = 256;
/// Longest reason of a Problem, in bytes.
const MAX_REASON_BYTES: usize = 64;
/// Longest message of a Problem, in bytes.
const MAX_MESSAGE_BYTES: usize = 512;

/// A frame of one kind.
pub fn frame(kind: Kind) -> Frame {
    Frame { kind: Some(kind) }
}

/// A Problem, cut to its limits.
pub fn problem(reason: &str, message: &str, log: Option<&LogId>, closing: bool) -> Problem {
    Problem {
        reason: cut(reason, MAX_REASON_BYTES),
        message: cut(message, MAX_MESSAGE_BYTES),
        log_id: log.map(log_bytes).unwrap_or_default(),
        closing,
    }
}

fn cut(text: &str, max_bytes: usize) -> String {
    text[..text.floor_char_boundary(max_bytes)].to_owned()
}

/// A log id as it travels.
pub fn log_bytes(log: &LogId) -> Bytes {
    Bytes::copy_from_slice(log.as_bytes())
}

/// Heads frames; at least one, since an empty one tells the peer that we hold nothing.
pub fn heads(heads: Vec<Head>) -> Vec<Frame> {
    let parts = pack(heads, MAX_HEADS);
    if parts.is_empty() {
        return vec![frame(Kind::Heads(Heads::default()))];
    }
    parts.into_iter().map(|heads| frame(Kind::Heads(Heads { heads }))).collect()
}

/// Charter frames, in the order given.
pub fn charters(charters: Vec<Charter>) -> Vec<Frame> {
    let parts = pack(charters, usize::MAX).into_iter();
    parts.map(|charters| frame(Kind::Charter(CharterFrame { charters }))).collect()
}

/// Payloads frames: blobs, then what is missing. At least one, since an empty one is an answer too.
pub fn payloads(log: &LogId, blobs: Vec<Blob>, missing: Vec<BlobKey>) -> Vec<Frame> {
    let log_id = log_bytes(log);
    let mut parts: Vec<Payloads> = pack(blobs, MAX_WANTED_BLOBS)
        .into_iter()
        .map(|blobs| Payloads { log_id: log_id.clone(), blobs, missing: Vec::new() })
        .collect();
    let missing: Vec<_> = missing.iter().map(key_to_wire).collect();
    if parts.is_empty() || !missing.is_empty() {
        parts.push(Payloads { log_id, blobs: Vec::new(), missing });
    }
    parts.into_iter().map(|part| frame(Kind::Payloads(part))).collect()
}

/// Asks for blobs.
pub fn want_blobs(log: &LogId, keys: &[BlobKey]) -> Frame {
    let keys = keys.iter().map(key_to_wire).collect();
    let what = want::What::Blobs(WantBlobs { log_id: log_bytes(log), keys });
    frame(Kind::Want(wire::Want { what: Some(what) }))
}

/// Fills parts with whole elements, in order.
fn pack<M: Message>(elements: Vec<M>, max_elements: usize) -> Vec<Vec<M>> {
    let mut parts = Vec::new();
    let (mut part, mut size) = (Vec::new(), FRAME_OVERHEAD_BYTES);
    for element in elements {
        let len = element.encoded_len() + ELEMENT_OVERHEAD_BYTES;
        if !part.is_empty() && (size + len > MAX_FRAME_BYTES || part.len() == max_elements) {
            parts.push(std::mem::take(&mut part));
            size = FRAME_OVERHEAD_BYTES;
        }
        size += len;
        part.push(element);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// A blob's name as it travels.
pub fn key_to_wire(key: &BlobKey) -> wire::BlobKey {
    let kind = match key.kind {
        BlobKind::Payload => wire::BlobKind::Payload,
        BlobKind::Detail => wire::BlobKind::Detail,
    };
    wire::BlobKey {
        position: key.position,
        kind: kind.into(),
        commitment: Bytes::copy_from_slice(key.commitment.as_bytes()),
    }
}

/// Reads a blob's name; `None` when a field breaks its rule.
pub fn key_from_wire(key: &wire::BlobKey) -> Option<BlobKey> {
    let kind = match wire::BlobKind::try_from(key.kind).ok()? {
        wire::BlobKind::Payload => BlobKind::Payload,
        wire::BlobKind::Detail => BlobKind::Detail,
        wire::BlobKind::Unspecified => return None,
    };
    let commitment = Commitment::try_from(&key.commitment[..]).ok()?;
    Some(BlobKey { position: key.position, kind, commitment })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_fits_and_nothing_is_lost_or_reordered() {
        let note = Bytes::from(vec![7; 60_000]);
        let head = |n: u8| Head { log_id: vec![n; 32].into(), checkpoint: note.clone() };
        let frames = heads((0..100).map(head).collect());
        assert!(frames.len() > 1);
        let mut seen = Vec::new();
        for frame in frames {
            assert!(frame.encoded_len() <= MAX_FRAME_BYTES);
            let Some(Kind::Heads(heads)) = frame.kind else { panic!("Heads") };
            seen.extend(heads.heads.iter().map(|head| head.log_id[0]));
        }
        assert_eq!(seen, (0..100).collect::<Vec<u8>>());
    }

    #[test]
    fn says_nothing_in_one_frame_rather_than_none() {
        assert_eq!(heads(Vec::new()).len(), 1);
        assert_eq!(payloads(&LogId::new([1; 32]), Vec::new(), Vec::new()).len(), 1);
        assert!(charters(Vec::new()).is_empty());
    }

    #[test]
    fn cuts_a_long_message_between_characters() {
        let long = "æ".repeat(400);
        let problem = problem("R", &long, None, true);
        assert_eq!(problem.message.len(), 512);
    }
}
