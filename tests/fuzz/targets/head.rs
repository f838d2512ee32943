//! Holds the law of `head` against any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sundbro_laws::check("head", bytes);
});
