//! Chance that can be repeated: which moment a gateway is killed at follows from a number that a failure prints.

/// A small generator (xorshift64*). Not for keys.
#[derive(Debug)]
pub struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// Begins with SUNDBRO_TEST_SEED, or with a fixed number; `salt` keeps tests apart.
    pub fn new(salt: u64) -> Self {
        let seed = std::env::var("SUNDBRO_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed: u64 = seed.unwrap_or(20_260_301);
        // Never zero, which the generator would stay at.
        Self { seed, state: (seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1 }
    }

    /// One of 0..`sides`.
    pub fn throw(&mut self, sides: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

impl Drop for Dice {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("thrown with SUNDBRO_TEST_SEED={}", self.seed);
        }
    }
}
