//! Paths of tiles and the bytes of entry bundles (c2sp.org/tlog-tiles).
//!
//! A tile is up to 256 hashes of one level beside each other: hash *i* of tile *n* at tile level *l* is the node
//! (level 8*l*, index 256*n* + *i*) of the tree. A bundle holds the entries under a tile of level 0, each after its
//! length as u16 BE. Bundles travel between gateways too.

use core::fmt::Write as _;

/// Entries in a full bundle, and hashes in a full tile.
pub const BUNDLE_ENTRIES: u64 = 256;

/// Levels of the tree in one level of tiles: a full tile is 2^8 hashes wide.
pub const TILE_HEIGHT: u8 = 8;

/// Most bytes in one entry of a bundle: what its length field can say.
pub const MAX_BUNDLE_ENTRY_LEN: usize = u16::MAX as usize;

const LENGTH_LEN: usize = size_of::<u16>();

/// Bytes that are not an entry bundle, or entries that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// More entries than were asked for.
    #[error("the bundle holds more than {0} entries: ask for it again, from another peer")]
    TooManyEntries(usize),
    /// It ends inside a length or an entry.
    #[error("the bundle ends inside entry {0}: ask for it again, from another peer")]
    Truncated(usize),
    /// An entry to be written is longer than u16 can say.
    #[error(
        "entry {entry} of {len} bytes does not fit a bundle: entries have at most 65,535 bytes"
    )]
    EntryTooLong {
        /// Its place in the bundle.
        entry: usize,
        /// Its length.
        len: usize,
    },
}

/// A tile of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Tile level: 0 holds leaf hashes, 1 the roots of full tiles of level 0, and so on.
    pub level: u8,
    /// Place in the level, from 0.
    pub index: u64,
    /// Hashes in it, 1 to 256; 256 is a full tile.
    pub width: u16,
}

impl Tile {
    /// Its path under the log's prefix.
    pub fn path(&self) -> String {
        tile_path(self.level, self.index, self.width)
    }
}

/// All tiles of a tree of `size` entries, full ones and the partial one of each level, lowest level first.
///
/// Those of level 0 are also the entry bundles of the log.
pub fn tiles_of(size: u64) -> impl Iterator<Item = Tile> {
    (0..u64::BITS as u8 / TILE_HEIGHT).flat_map(move |level| {
        // None above the root, and so no tiles.
        let hashes = size >> (level * TILE_HEIGHT);
        (0..hashes.div_ceil(BUNDLE_ENTRIES)).map(move |index| {
            let width = (hashes - index * BUNDLE_ENTRIES).min(BUNDLE_ENTRIES);
            Tile { level, index, width: width as u16 }
        })
    })
}

/// Path of a tile: `tile/<level>/<index>`, and `.p/<width>` when it is partial, that is `width` is not 256.
pub fn tile_path(level: u8, index: u64, width: u16) -> String {
    path(&level.to_string(), index, width)
}

/// Path of an entry bundle: `tile/entries/<index>`, and `.p/<width>` when it is partial, that is `width` is not 256.
pub fn entries_path(index: u64, width: u16) -> String {
    path("entries", index, width)
}

fn path(level: &str, index: u64, width: u16) -> String {
    let mut path = format!("tile/{level}/");
    // Three digits at a time, all but the last with an x before them, so that a folder never has the name of a file.
    let digits = index.to_string();
    let digits = format!("{digits:0>width$}", width = digits.len().next_multiple_of(3));
    let (folders, file) = digits.split_at(digits.len() - 3);
    for folder in folders.as_bytes().chunks(3) {
        path.push('x');
        path.extend(folder.iter().copied().map(char::from));
        path.push('/');
    }
    path.push_str(file);
    if u64::from(width) != BUNDLE_ENTRIES {
        // Writing to a string does not fail.
        let _ = write!(path, ".p/{width}");
    }
    path
}

