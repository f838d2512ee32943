//! The binary under test: built once, with the test-only features, and run as an operator runs it.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use super::place::Place;

/// Path of the binary. SUNDBRO_BIN names another one, which must have the test-only features.
pub fn sundbro() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("SUNDBRO_BIN") {
        Some(binary) => binary.into(),
        None => build(),
    })
}

/// Cargo says where it put the binary, so target folders and profiles need no guessing.
fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--locked", "-p", "sundbro-gateway", "--bin", "sundbro"])
        .args(["--features", "stop-points,sabotage,protocol-2", "--message-format", "json"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "the binary does not build");
    let messages = String::from_utf8(built.stdout).expect("cargo speaks UTF-8");
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the binary")
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Ended {
    /// What it printed, as JSON. `Null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or(Value::Null)
    }

    /// Fails the test unless it ended well.
    pub fn good(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self
    }
}

/// Runs one command in `folder` to its end.
pub fn run<A: AsRef<OsStr>>(folder: &Path, arguments: &[A], input: &str) -> Ended {
    run_at(&Place::here(), folder, arguments, input)
}

/// As [`run`], at a place.
pub fn run_at<A: AsRef<OsStr>>(
    place: &Place,
    folder: &Path,
    arguments: &[A],
    input: &str,
) -> Ended {
    let mut child = place
        .command(sundbro())
        .args(arguments)
        .current_dir(folder)
        .env_remove("SUNDBRO_CLIENT")
        .env_remove("SUNDBRO_CONFIG")
        .env_remove("SUNDBRO_FEDERATION")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // A command that does not read its input closes it; that is no failure.
    drop(child.stdin.take().expect("piped").write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the binary ends");
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
