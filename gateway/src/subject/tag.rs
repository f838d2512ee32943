//! The one place where a person's identifier becomes a tag.
//!
//! Nothing else in the gateway calls `expose_for_tag`; a test of the repository's tidiness holds that.

use sundbro_adapters::subject::LocalSubject;
use sundbro_ledger::ids::SubjectTag;
use sundbro_ledger::subject::{SubjectKey, subject_tag};

use super::SubjectKeys;

/// The tag of a person in one epoch.
pub fn tag(subject: &LocalSubject, epoch: u32, key: &SubjectKey) -> SubjectTag {
    let (system, value) = subject.expose_for_tag();
    subject_tag(epoch, key, system, value)
        .expect("a LocalSubject holds at most 1,024 bytes of each, a tag takes 65,535")
}

/// The tag that new entries carry: in the newest epoch of the charter whose key we hold. `None`: we hold no key yet.
pub fn tag_for_writing(subject: &LocalSubject, keys: &SubjectKeys) -> Option<SubjectTag> {
    let (epoch, key) = keys.newest()?;
    Some(tag(subject, epoch, &key))
}

/// The tags to search for: one in every epoch whose key we hold, oldest first.
pub fn tags_for_locating(subject: &LocalSubject, keys: &SubjectKeys) -> Vec<SubjectTag> {
    keys.all().iter().map(|(epoch, key)| tag(subject, *epoch, key)).collect()
}
