//! What is large: one file of 200 MB, and very many files.

use std::fs::{self, File};
use std::io::Read as _;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::content::{cda, sidecar};
use crate::harness::{Federation, Member, PATIENCE, eventually, holds_within, scale};
use crate::table::Tally;

const LARGE: u64 = 200 << 20;
/// What a gateway may use more than before, however large what it reads is: frames in flight, caches of pages.
const ROOM_KIB: u64 = 48 << 10;
/// Small files, times the scale.
const MANY: usize = 2_000;
/// How long each thousand of them may take on a slow machine that does something else too.
const PATIENCE_PER_THOUSAND: Duration = Duration::from_secs(60);

pub fn what_is_large(tally: &mut Tally) {
    let mut federation = Federation::running(1);
    let member = federation.at(0);
    one_large_file(tally, member);
    federation.finish();
    very_many_files(tally);
}

/// Memory of the gateway in KiB, as the operating system counts it.
fn memory(member: &Member, field: &str) -> u64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", member.process())).expect("a process");
    let line = status.lines().find(|line| line.starts_with(field)).expect("a field");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// From here on the peak is counted anew; gives what is in use now.
fn forget_peak(member: &Member) -> u64 {
    fs::write(format!("/proc/{}/clear_refs", member.process()), "5").expect("our own process");
    memory(member, "VmRSS:")
}

fn one_large_file(tally: &mut Tally, member: &mut Member) {
    // A small one first, so that everything that is loaded once is loaded.
    let small = member.write_documents(3);
    member.await_registered(&small);
    let first = member.try_list().unwrap_or_default();
    member.retrieve(&first[0].name);

    let (path, draft) =
        (member.documents().join("scan.bin"), member.folder.join("scratch/scan.bin"));
    let file = File::create(&draft).expect("a file");
    file.set_len(LARGE).expect("holes");
    fs::write(member.documents().join("scan.bin.meta.json"), sidecar()).expect("written");
    let before = forget_peak(member);
    fs::rename(draft, &path).expect("put in place");
    let sha256 = digest(&path);
    let mut record = None;
    holds_within(3 * PATIENCE, || {
        let listed = member.try_list().unwrap_or_default();
        record = listed.into_iter().find(|it| it.digest() == sha256);
        record.is_some()
    });
    tally.holds("a file of 200 MB is registered", record.is_some(), member.last_lines());
    let grown = memory(member, "VmHWM:").saturating_sub(before);
    tally.holds("reading it takes no memory", grown < ROOM_KIB, format!("{grown} KiB more"));
    println!("reading 200 MB took {grown} KiB more than the {before} KiB before");

    let before = forget_peak(member);
    let (ended, out) = member.get(&record.map(|it| it.name).unwrap_or_default(), "doctor");
    tally.same("it is served", "0", &ended.code);
    tally.holds("whole", out.exists() && digest(&out) == sha256, &ended);
    let grown = memory(member, "VmHWM:").saturating_sub(before);
    tally.holds("serving it takes no memory", grown < ROOM_KIB, format!("{grown} KiB more"));
    println!("serving 200 MB took {grown} KiB more than the {before} KiB before");
}

fn digest(path: &std::path::Path) -> String {
    let mut file = File::open(path).expect("a file");
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece).expect("read") {
            0 => return hex::encode(hash.finalize()),
            count => hash.update(&piece[..count]),
        }
    }
}

fn very_many_files(tally: &mut Tally) {
    let many = MANY * scale();
    let mut federation = Federation::found(1);
    let member = federation.at(0);
    for number in 0..many {
        let folder = member.documents().join((number / 1000).to_string());
        if number % 1000 == 0 {
            fs::create_dir(&folder).expect("a folder");
        }
        fs::write(folder.join(format!("{number}.xml")), cda(&format!("many {number}")))
            .expect("written");
    }
    member.start();
    let began = Instant::now();
    let mut records = 0;
    let limit = PATIENCE + PATIENCE_PER_THOUSAND * (many / 1000) as u32;
    holds_within(limit, || {
        let status = member.try_status();
        records = status.map_or(0, |status| status.adapters[0].records as usize);
        std::thread::sleep(Duration::from_millis(200));
        records == many
    });
    tally.same(&format!("{many} files at once are registered"), &many, &records);
    println!(
        "{many} files: {:.1} s, peak {} KiB",
        began.elapsed().as_secs_f32(),
        memory(member, "VmHWM:")
    );
    eventually("the scan ends", || member.try_status().filter(|it| it.adapters[0].scanned));
    federation.finish();
}
