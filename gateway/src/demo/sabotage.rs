//! Breaks one step of the story on purpose, so that a test can show that the demo notices. Never in a release build.

use std::fs;
use std::io;
use std::time::Duration;

use serde_json::Value;

use super::layout::{HOSPITAL, MUNICIPALITY, ORGANISATIONS};
use super::process::wait_until;
use super::story::Story;

/// A sabotaged step must not take as long as an honest one may.
const IMPATIENCE: Duration = Duration::from_secs(6);
/// The laboratory, which most steps need and none is about.
const LABORATORY: usize = 2;

/// Breaks what `step` is about to claim, if it is the step that was named.
pub(super) fn prepare(story: &mut Story, wanted: Option<&str>, step: &str) {
    if wanted != Some(step) {
        return;
    }
    story.patience = IMPATIENCE;
    if let Err(error) = sabotage(story, step) {
        // A sabotage that fails must not look like a step that held.
        eprintln!("step {step} could not be sabotaged: {error}");
        std::process::exit(1);
    }
}

fn sabotage(story: &mut Story, step: &str) -> io::Result<()> {
    let hospital = story.layout.folder(HOSPITAL);
    let other = |what: String| io::Error::other(what);
    match step {
        // A charter that is none lies among the charters.
        "found" => {
            fs::create_dir_all(story.layout.charters())?;
            fs::write(story.layout.charters().join("0000.charter"), b"no charter")
        }
        // The hospital shows the laboratory's certificate.
        "start" => {
            let tls = story.layout.folder(LABORATORY).join("tls");
            fs::copy(tls.join("federation.pem"), hospital.join("tls/federation.pem"))?;
            fs::copy(tls.join("federation.key"), hospital.join("tls/federation.key")).map(drop)
        }
        // One document of the GP practice is gone, and whatever had been registered of it is withdrawn.
        "publish" => {
            let (source, documents) = ORGANISATIONS[0].sources[0];
            fs::remove_file(story.layout.documents(0, source).join(documents[0].file))?;
            let is_noticed = || story.has_scanned(0, source, documents.len() - 1);
            match wait_until(Duration::from_secs(20), is_noticed) {
                true => Ok(()),
                false => {
                    Err(other("the practice never noticed that a document is gone".to_owned()))
                }
            }
        }
        // The laboratory is down.
        "locate" => {
            drop(story.gateways[LABORATORY].take());
            // As long as what was heard of it is young enough, an answer is whole without it.
            let is_told = || {
                let answer = story.locate_at(MUNICIPALITY);
                answer.is_ok_and(|it| it["coverage"]["replication_complete"] == Value::Bool(false))
            };
            match wait_until(Duration::from_secs(20), is_told) {
                true => Ok(()),
                false => Err(other("coverage never told that the laboratory is down".to_owned())),
            }
        }
        // Other bytes lie under the same name, size and time.
        "retrieve" => {
            for file in
                fs::read_dir(story.layout.documents(HOSPITAL, "documents").join("obstetrics"))?
            {
                let path = file?.path();
                let modified = fs::metadata(&path)?.modified()?;
                let text = fs::read_to_string(&path)?.replace("ultrasound", "ULTRASOUND");
                let text = text.replace("placenta", "PLACENTA");
                fs::write(&path, text)?;
                fs::File::options().write(true).open(&path)?.set_modified(modified)?;
            }
            Ok(())
        }
        // The hospital lets clerks read.
        "refuse" => {
            let rules = hospital.join("policy/treatment.cedar");
            let both = "Role::\"midwife\", Role::\"clerk\"";
            let text = fs::read_to_string(&rules)?.replace("Role::\"midwife\"", both);
            fs::write(rules, text)?;
            drop(story.gateways[HOSPITAL].take());
            story.start_one(HOSPITAL).map_err(other)
        }
        // The hospital cannot be stopped: another process answers for it.
        "outage" => {
            // It ends when this process does, since then its standard input closes.
            std::mem::forget(story.gateways[HOSPITAL].take());
            Ok(())
        }
        "heal" => fs::write(hospital.join("gateway.toml"), "member = 7"),
        // A steward's key is damaged.
        "join" => fs::write(story.layout.stewards().join("regional-board.pem"), "no key"),
        // The laboratory's signing gate is damaged before anything is verified, and nobody is left who would write it.
        "tamper" => {
            drop(story.gateways[LABORATORY].take());
            let gate = story.layout.folder(LABORATORY).join("signing.gate");
            let mut bytes = fs::read(&gate)?;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(gate, bytes)
        }
        _ => Err(other(format!("there is no step {step}"))),
    }
}
