//! What happens to files and folders while a gateway watches them.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::content::{cda, sidecar};
use crate::harness::{Federation, Member, PATIENCE, holds_within};
use crate::table::{Seen, Tally};

/// From so many items on an emptied folder is held.
const GUARDED: usize = 10;

fn digest(content: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(content))
}

/// Put in place whole.
fn put(member: &Member, file: &str, content: impl AsRef<[u8]>) {
    let draft = member.folder.join("scratch/draft");
    fs::write(&draft, content).expect("written");
    fs::rename(draft, member.documents().join(file)).expect("put in place");
}

/// Waits until the gateway says so.
fn becomes(tally: &mut Tally, member: &Member, name: &str, wanted: impl Fn(&Seen) -> bool) {
    let mut seen = Seen::default();
    let holds = holds_within(PATIENCE, || {
        seen = Seen::of(member).unwrap_or_default();
        wanted(&seen)
    });
    tally.holds(name, holds, &seen);
}

pub fn what_changes(tally: &mut Tally) {
    let mut federation = Federation::running(1);
    let member = federation.at(0);
    let place = |file: &str| member.documents().join(file);
    let is = |reason: &'static str| {
        move |seen: &Seen| seen.quarantine.get("a.xml").is_some_and(|it| it == reason)
    };
    let only = |content: String| {
        move |seen: &Seen| {
            seen.quarantine.is_empty()
                && seen.digests.len() == 1
                && seen.digests.contains(&digest(&content))
        }
    };
    let (first, second) = (cda("first"), cda("second"));

    fs::write(place("a.xml"), &first[..200]).expect("written");
    becomes(tally, member, "half of a file is set aside", is("BAD_XML"));
    fs::write(place("a.xml"), &first).expect("written");
    becomes(tally, member, "the whole file is registered", only(first.clone()));
    let name = |member: &Member| {
        member
            .try_list()
            .map(|list| list.into_iter().map(|it| (it.name, it.version)).collect::<Vec<_>>())
    };
    let before = name(member).unwrap_or_default();
    put(member, "a.xml", &second);
    becomes(tally, member, "another content is the record's next version", only(second.clone()));
    let after = name(member).unwrap_or_default();
    let next = |(name, version): &(String, u32)| (name.clone(), version + 1);
    tally.holds(
        "it keeps its name",
        after == before.iter().map(next).collect::<Vec<_>>(),
        (&before, &after),
    );
    fs::File::create(place("a.xml")).expect("shortened");
    becomes(tally, member, "a file that shrank to nothing is set aside", is("EMPTY"));
    put(member, "a.xml", &first);
    becomes(tally, member, "and comes back", only(first.clone()));
    fs::rename(place("a.xml"), place("A.xml")).expect("renamed");
    becomes(
        tally,
        member,
        "a name that changes its case only is one record again",
        only(first.clone()),
    );
    let names = name(member).unwrap_or_default();
    tally.holds("under another name", names.len() == 1 && names != before, &names);

    put(member, "late.pdf", "%PDF late");
    becomes(tally, member, "a file waits for its sidecar", |seen| {
        seen.quarantine.get("late.pdf").is_some_and(|it| it == "NO_SIDECAR")
    });
    put(member, "late.pdf.meta.json", sidecar());
    let both =
        |seen: &Seen| seen.quarantine.is_empty() && seen.digests.contains(&digest("%PDF late"));
    becomes(tally, member, "which may come late", both);
    put(member, "late.pdf.meta.json", sidecar().replace("\"N\"", "\"R\""));
    becomes(tally, member, "and may take it back", |seen| {
        seen.quarantine.get("late.pdf").is_some_and(|it| it == "NEEDS_LIMITED_AUDIENCE")
            && seen.digests.len() == 1
    });
    fs::remove_file(place("late.pdf")).expect("removed");
    becomes(tally, member, "a sidecar that is left over is set aside", |seen| {
        seen.quarantine.get("late.pdf.meta.json").is_some_and(|it| it == "SIDECAR_WITHOUT_FILE")
    });
    fs::remove_file(place("late.pdf.meta.json")).expect("removed");
    becomes(tally, member, "nothing is left of both", only(first));
    a_folder_that_is_swapped(tally, member);
    federation.finish();
}

/// The folder of a registered file becomes a link to a folder outside that holds another file of that name.
fn a_folder_that_is_swapped(tally: &mut Tally, member: &Member) {
    let (inside, outside) = (member.documents().join("in"), member.folder.join("outside"));
    let (ours, secret) = (cda("ours"), cda("nobody's"));
    fs::create_dir(&inside).expect("a folder");
    fs::create_dir(&outside).expect("a folder");
    put(member, "in/a.xml", &ours);
    fs::write(outside.join("a.xml"), &secret).expect("written");
    becomes(tally, member, "a file in a folder is registered", |seen| {
        seen.digests.contains(&digest(&ours))
    });
    let pointers = member.try_list().unwrap_or_default();
    let record = pointers.iter().find(|it| it.digest() == digest(&ours)).map(|it| it.name.clone());
    let record = record.unwrap_or_default();
    fs::rename(&inside, member.folder.join("moved")).expect("moved");
    symlink(&outside, &inside).expect("a link");
    let (ended, out) = member.get(&record, "doctor");
    tally.holds("nothing is served through a link", ended.code != 0 && !out.exists(), &ended);
    becomes(
        tally,
        member,
        "a folder that became a link is set aside and its record withdrawn",
        |seen| {
            seen.quarantine.get("in").is_some_and(|it| it == "LINK_LEAVES_FOLDER")
                && !seen.digests.contains(&digest(&ours))
                && !seen.digests.contains(&digest(&secret))
        },
    );
    fs::remove_file(&inside).expect("the link");
    fs::rename(member.folder.join("moved"), &inside).expect("moved back");
    becomes(tally, member, "and comes back", |seen| {
        seen.quarantine.is_empty() && seen.digests.contains(&digest(&ours))
    });
}

