//! Holds the law of `policy_cases` against any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sundbro_laws::check("policy_cases", bytes);
});
