//! Every request against the default policies: what the command line decides is what this page of Rust says by itself.

#[path = "../federation/harness/mod.rs"]
mod harness;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use harness::run;

const ROLES: [&str; 7] =
    ["doctor", "midwife", "health-visitor", "clerk", "Doctor", "doctor ", "\\\" || true || \\\""];
const PURPOSES: [&str; 4] = ["TREAT", "ETREAT", "PATRQT", "HOPERAT"];
const REASONS: [Option<&str>; 3] = [None, Some("VITAL_INTEREST"), Some("OTHERS_VITAL_INTEREST")];
const ASSURANCES: [&str; 2] = ["CLIENT_ASSERTED", "TOKEN_VERIFIED"];
const LEVELS: [&str; 3] = ["N", "R", "V"];
const MEMBERS: [(&str, &str); 3] = [
    ("kommune.example", "MUNICIPALITY"),
    ("hospital.example", "HOSPITAL"),
    ("custodian.example", "REGION"),
];
const CLASSES: [Option<&str>; 2] = [None, Some("http://loinc.org|57059-8")];

/// One cell.
#[derive(Debug, Clone, Copy)]
struct Cell {
    role: &'static str,
    purpose: &'static str,
    reason: Option<&'static str>,
    assurance: &'static str,
    level: &'static str,
    member: (&'static str, &'static str),
    class: Option<&'static str>,
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for role in ROLES {
        for purpose in PURPOSES {
            for reason in REASONS {
                for assurance in ASSURANCES {
                    for level in LEVELS {
                        for member in MEMBERS {
                            for class in CLASSES {
                                cells.push(Cell {
                                    role,
                                    purpose,
                                    reason,
                                    assurance,
                                    level,
                                    member,
                                    class,
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    cells
}

/// What the default policies are meant to say, written without looking at them.
fn by_the_defaults(cell: &Cell) -> &'static str {
    let Cell { role, purpose, reason, assurance, level, .. } = *cell;
    if reason.is_some() {
        let may = ["doctor", "midwife"].contains(&role) && purpose == "ETREAT";
        return if may { "break-glass-vital-interest" } else { "default-deny" };
    }
    if level != "N" && assurance != "TOKEN_VERIFIED" {
        return "restricted-takes-a-token";
    }
    let treats = ["doctor", "midwife", "health-visitor"].contains(&role) && purpose == "TREAT";
    if treats { "treating-staff" } else { "default-deny" }
}

/// A rule that takes everything from one member.
const SHUT_OUT: &str = "@id(\"shut-out\")\n@says(\"for a test: this member reads nothing\")\n\
    forbid (principal in Member::\"kommune.example\", action, resource);\n";

/// The defaults, and a rule that takes all from one member. It comes first by its file's name.
fn with_one_shut_out(cell: &Cell) -> &'static str {
    if cell.member.0 == "kommune.example" { "shut-out" } else { by_the_defaults(cell) }
}

fn table(cells: &[Cell], expected: fn(&Cell) -> &'static str) -> String {
    let mut text = String::new();
    for cell in cells {
        let Cell { role, purpose, reason, assurance, level, member: (member, kind), class } = cell;
        write!(
            text,
            "[[case]]\nexpect = \"{}\"\nrole = \"{role}\"\npurpose = \"{purpose}\"\n\
             assurance = \"{assurance}\"\nconfidentiality = \"{level}\"\nmember = \"{member}\"\n\
             member_role = [\"{kind}\"]\n",
            expected(cell)
        )
        .expect("a String grows");
        for (key, value) in [("break_glass", reason), ("class", class)] {
            if let Some(value) = value {
                writeln!(text, "{key} = \"{value}\"").expect("a String grows");
            }
        }
    }
    text
}

/// Runs one table; returns how many cells were not as expected, having told each.
fn tried(folder: &Path, policy: &str, expected: fn(&Cell) -> &'static str) -> usize {
    let cells = cells();
    // A table is at most 1 MiB long.
    let mut unexpected = 0;
    for part in cells.chunks(1024) {
        fs::write(folder.join("cases.toml"), table(part, expected)).expect("written");
        let ended =
            run(folder, &["--json", "policy", "test", "cases.toml", "--policy", policy], "");
        let answer = ended.json();
        assert_eq!(answer["cases"], part.len(), "{policy}: {}", ended.stderr);
        for wrong in answer["unexpected"].as_array().expect("a list") {
            let at = wrong["case"].as_u64().and_then(|at| usize::try_from(at).ok());
            println!("{policy}: {:?}: {wrong}", part[at.expect("a number") - 1]);
            unexpected += 1;
        }
    }
    unexpected
}

#[test]
fn every_request_is_decided_as_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let defaults = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/policy");
    for policy in ["defaults", "shut-out", "empty"] {
        let dir = folder.path().join(policy);
        fs::create_dir(&dir).expect("a folder");
        if policy != "empty" {
            for file in ["treatment.cedar", "break-glass.cedar"] {
                fs::copy(defaults.join(file), dir.join(file)).expect("copied");
            }
        }
    }
    fs::write(folder.path().join("shut-out/a-first.cedar"), SHUT_OUT).expect("written");
    let unexpected = tried(folder.path(), "defaults", by_the_defaults)
        + tried(folder.path(), "shut-out", with_one_shut_out)
        + tried(folder.path(), "empty", |_| "default-deny");
    let count = 3 * cells().len();
    println!("CELLS {count} tried, {} as expected, {unexpected} unexpected", count - unexpected);
    assert_eq!(unexpected, 0);
}
