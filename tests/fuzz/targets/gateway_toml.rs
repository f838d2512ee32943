//! Holds the law of `gateway_toml` against any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sundbro_laws::check("gateway_toml", bytes);
});
