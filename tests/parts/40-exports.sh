# Exported logs, judged by programs that are not ours: Go's sumdb packages and Tessera's fsck.
#
# The logs of part 35's demo, and those in SUNDBRO_EXPORTS: a folder of exports, one subfolder each with a file `vkey`.
# A small script also makes logs from the C2SP texts alone, which shows that the checkers can tell good from bad.
# limit: 1800 s
source "$(dirname "$0")/lib.sh"
need_python "exported logs" tests/interop/python/requirements.txt || exit 0
checkers=()
need_tlogcheck "exported logs, golang.org/x/mod" && checkers+=(--tlogcheck "$tlogcheck")
need_fsck "exported logs, Tessera fsck" && checkers+=(--fsck "$fsck")
[ ${#checkers[@]} -gt 0 ] || exit 0

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
expect "logs made from the C2SP texts" "$python" tests/interop/python/make_logs.py "$made"
demo=${SUNDBRO_RUN:-}/exports
if ! ls "$demo"/*/checkpoint >/dev/null 2>&1; then
  demo=
  skipped "exported logs of the demo" "part 35-demo did not leave any in this run"
fi
for folder in "$made" ${demo:+"$demo"} ${SUNDBRO_EXPORTS:+"$SUNDBRO_EXPORTS"}; do
  # Prints `passed …`, `failed …` and `skipped …` lines among what the checkers say.
  "$python" tests/interop/python/check_exports.py "$folder" "${checkers[@]}" | tee -a "$made.log"
  [ "${PIPESTATUS[0]}" -le 1 ] || failed "exported logs" "check_exports.py broke on $folder"
done
grep -E '^(passed|failed|skipped) ' "$made.log" >>"$SUNDBRO_RESULTS"
rm -f "$made.log"
