# No warning of the compiler or of clippy, in any target, with the test-only features and without.
# limit: 1800 s
source "$(dirname "$0")/../../tests/parts/lib.sh"
need_command lint cc build-essential || { failed lint "no C compiler: apt-get install build-essential"; exit 1; }
expect "clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
expect "clippy, all features" cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
# The matrices are no default targets: `tests/run` starts each in a part of its own.
expect "clippy, matrices" cargo clippy -p sundbro-tests --test '*' --all-features --locked -- -D warnings
expect "rustdoc" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked
