//! Laws of the frames between gateways, and of what each of them carries.

use prost::Message as _;
use sundbro_gateway::replication::{PROTOCOL_MAX, PROTOCOL_MIN, judge_hello};
use sundbro_gateway::subject::grant;
use sundbro_ledger::merkle::{MAX_PROOF_HASHES, proof_from_wire};
use sundbro_ledger::subject::key_commitment;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{self as wire, Frame, Hello};
use sundbro_proto::ledger::v1::SubjectKeyGrant;

use crate::Verdict;
use crate::charters::charter_message;
use crate::notes::checkpoint;
use crate::trees::chunk_frame;
use crate::world::{CLINIC, HOSPITAL, name, sealing, subject_key, world};

/// Bytes as a frame.
pub fn frame(bytes: &[u8]) -> Verdict {
    let Ok(frame) = Frame::decode(bytes) else { return Verdict::Refused };
    let written = frame.encode_to_vec();
    assert_eq!(
        Frame::decode(&written[..]).as_ref(),
        Ok(&frame),
        "a frame is written as it was read"
    );
    // What a parser forgives is left out; a list of one number takes a byte more when it is packed.
    assert!(written.len() <= 2 * bytes.len(), "a frame of {} bytes grew", bytes.len());
    frame.kind.map_or(Verdict::Refused, kind)
}

fn kind(kind: Kind) -> Verdict {
    match kind {
        Kind::Hello(hello) => hello_frame(&hello),
        Kind::Heads(wire::Heads { heads }) => {
            heads.iter().fold(Verdict::Refused, |sum, head| checkpoint(&head.checkpoint).or(sum))
        }
        Kind::Consistency(wire::Consistency { proof: Some(proof), .. }) => {
            let read = proof_from_wire(&proof.hashes);
            if read.is_ok() {
                assert!(proof.hashes.len() <= MAX_PROOF_HASHES);
            }
            Verdict::of(&read)
        }
        Kind::Chunk(chunk) => chunk_frame(&chunk).or(checkpoint(&chunk.checkpoint)),
        Kind::Charter(frame) => frame
            .charters
            .iter()
            .fold(Verdict::Refused, |sum, charter| charter_message(charter).or(sum)),
        Kind::KeyGrant(wire::KeyGrant { grant: Some(grant) }) => key_grant(&grant),
        Kind::StartAnswer(answer) => checkpoint(&answer.checkpoint),
        // Read by their fields alone: the byte matrix sends them to a gateway.
        Kind::Consistency(_)
        | Kind::Want(_)
        | Kind::Payloads(_)
        | Kind::KeyGrant(_)
        | Kind::StartQuestion(_)
        | Kind::Problem(_)
        | Kind::Ack(_) => Verdict::Taken,
        Kind::Evidence(frame) => crate::evidence::evidence(&frame.evidence),
    }
}

fn hello_frame(hello: &Hello) -> Verdict {
    let id = world().history.federation_id();
    let judged =
        judge_hello(hello, &name(HOSPITAL), &name(CLINIC), &id, &(PROTOCOL_MIN..=PROTOCOL_MAX));
    match &judged {
        Ok(greeting) => {
            assert_eq!(hello.member, CLINIC);
            assert_eq!(hello.federation_id, id.as_bytes()[..]);
            // It is logged and shown by `status`.
            let shown = |byte: u8| (b' '..=b'~').contains(&byte);
            assert!(greeting.software.len() <= 64 && greeting.software.bytes().all(shown));
        }
        Err(error) => {
            // A Problem says it, and the operator of the other side reads it.
            let text = error.to_string();
            assert!(text.len() <= 512 && !text.chars().any(char::is_control), "{text:?}");
        }
    }
    Verdict::of(&judged)
}

fn key_grant(grant: &SubjectKeyGrant) -> Verdict {
    let id = world().history.federation_id();
    let key = subject_key(1);
    let commitment = key_commitment(1, &key);
    let opened = grant::open(grant, &sealing(CLINIC), &id, &name(CLINIC), &commitment);
    if let Ok(opened) = &opened {
        assert_eq!(opened.expose(), key.expose(), "the charter commits to another key");
        assert_eq!(grant.epoch, 1);
    }
    Verdict::of(&opened)
}
