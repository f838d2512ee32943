//! Negative controls: on a disk that forgets what it said was durable, the matrix finds something.

use sundbro_store::testing::{Forgets, Habits};

use crate::paths;
use crate::runner::Clean;

fn found(forgets: Forgets) -> Vec<String> {
    let path = paths::own();
    Clean::new(&path).power_cuts(Habits { forgets: Some(forgets), ..Habits::default() }).wrong
}

#[test]
fn a_disk_that_never_syncs_its_databases_is_found_out() {
    let wrong = found(Forgets::Databases);
    assert!(wrong.iter().any(|it| it.contains("neither old nor new")), "{wrong:#?}");
}

#[test]
fn a_gate_that_is_renamed_before_it_is_durable_is_found_out() {
    let wrong = found(Forgets::NewFiles);
    assert!(wrong.iter().any(|it| it.contains("signing.gate")), "{wrong:#?}");
}

#[test]
fn a_gate_whose_name_is_not_durable_is_found_out() {
    let wrong = found(Forgets::Folders);
    assert!(wrong.iter().any(|it| it.contains("signing.gate")), "{wrong:#?}");
}
