# Every Rust test, doc test and property of the workspace.
# limit: 3000 s: a cold build of everything on two cores takes about ten minutes.
source "$(dirname "$0")/lib.sh"

# Building aws-lc (TLS) takes a C compiler; the development PKI is judged by OpenSSL; tidy asks git.
need_command rust cc build-essential || { failed rust "no C compiler: apt-get install build-essential"; exit 1; }
need_command "tidy" git git || :
need_command "certificates judged by OpenSSL" openssl openssl || :

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Test-only features are on: they add stop points and sabotage, and change nothing that is not asked for.
status=0
cargo test --workspace --all-features --locked --no-fail-fast -- --show-output 2>&1 | tee "$log" || status=$?

# A test that could not run what it is about prints one line `SKIPPED: reason` and returns; cargo calls it passed.
missed=$(grep -c '^SKIPPED: ' "$log")
sed -n 's/^SKIPPED: /skipped rust: /p' "$log" >>"$SUNDBRO_RESULTS"
sed -n 's/^test \(.*\) \.\.\. ignored.*/skipped rust: \1 is ignored/p' "$log" >>"$SUNDBRO_RESULTS"
sed -n 's/^test \(.*\) \.\.\. FAILED$/failed rust: \1/p' "$log" >>"$SUNDBRO_RESULTS"
good=$(awk '/^test result: / { n += $4 } END { print n + 0 }' "$log")
passed $((good - missed))
# A program that does not build, or is killed, leaves no line of its own.
if [ "$status" -ne 0 ] && ! grep -q '^failed ' "$SUNDBRO_RESULTS"; then
  failed rust "cargo test ended with status $status: $(grep -m1 '^error' "$log")"
fi
