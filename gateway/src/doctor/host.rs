//! The machine: open files, the disk under the data folder, randomness, and whether its clock can be right.

use std::path::Path;
use std::time::SystemTime;

use super::Report;
use crate::cli::Exit;
use crate::config::Config;

/// Fewer open files than this are used up by the connections that the configuration allows.
const LEAST_OPEN_FILES: u64 = 4_096;
/// File systems over a network: a commit is durable when they say so, and some say so too early.
const NETWORK_DISKS: [&str; 7] = ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "glusterfs"];
/// No release is older than this: a clock before it is wrong. 2026-01-01.
const EARLIEST_UNIX_SECONDS: i64 = 1_767_225_600;
/// How far in the future a file that we wrote may seem to be.
const FUTURE_SECONDS: u64 = 120;

/// Looks at the machine.
pub(super) fn examine(config: &Config, report: &mut Report) {
    report.category("host");
    match crate::tls::draw_first_random() {
        Ok(()) => report.good("the operating system gives random bytes"),
        Err(error) => report.failed(Exit::Failed, error.to_string(), "as it says"),
    }
    match open_files(&std::fs::read_to_string("/proc/self/limits").unwrap_or_default()) {
        Some(limit) if limit < LEAST_OPEN_FILES => report.warning(
            format!("at most {limit} files may be open at once"),
            "raise it to 4,096 or more: LimitNOFILE= of systemd, `ulimit -n` of a shell",
        ),
        Some(limit) => report.good(format!("{limit} files may be open at once")),
        None => report.not_looked_at("this system does not tell how many files may be open"),
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let folder = config.data_dir.canonicalize().unwrap_or_else(|_| config.data_dir.clone());
    match disk_of(&mounts, &folder) {
        Some(kind) if NETWORK_DISKS.contains(&kind.as_str()) => report.warning(
            format!("data_dir lies on a network disk ({kind})"),
            "move it to a local disk: a commit must be durable when the disk says so",
        ),
        Some(kind) => report.good(format!("data_dir lies on {kind}")),
        None => report.not_looked_at("this system does not tell what data_dir lies on"),
    }
}

/// Looks at the clock. Peers compare it too (`doctor peer`).
pub(super) fn examine_clock(config: &Config, report: &mut Report) {
    report.category("clock");
    let now = crate::clock::unix_seconds();
    if now < EARLIEST_UNIX_SECONDS {
        report.failed(
            Exit::Failed,
            "the clock says a year before this software was made",
            "set it, and let NTP keep it",
        );
        return;
    }
    let newest = newest_change(&config.data_dir);
    let ahead = newest.and_then(|at| at.duration_since(SystemTime::now()).ok());
    match ahead.map(|ahead| ahead.as_secs()) {
        Some(seconds) if seconds > FUTURE_SECONDS => report.warning(
            format!("a file of data_dir was written {seconds} s from now: the clock went back"),
            "compare it with another clock, and let NTP keep it",
        ),
        _ => report.good("no file of data_dir was written later than now"),
    }
}

/// The soft limit, of `/proc/self/limits`.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// The file system of the longest mount point above `folder`, of `/proc/self/mountinfo`.
fn disk_of(mounts: &str, folder: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let point = left.split(' ').nth(4)?.to_owned();
        let kind = right.split(' ').next()?.to_owned();
        folder.starts_with(&point).then_some((point.len(), kind))
    };
    mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

fn newest_change(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?;
    let changed =
        |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.metadata().ok()?.modified().ok();
    entries.filter_map(changed).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_that_of_the_longest_mount_point() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                      30 22 0:50 / /var/lib rw master:2 - nfs4 server:/x rw\n\
                      31 22 0:51 / /var/lib/sundbro rw - xfs /dev/sdb rw\n";
        let check = |folder: &str, kind: &str| {
            assert_eq!(disk_of(mounts, Path::new(folder)).as_deref(), Some(kind), "{folder}");
        };
        check("/var/lib/sundbro/data", "xfs");
        check("/var/lib/sundbro2", "nfs4");
        check("/srv", "ext4");
        assert_eq!(disk_of("", Path::new("/")), None);
    }

    #[test]
    fn the_soft_limit_of_open_files_is_read() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(open_files(limits), Some(1024));
        assert_eq!(open_files("Max open files  unlimited unlimited files"), Some(u64::MAX));
        assert_eq!(open_files(""), None);
    }
}
