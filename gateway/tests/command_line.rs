//! What a command does when whoever reads its output does not.

use std::process::{Command, Stdio};

/// Writes through a pipe that nobody reads any more, as after `| head -1`.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn sundbro(args: &[&str], out: Stdio, err: Stdio) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sundbro"));
    command.args(args).stdout(out).stderr(err).status().expect("runs").code()
}

/// It panicked, with a message about a defect and exit code 101.
#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().to_str().expect("UTF-8");
    let args = ["certs", "dev", path, "--member", "hospital.example"];
    assert_eq!(sundbro(&args, unread(), Stdio::inherit()), Some(0));
}

#[test]
fn an_error_that_nobody_reads_is_told_by_the_exit_code_all_the_same() {
    let args = ["config", "check", "--config", "/nowhere/gateway.toml"];
    assert_eq!(sundbro(&args, Stdio::null(), unread()), Some(2));
}
