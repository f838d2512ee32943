//! Pages: sizes with a default and a limit, tokens in text form.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::BadField;

/// Longest token in text form; ours are below 100.
const MAX_TOKEN_LEN: usize = 1024;

/// How many to return: the default for 0, never more than the limit.
pub(super) fn size(asked: i32, default: usize, max: usize) -> Result<usize, BadField> {
    match usize::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(size) => Ok(size.min(max)),
        Err(_) => Err(BadField::new("page_size", "is negative")),
    }
}

/// A token as text.
pub(super) fn token(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token from its text; empty: the first page.
pub(super) fn parse(text: &str) -> Result<Vec<u8>, BadField> {
    let wrong = || BadField::new("page_token", "is not one that an answer gave");
    if text.len() > MAX_TOKEN_LEN {
        return Err(wrong());
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_default_and_a_limit() {
        assert_eq!(size(0, 50, 500), Ok(50));
        assert_eq!(size(7, 50, 500), Ok(7));
        assert_eq!(size(501, 50, 500), Ok(500));
        assert!(size(-1, 50, 500).is_err());
    }

    #[test]
    fn tokens_read_back_and_others_are_refused() {
        assert_eq!(parse(&token(&[0, 255, 7])), Ok(vec![0, 255, 7]));
        assert_eq!(parse(""), Ok(Vec::new()));
        assert!(parse("not a token").is_err());
        assert!(parse(&"A".repeat(2000)).is_err());
    }
}
