//! What was tried, what was expected, and what came.

use super::wire::Outcome;

/// The cells of the matrix.
#[derive(Default)]
pub struct Cells {
    tried: usize,
    unexpected: Vec<String>,
}

impl Cells {
    /// Counts one cell.
    pub fn record(&mut self, rpc: &str, who: &str, wanted: &Outcome, got: &Outcome) {
        self.tried += 1;
        if wanted != got {
            self.unexpected.push(format!("{rpc}: {who}: expected {wanted:?}, got {got:?}"));
        }
    }

    /// Prints the count and fails on what was unexpected.
    pub fn finish(self) {
        for cell in &self.unexpected {
            println!("UNEXPECTED {cell}");
        }
        let (tried, wrong) = (self.tried, self.unexpected.len());
        println!("CELLS {tried} tried, {} as expected, {wrong} unexpected", tried - wrong);
        assert!(tried > 0 && wrong == 0, "{wrong} of {tried} cells are not as the rules say");
    }
}
