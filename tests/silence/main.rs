//! Nothing that the gateways write shows a person or a record: logs, errors, numbers, databases, and `Debug` of every
//! message.
//!
//! Five gateways live through publication, retrieval, refusal, damage and mistakes of their users, with their logs at
//! the finest level. Then everything that they wrote is searched for the identifiers, names and texts that they were
//! given, in every form in which a program may write them; and each form is planted once, and must be found.

#[path = "../federation/harness/mod.rs"]
mod harness;
mod life;
mod messages;
mod needles;
#[allow(dead_code, reason = "the text of the numbers is enough here")]
#[path = "../sight/scrape.rs"]
mod scrape;
mod written;

use needles::{IN_CONTENT, IN_FILE_NAMES, MISTYPED, Searcher};

/// What was tried, and what came out otherwise.
#[derive(Debug, Default)]
pub struct Tally {
    tried: usize,
    unexpected: Vec<String>,
}

impl Tally {
    /// One cell, which is as expected when `good`; `why` tells more when not.
    pub fn check(&mut self, cell: &str, good: bool, why: impl FnOnce() -> String) {
        self.tried += 1;
        if !good {
            self.unexpected.push(format!("{cell}: {}", why()));
        }
    }

    fn close(self) {
        for cell in &self.unexpected {
            println!("unexpected: {cell}");
        }
        let (tried, unexpected) = (self.tried, self.unexpected.len());
        println!(
            "CELLS {tried} tried, {} as expected, {unexpected} unexpected",
            tried - unexpected
        );
        assert_eq!(unexpected, 0, "see above");
    }
}

#[test]
fn nothing_that_is_written_shows_a_person() {
    let mut tally = Tally::default();
    let everywhere: Vec<&str> = [&IN_CONTENT[..], &MISTYPED].concat();
    messages::try_all(&everywhere, &mut tally);
    let lived = life::live();
    written::search(
        &lived,
        &Searcher::new(&everywhere),
        &Searcher::new(&IN_FILE_NAMES),
        &mut tally,
    );
    tally.close();
}
