//! Every file that a hospital's folder may hold, put there, and what a gateway makes of it.
//!
//! Each item stands in a folder of its own beside a good document: that one is registered, whatever the item is.

#[path = "../federation/harness/mod.rs"]
mod harness;

mod content;
mod large;
mod life;
mod names;
mod references;
mod samples;
mod table;
mod users;

use std::time::Instant;

use harness::Federation;
use table::{Bench, Tally};

/// A part of the matrix, and its name.
type Part = (&'static str, fn(&mut Tally));

const PARTS: [Part; 6] = [
    ("what lies there", what_lies_there),
    ("what others made", samples::what_others_made),
    ("what changes", life::what_changes),
    ("a folder that goes away", life::a_folder_that_goes_away),
    ("what is large", large::what_is_large),
    ("who may read what", users::who_may_read_what),
];

#[test]
fn every_file_that_a_folder_may_hold() {
    let mut tally = Tally::default();
    let began = Instant::now();
    // For whoever works on one of them.
    let only = std::env::var("SUNDBRO_ONLY").unwrap_or_default();
    for (name, part) in PARTS.into_iter().filter(|(name, _)| name.contains(&only)) {
        part(&mut tally);
        println!("{name}: {:.1} s", began.elapsed().as_secs_f32());
    }
    tally.finish();
}

/// Everything that stands still, in one folder of one gateway.
fn what_lies_there(tally: &mut Tally) {
    let mut federation = Federation::found(1);
    let member = federation.at(0);
    let outside = member.folder.join("outside");
    let mut bench = Bench::new(member.documents());
    content::encodings(&mut bench);
    content::hostile(&mut bench);
    content::identifiers(&mut bench);
    content::sidecars(&mut bench);
    names::names(&mut bench);
    names::links(&mut bench, &outside);
    let _sockets = names::specials(&mut bench);
    names::times(&mut bench);
    references::references(&mut bench);
    member.start();
    bench.judge(member, tally);
    references::are_served(tally, member);
    let twins = ["DUPLICATE_DOCUMENT_ID"];
    tally.holds("two with one document id are warned of", member.has_logged(&twins), "no warning");
    federation.finish();
}
