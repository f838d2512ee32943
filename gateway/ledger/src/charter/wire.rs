//! The head of a charter as a message, and back.

use bytes::Bytes;
use sundbro_proto::ledger::v1;

use super::head::{FORMAT, SUBJECT_SCHEME};
use super::{
    CertificateAuthority, CharterHead, CharterLimits, Environment, HeadError, LogBranch, Steward,
    SubjectEpoch,
};
use crate::fields::{array, field};
use crate::ids::{CharterDigest, LogId, MemberName, RootHash};
use crate::signing::VerifyingKey;

impl CharterHead {
    pub(super) fn to_wire(&self) -> v1::CharterHead {
        let limits = (self.limits != CharterLimits::default()).then_some(v1::CharterLimits {
            max_format: self.limits.written_max_format,
            max_log_bytes_per_day: self.limits.written_max_log_bytes_per_day,
        });
        v1::CharterHead {
            format: FORMAT,
            version: self.version,
            previous: self.previous.iter().map(|digest| field(digest.as_bytes())).collect(),
            branches: self.branches.iter().map(branch_to_wire).collect(),
            environment: self.environment.to_wire(),
            stewards: self.stewards.iter().map(steward_to_wire).collect(),
            threshold: self.threshold,
            authorities: self.authorities.iter().map(authority_to_wire).collect(),
            recovery_quorum: self.recovery_quorum,
            witness_quorum: self.witness_quorum,
            limits,
            subject_epochs: self.subject_epochs.iter().map(subject_epoch_to_wire).collect(),
            members_count: self.members_count,
            members_root: field(self.members_root.as_bytes()),
        }
    }

    pub(super) fn from_wire(wire: &v1::CharterHead) -> Result<Self, HeadError> {
        if wire.format != FORMAT {
            return Err(HeadError::Format { format: wire.format });
        }
        let digest =
            |bytes: &Bytes| array(bytes).map(CharterDigest::new).ok_or(HeadError::Previous);
        let limits = match &wire.limits {
            None => CharterLimits::default(),
            Some(limits) if *limits == v1::CharterLimits::default() => {
                return Err(HeadError::EmptyLimits);
            }
            Some(limits) => CharterLimits {
                written_max_format: limits.max_format,
                written_max_log_bytes_per_day: limits.max_log_bytes_per_day,
            },
        };
        let authorities = wire.authorities.iter().enumerate();
        Ok(Self {
            version: wire.version,
            previous: wire.previous.iter().map(digest).collect::<Result<_, _>>()?,
            branches: wire.branches.iter().map(branch_from_wire).collect::<Result<_, _>>()?,
            environment: Environment::from_wire(wire.environment).ok_or(HeadError::Environment)?,
            stewards: wire.stewards.iter().map(steward_from_wire).collect::<Result<_, _>>()?,
            threshold: wire.threshold,
            authorities: authorities.map(authority_from_wire).collect::<Result<_, _>>()?,
            recovery_quorum: wire.recovery_quorum,
            witness_quorum: wire.witness_quorum,
            limits,
            subject_epochs: (wire.subject_epochs.iter())
                .map(subject_epoch_from_wire)
                .collect::<Result<_, _>>()?,
            members_count: wire.members_count,
            members_root: array(&wire.members_root)
                .map(RootHash::new)
                .ok_or(HeadError::MembersRoot)?,
        })
    }
}

fn branch_from_wire(wire: &v1::LogBranch) -> Result<LogBranch, HeadError> {
    let log_id = array(&wire.log_id).map(LogId::new).ok_or(HeadError::Branches)?;
    let root = array(&wire.root).map(RootHash::new).ok_or(HeadError::Branches)?;
    Ok(LogBranch { log_id, size: wire.size, root })
}

fn branch_to_wire(branch: &LogBranch) -> v1::LogBranch {
    v1::LogBranch {
        log_id: field(branch.log_id.as_bytes()),
        size: branch.size,
        root: field(branch.root.as_bytes()),
    }
}

fn steward_from_wire(wire: &v1::Steward) -> Result<Steward, HeadError> {
    let ordinal = wire.ordinal;
    let key = array(&wire.public_key)
        .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
        .ok_or(HeadError::StewardKey { ordinal })?;
    Ok(Steward { ordinal, name: wire.name.clone(), key })
}

fn steward_to_wire(steward: &Steward) -> v1::Steward {
    v1::Steward {
        ordinal: steward.ordinal,
        name: steward.name.clone(),
        public_key: field(steward.key.as_bytes()),
    }
}

fn authority_from_wire(
    (place, wire): (usize, &v1::CertificateAuthority),
) -> Result<CertificateAuthority, HeadError> {
    let wrong = |problem| HeadError::Authority { place, problem };
    let name = |name: &String| {
        MemberName::new(name).map_err(|_| wrong("may certify a name that is no member name"))
    };
    Ok(CertificateAuthority {
        certificate_sha256: array(&wire.certificate_sha256)
            .ok_or(wrong("has a digest that is not 32 bytes"))?,
        certificate: wire.certificate.clone(),
        members: wire.members.iter().map(name).collect::<Result<_, _>>()?,
    })
}

fn authority_to_wire(authority: &CertificateAuthority) -> v1::CertificateAuthority {
    v1::CertificateAuthority {
        certificate_sha256: field(&authority.certificate_sha256),
        certificate: authority.certificate.clone(),
        members: authority.members.iter().map(ToString::to_string).collect(),
    }
}

fn subject_epoch_from_wire(wire: &v1::SubjectEpoch) -> Result<SubjectEpoch, HeadError> {
    let wrong = |problem| HeadError::SubjectEpoch { epoch: wire.epoch, problem };
    if wire.scheme != SUBJECT_SCHEME {
        return Err(wrong("has a scheme that this software does not know: upgrade it"));
    }
    let key_commitment =
        array(&wire.key_commitment).ok_or(wrong("has a commitment that is not 32 bytes"))?;
    Ok(SubjectEpoch { epoch: wire.epoch, key_commitment })
}

fn subject_epoch_to_wire(one: &SubjectEpoch) -> v1::SubjectEpoch {
    v1::SubjectEpoch {
        epoch: one.epoch,
        scheme: SUBJECT_SCHEME,
        key_commitment: field(&one.key_commitment),
    }
}
