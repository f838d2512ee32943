//! Counts cells and says which of them did not become what the table says.

use std::fmt::Debug;

/// What was tried so far.
#[derive(Default)]
pub(crate) struct Cells {
    tried: usize,
    unexpected: Vec<String>,
}

impl Cells {
    /// One cell.
    pub(crate) fn cell<T: PartialEq + Debug>(&mut self, what: &str, expected: &T, got: &T) {
        self.tried += 1;
        if expected != got {
            self.unexpected.push(format!("{what}: expected {expected:?}, got {got:?}"));
        }
    }

    /// Something that the table should have and has not, or has and should not.
    pub(crate) fn wrong_table(&mut self, what: String) {
        self.unexpected.push(what);
    }

    /// Prints every unexpected cell, then the count; fails when there is one.
    pub(crate) fn finish(self) {
        let Self { tried, unexpected } = self;
        for cell in &unexpected {
            println!("UNEXPECTED {cell}");
        }
        let wrong = unexpected.len();
        println!(
            "CELLS {tried} tried, {} as expected, {wrong} unexpected",
            tried.saturating_sub(wrong)
        );
        assert!(unexpected.is_empty(), "{wrong} cells are not as the table says");
    }
}
