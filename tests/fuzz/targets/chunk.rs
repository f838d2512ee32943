//! Holds the law of `chunk` against any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sundbro_laws::check("chunk", bytes);
});