/// Writes entries as a bundle.
///
/// # Errors
/// [`BundleError::EntryTooLong`].
pub fn write_bundle<'a>(
    entries: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, BundleError> {
    let mut bundle = Vec::new();
    for (place, entry) in entries.into_iter().enumerate() {
        let len = u16::try_from(entry.len())
            .map_err(|_| BundleError::EntryTooLong { entry: place, len: entry.len() })?;
        bundle.extend_from_slice(&len.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// Reads the entries of a bundle, at most `max_entries`.
///
/// # Errors
/// [`BundleError::TooManyEntries`], [`BundleError::Truncated`].
pub fn read_bundle(bundle: &[u8], max_entries: usize) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        if entries.len() == max_entries {
            return Err(BundleError::TooManyEntries(max_entries));
        }
        let truncated = BundleError::Truncated(entries.len());
        let (len, after) = rest.split_first_chunk::<LENGTH_LEN>().ok_or(truncated)?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (entry, after) = after.split_at_checked(len).ok_or(truncated)?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile_path(0, 0, 256), "tile/0/000");
        assert_eq!(tile_path(1, 1_234_067, 256), "tile/1/x001/x234/067");
        assert_eq!(tile_path(2, 273, 17), "tile/2/273.p/17");
        assert_eq!(entries_path(1_000, 1), "tile/entries/x001/000.p/1");
        assert_eq!(entries_path(999, 256), "tile/entries/999");
        assert_eq!(
            entries_path(u64::MAX, 255),
            "tile/entries/x018/x446/x744/x073/x709/x551/615.p/255"
        );
    }

    #[test]
    fn a_tree_has_the_tiles_that_the_specification_counts() {
        let tiles: Vec<Tile> = tiles_of(70_000).collect();
        let full = |level| tiles.iter().filter(|t| t.level == level && t.width == 256).count();
        assert_eq!((full(0), full(1), full(2)), (273, 1, 0));
        let partial = tiles.iter().filter(|tile| tile.width != 256);
        let partial: Vec<_> = partial.map(|tile| (tile.level, tile.index, tile.width)).collect();
        assert_eq!(partial, [(0, 273, 112), (1, 1, 17), (2, 0, 1)]);
        let paths: Vec<String> = tiles_of(256).map(|tile| tile.path()).collect();
        assert_eq!(paths, ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(tiles_of(0).count(), 0);
        assert_eq!(tiles_of(u64::MAX).next().map(|tile| tile.width), Some(256));
    }

    #[test]
    fn bundles_read_back_what_was_written() {
        let longest = vec![7; MAX_BUNDLE_ENTRY_LEN];
        let entries: Vec<&[u8]> = vec![b"first", b"", &longest];
        let bundle = write_bundle(entries.iter().copied()).expect("fits");
        assert_eq!(bundle[..7], *b"\0\x05first");
        assert_eq!(read_bundle(&bundle, 3), Ok(entries));
        assert_eq!(read_bundle(b"", 0), Ok(Vec::new()));
    }

    #[test]
    fn refuses_bundles_that_are_too_long_or_too_short() {
        let too_long = vec![0; MAX_BUNDLE_ENTRY_LEN + 1];
        let refused = BundleError::EntryTooLong { entry: 1, len: 65_536 };
        assert_eq!(write_bundle([&b"ok"[..], &too_long]), Err(refused));
        let bundle = write_bundle([&b"one"[..], b"two"]).expect("fits");
        assert_eq!(read_bundle(&bundle, 1), Err(BundleError::TooManyEntries(1)));
        for (cut, entry) in [(1, 0), (2, 0), (4, 0), (6, 1), (7, 1), (9, 1)] {
            assert_eq!(read_bundle(&bundle[..cut], 2), Err(BundleError::Truncated(entry)), "{cut}");
        }
        // An entry boundary is a whole bundle; that entries are missing shows in the proof.
        assert_eq!(read_bundle(&bundle[..5], 2).map(|entries| entries.len()), Ok(1));
    }
}
