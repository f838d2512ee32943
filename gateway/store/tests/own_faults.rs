//! Our own log when something does not fit or fails: nothing is signed that peers would drop us for, no entry names a
//! blob that is nowhere, and nothing is acknowledged that may not be sent.

mod common;

use common::{Member, fill, keys_to, register, says};
use sundbro_store::AppendOwnError;

fn hospital() -> Member {
    Member::new("hospital.example", 1)
}

#[test]
fn nothing_is_appended_beyond_the_size_at_which_the_charter_ends_the_checkpoint_key() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    let ends_at_3 = keys_to(&[&member], 3);
    let append = |salt: u64, count: u64| {
        let drafts = (salt..salt + count).map(|n| register(&member, n, &says(n as u8, 1)));
        store.append_own(drafts.collect(), &member.signer(), 1, &ends_at_3)
    };
    let size = || store.log_head(&member.log()).expect("head").size();
    append(1, 2).expect("covered");
    let refused = append(10, 2);
    assert!(matches!(refused, Err(AppendOwnError::CheckpointKey { size: 4 })), "{refused:?}");
    assert_eq!((size(), append(20, 1).expect("covered").head.size()), (2, 3));
    assert!(append(30, 1).is_err());
    assert_eq!(store.log_status(&member.log()).expect("status").committed_size, 3);
    fill(&store, &member, 40, 1);
}
