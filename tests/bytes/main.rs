//! The byte matrix: everything that can be wrong with every field of every message and frame, and what becomes of it.
//!
//! A message or field without a row in `table.rs` fails: whoever adds one thinks about what may be wrong with it.

mod cells;
mod damage;
mod decoding;
#[allow(dead_code, reason = "each test program uses another part of it")]
#[path = "../../gateway/tests/support/founders.rs"]
mod founders;
mod frames;
mod line;
#[path = "../../gateway/tests/support/mod.rs"]
mod pki;
mod record;
#[allow(dead_code, reason = "each test program uses another part of it")]
#[path = "../../gateway/tests/replication/script.rs"]
mod script;
mod site;
mod stories;
#[allow(dead_code, reason = "each test program uses another part of it")]
#[path = "../../gateway/tests/replication/streams.rs"]
mod streams;
#[allow(dead_code, unused_imports, reason = "each test program uses another part of it")]
#[path = "../../gateway/tests/replication/support.rs"]
mod support;
mod table;
mod whole;

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn every_cell_is_as_the_table_says() {
    let mut cells = cells::Cells::default();
    decoding::run(&mut cells);
    stories::entries(&mut cells);
    let stories = tokio::spawn(stories::run(support::Federation::found()));
    frames::run(&mut cells).await;
    for (what, expected, got) in stories.await.expect("no panic") {
        cells.cell(&what, &expected, &got);
    }
    cells.finish();
}
