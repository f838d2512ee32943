//! What an entry of our own takes from the machine: the hour, and salts that nobody can guess.
//!
//! They are given, so that a simulated federation runs the same way each time.

use sundbro_store::StoreError;

/// The hour and the salts.
#[derive(Clone, Copy)]
pub struct World {
    /// Hours since 1970-01-01T00:00Z.
    pub hour: fn() -> u32,
    /// 32 bytes that nobody can guess.
    pub salt: fn() -> Result<[u8; 32], StoreError>,
}

impl World {
    /// The clock and the randomness of this machine.
    pub fn of_this_machine() -> Self {
        Self { hour: crate::clock::hour, salt: random }
    }
}

fn random() -> Result<[u8; 32], StoreError> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|_| StoreError::NoRandomness)?;
    Ok(salt)
}