/// The state of the source as its operator sees it.
fn cause(member: &Member) -> Option<(bool, String)> {
    let status: Value = member.sundbro(&["--json", "status", "--client", "operations.toml"]).json();
    let adapter = status["adapters"].get(0)?;
    Some((adapter["healthy"].as_bool()?, adapter["cause"].as_str()?.to_owned()))
}

fn complains(tally: &mut Tally, member: &Member, name: &str, of: &str) {
    let mut last = None;
    let holds = holds_within(PATIENCE, || {
        last = cause(member);
        last.as_ref().is_some_and(|(healthy, cause)| !healthy && cause.contains(of))
    });
    tally.holds(name, holds, last);
}

/// Takes the folder away, in every way in which a share goes, and brings it back.
pub fn a_folder_that_goes_away(tally: &mut Tally) {
    let mut federation = Federation::running(1);
    let member = federation.at(0);
    fs::create_dir(member.documents().join("ward")).expect("a folder");
    for number in 0..GUARDED {
        put(member, &format!("{number}.xml"), cda(&format!("top {number}")));
        put(member, &format!("ward/{number}.xml"), cda(&format!("ward {number}")));
    }
    becomes(tally, member, "all are registered", |seen| seen.digests.len() == 2 * GUARDED);
    let (folder, away) = (member.documents(), member.folder.join("away"));
    let state = |member: &Member| {
        let heads = member.heads();
        (heads.logs, member.try_list().map(|list| list.len()))
    };
    let before = state(member);

    fs::rename(&folder, &away).expect("away");
    complains(tally, member, "a folder that is not there is told", "cannot be read");
    tally.holds("and withdraws nothing", state(member) == before, state(member));
    fs::create_dir(&folder).expect("a mount point");
    complains(tally, member, "an empty folder is told", "mount the share");
    tally.holds("and withdraws nothing", state(member) == before, state(member));
    fs::write(folder.join(".keep"), "").expect("written");
    fs::write(folder.join("README.txt"), "mount the share here").expect("written");
    becomes(tally, member, "what lies in the mount point is seen", |seen| {
        seen.quarantine.len() == 1
    });
    complains(tally, member, "and it is told still", "mount the share");
    tally.holds("and withdraws nothing still", state(member) == before, state(member));
    fs::remove_dir_all(&folder).expect("removed");
    // A start while the folder is away.
    member.stop();
    member.start();
    complains(tally, member, "after a start too", "cannot be read");
    tally.holds(
        "a start without the folder withdraws nothing",
        state(member) == before,
        state(member),
    );
    fs::rename(&away, &folder).expect("back");
    becomes(tally, member, "it is read again", |seen| seen.quarantine.is_empty());
    let mut last = None;
    let well = holds_within(PATIENCE, || {
        last = cause(member);
        last.as_ref().is_some_and(|(healthy, _)| *healthy)
    });
    tally.holds("and all is well", well, last);
    tally.holds("nothing was signed meanwhile", state(member) == before, state(member));

    member.stop();
    let ward = folder.join("ward");
    fs::rename(&ward, member.folder.join("ward-away")).expect("away");
    fs::create_dir(&ward).expect("a mount point");
    member.start();
    becomes(tally, member, "one share of two that shows nothing is set aside", |seen| {
        seen.quarantine.get("ward").is_some_and(|it| it == "FOLDER_EMPTIED")
    });
    tally.holds("its records stay", state(member) == before, state(member));
    // A share comes back file by file, and the gateway is started in the middle of it.
    for file in ["0.xml", "1.xml"] {
        fs::copy(member.folder.join("ward-away").join(file), ward.join(file)).expect("copied");
    }
    becomes(tally, member, "some of it is back", |seen| {
        // A copy is another file with the same content, so nothing is signed of it.
        seen.quarantine.contains_key("ward")
    });
    member.stop();
    member.start();
    becomes(tally, member, "after a start it is set aside still", |seen| {
        seen.quarantine.get("ward").is_some_and(|it| it == "FOLDER_EMPTIED")
    });
    tally.holds("its records stay still", state(member) == before, state(member));
    fs::remove_dir_all(&ward).expect("removed");
    becomes(tally, member, "without the folder they are withdrawn", |seen| {
        seen.quarantine.is_empty() && seen.digests.len() == GUARDED
    });
    federation.finish();
}
