//! The demo can fail: each step of its story, broken on purpose, ends it with exit code 6 and is named.

mod harness;

use std::sync::Mutex;
use std::time::Instant;

use harness::{Ended, run};

/// Demos at once. Each is five gateways that wait most of the time.
const AT_ONCE: usize = 3;
/// The steps of the story.
const STEPS: [&str; 10] = [
    "found", "start", "publish", "locate", "retrieve", "refuse", "outage", "heal", "join", "tamper",
];

fn demo(arguments: &[&str]) -> (Ended, tempfile::TempDir) {
    let folder = tempfile::Builder::new().prefix("sundbro-test-demo-").tempdir().expect("a folder");
    let dir = folder.path().join("demo").display().to_string();
    let arguments = [&["--json", "demo", "--once", "--dir", &dir], arguments].concat();
    (run(folder.path(), &arguments, ""), folder)
}

fn held(ended: &Ended) -> Vec<(String, bool)> {
    let lines = ended.stdout.lines().filter_map(|it| serde_json::from_str(it).ok());
    let step =
        |it: serde_json::Value| (it["step"].as_str().unwrap_or("").to_owned(), it["held"] == true);
    lines.map(step).collect()
}

#[test]
fn each_sabotaged_step_is_named_and_without_sabotage_every_step_holds() {
    let mut left: Vec<Option<&str>> = STEPS.iter().rev().map(|step| Some(*step)).collect();
    left.push(None);
    let (left, wrong) = (Mutex::new(left), Mutex::new(Vec::new()));
    let next = || left.lock().expect("no panic").pop();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(step) = next() {
                    let began = Instant::now();
                    let problem = match step {
                        None => honest(),
                        Some(step) => sabotaged(step),
                    };
                    println!("{:<9} {:>3} s", step.unwrap_or("-"), began.elapsed().as_secs());
                    wrong.lock().expect("no panic").extend(problem);
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn honest() -> Option<String> {
    let (ended, _folder) = demo(&[]);
    let all: Vec<_> = STEPS.iter().map(|step| ((*step).to_owned(), true)).collect();
    let good = ended.code == 0 && held(&ended) == all;
    (!good).then(|| format!("the demo itself: {ended:?}"))
}

fn sabotaged(step: &str) -> Option<String> {
    let (ended, _folder) = demo(&["--sabotage", step]);
    let steps = held(&ended);
    // Every step before it held, it did not, and nothing was told after it.
    let before = steps.iter().rev().skip(1).all(|(_, held)| *held);
    let it = steps.last().is_some_and(|(name, held)| name == step && !held);
    let named = ended.stderr.contains(&format!("step {step} did not hold"));
    let good = ended.code == 6 && before && it && named;
    (!good).then(|| format!("{step} sabotaged: {ended:?}"))
}
