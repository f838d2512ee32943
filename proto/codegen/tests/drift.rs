//! The committed Rust is what the `.proto` files give today.

use std::path::Path;

#[test]
fn committed_code_is_generated_from_the_proto_files() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("inside proto/");
    let fresh = tempfile::tempdir().expect("temporary folder");
    sundbro_proto_codegen::generate(proto, fresh.path()).expect("the proto files compile");
    let committed = proto.join("src/gen");
    let mut names: Vec<_> = std::fs::read_dir(fresh.path())
        .expect("readable")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    names.sort();
    let mut there: Vec<_> = std::fs::read_dir(&committed)
        .expect("readable")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    there.sort();
    assert_eq!(names, there, "proto/src/gen holds other files than are generated");
    for name in names {
        let want = std::fs::read(fresh.path().join(&name)).expect("readable");
        let have = std::fs::read(committed.join(&name)).expect("readable");
        assert!(
            want == have,
            "proto/src/gen/{} has drifted: run `cargo run -p sundbro-proto-codegen`",
            name.to_string_lossy()
        );
    }
}

#[test]
fn every_proto_file_is_compiled() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("inside proto/");
    let mut found = Vec::new();
    let mut folders = vec![proto.join("sundbro")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "proto") {
                let relative = path.strip_prefix(proto).expect("below proto/");
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    let mut listed: Vec<_> =
        sundbro_proto_codegen::FILES.iter().map(|file| (*file).to_owned()).collect();
    listed.sort();
    assert_eq!(found, listed);
}
