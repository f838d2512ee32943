//! Holds the law of `evidence` against any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sundbro_laws::check("evidence", bytes);
});
