# Rust is formatted as rustfmt.toml says.
# limit: 300 s
source "$(dirname "$0")/../../tests/parts/lib.sh"
expect "cargo fmt" cargo fmt --all --check
