//! Checks the outbox: every draft reads, and every locator that waits does so for a draft that is there.
//!
//! A draft whose blobs are gone is no damage here: a crash leaves one that was being dropped.

use super::Report;
use crate::database::{ALL_KEYS, Db, opened, walk};
use crate::error::Damage;
use crate::outbox::{ahead_number, draft_reads};
use crate::tables::{OUTBOX, OUTBOX_LOCATORS};

pub(super) fn check(db: &Db, report: &mut Report) {
    report.part(&OUTBOX, |report| {
        // A value that is not as it was sealed is named by the check of all rows.
        walk(&db.read()?.table(&OUTBOX)?, &OUTBOX, ALL_KEYS, |key, value| {
            if let Ok(body) = opened(&OUTBOX, key, value)
                && !draft_reads(body)
            {
                report.found(Damage::of_table(&OUTBOX, "a draft does not have its fields"));
            }
            Ok(true)
        })
    });
    report.part(&OUTBOX_LOCATORS, |report| {
        let view = db.read()?;
        walk(&view.table(&OUTBOX_LOCATORS)?, &OUTBOX_LOCATORS, ALL_KEYS, |key, value| {
            if let Ok(body) = opened(&OUTBOX_LOCATORS, key, value) {
                let number = ahead_number(body);
                let draft = number.map(|it| view.get(&OUTBOX, &it.to_be_bytes())).transpose()?;
                if draft.flatten().is_none() {
                    let problem = "a locator waits for a draft that is not here";
                    report.found(Damage::of_table(&OUTBOX_LOCATORS, problem));
                }
            }
            Ok(true)
        })
    });
}
