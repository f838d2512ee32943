//! Record ids that a rescan finds again: derived from what the adapter calls the source, under a key of the member.

use core::fmt;

use hmac::Mac as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::subject::{InputTooLong, keyed, update_prefixed};

/// The member's id key: secret, so that an id does not tell a path or a row to who can guess it. Lost, the ids of new
/// scans differ and the old records become orphans. Zeroised when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct IdKey([u8; 32]);

impl IdKey {
    /// From its 32 bytes. The caller draws them and zeroises its own copy.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for IdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdKey(…)")
    }
}

/// The id of what an adapter found: the first 16 bytes of HMAC-SHA-256(key, `"sundbro/v1/object-id\n"` ‖ u16 BE length ‖
/// adapter ‖ u16 BE length ‖ source key ‖ generation u32 BE).
///
/// `generation` counts the earlier withdrawals of that source key in our own log, since a withdrawn record never comes
/// back under its id.
///
/// # Errors
/// Fails when a part is longer than 65,535 bytes.
pub fn derived_record_id(
    key: &IdKey,
    adapter: &str,
    source_key: &[u8],
    generation: u32,
) -> Result<[u8; 16], InputTooLong> {
    let mut mac = keyed(&key.0).chain_update(b"sundbro/v1/object-id\n");
    update_prefixed(&mut mac, adapter.as_bytes(), "adapter name")?;
    update_prefixed(&mut mac, source_key, "source key")?;
    mac.update(&generation.to_be_bytes());
    let digest: [u8; 32] = mac.finalize().into_bytes().into();
    let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = digest;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derive(adapter: &str, source: &[u8], generation: u32) -> [u8; 16] {
        derived_record_id(&IdKey::new([3; 32]), adapter, source, generation).expect("short")
    }

    #[test]
    fn an_id_is_the_beginning_of_the_hmac_of_the_named_bytes() {
        let input = b"sundbro/v1/object-id\n\x00\x04docs\x00\x05a.xml\x00\x00\x01\x02";
        let digest = keyed(&[3; 32]).chain_update(input).finalize().into_bytes();
        assert_eq!(derive("docs", b"a.xml", 258), digest[..16]);
    }

    #[test]
    fn every_part_changes_it_and_the_same_source_finds_it_again() {
        let id = derive("docs", b"a.xml", 0);
        assert_eq!(derive("docs", b"a.xml", 0), id);
        assert_ne!(derive("docs", b"a.xml", 1), id);
        assert_ne!(derive("docsa", b".xml", 0), id);
        assert_ne!(derive("docs", b"b.xml", 0), id);
        let other = derived_record_id(&IdKey::new([4; 32]), "docs", b"a.xml", 0);
        assert_ne!(other, Ok(id));
    }

    #[test]
    fn refuses_a_source_key_that_its_length_prefix_cannot_say() {
        let long = vec![0; 65_536];
        let refused = derived_record_id(&IdKey::new([3; 32]), "docs", &long, 0);
        assert_eq!(refused, Err(InputTooLong("source key")));
        assert_eq!(format!("{:?}", IdKey::new([3; 32])), "IdKey(…)");
    }
}
