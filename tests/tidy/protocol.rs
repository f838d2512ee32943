//! `docs/protocol.md` names the hash of the `.proto` files that it was written for.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::repository::{files, root};

/// SHA-256 over one line per file, `<hex of its SHA-256>  <path below proto/>`, in order of path. By hand:
/// `cd proto && find sundbro -name '*.proto' | LC_ALL=C sort | xargs sha256sum | sha256sum`.
fn hash_of_protos() -> Option<String> {
    let mut protos: Vec<_> = files()?
        .into_iter()
        .filter_map(|file| Some(file.strip_prefix("proto/")?.to_owned()))
        .filter(|file| file.ends_with(".proto"))
        .collect();
    protos.sort();
    assert!(protos.len() >= 4, "{protos:?}");
    let mut list = String::new();
    for file in protos {
        let bytes = std::fs::read(root().join("proto").join(&file)).expect("listed a moment ago");
        writeln!(list, "{}  {file}", hex::encode(Sha256::digest(bytes))).expect("a String grows");
    }
    Some(hex::encode(Sha256::digest(list)))
}

#[test]
fn the_page_was_read_again_after_the_last_change_of_a_proto_file() {
    let Some(hash) = hash_of_protos() else { return };
    let page = std::fs::read_to_string(root().join("docs/protocol.md")).expect("the page is there");
    assert!(
        page.contains(&hash),
        "a .proto file changed: bring docs/protocol.md up to it, then pin `{hash}` there"
    );
}
