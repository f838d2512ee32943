# The demo, over real documents if they lie beside the repository; then its logs, data and API, from outside.
#
# Leaves the five logs in $SUNDBRO_RUN/exports, one folder each with a file `vkey`; part 40 has them judged by others.
# limit: 1500 s: the build is most of it.
source "$(dirname "$0")/lib.sh"
need_command demo cc build-essential || { failed demo "no C compiler: apt-get install build-essential"; exit 1; }

# With the features of part 10, so that nothing is built twice; they change nothing that is not asked for.
cargo build --workspace --all-features --bin sundbro --locked || { failed demo "sundbro does not build"; exit 1; }
sundbro=$(realpath "${CARGO_TARGET_DIR:-target}/debug/sundbro")
work=$(mktemp -d)
gateway=
stop_gateway() { # Its standard input closes, as when the demo ends.
  [ -n "$gateway" ] || return 0
  exec 9>&-
  wait "$gateway"
  gateway=
}
trap 'stop_gateway; rm -rf "$work"' EXIT
exports=${SUNDBRO_RUN:-$work}/exports
mkdir -p "$exports"
members=(laegehuset.example hospital-nord.example laboratoriet.example kommunen.example hospital-syd.example)
hospital=$work/demo/hospital-nord.example
municipality=$work/demo/kommunen.example

# ends CODE COMMAND…: passes when the command ends with exactly this code.
ends() {
  local wanted=$1 code=0
  shift
  "$@" || code=$?
  [ "$code" -eq "$wanted" ] || { echo "exit code $code instead of $wanted"; return 1; }
}

# A federation of the same names with other keys: perfect in itself. Told while the real one is looked at.
"$sundbro" demo --once --dir "$work/forged" >"$work/forged.txt" 2>&1 </dev/null &
forged=$!

samples=../shared/samples
arguments=(demo --once --dir "$work/demo")
if [ -d "$samples" ]; then
  arguments+=(--documents "$samples")
else
  skipped "demo with real documents" "no folder $samples beside the repository"
fi
status=0
"$sundbro" "${arguments[@]}" >"$work/story.txt" 2>&1 </dev/null || status=$?
cat "$work/story.txt"
if [ "$status" -ne 0 ]; then
  failed "demo --once" "ended with $status"
  tail -n 20 "$work"/demo/*/gateway.log
  exit 1
fi
passed
# What the README says that it prints, line by line; `…` stands for anything.
stated=$(awk '/^\$ cargo run .* demo --once/ { inside = 1; next } inside && /^(\$|```)/ { exit }
  inside && NF && $0 !~ /^ *…$/' README.md)
expect "the README shows the story" test "$(wc -l <<<"$stated")" -gt 10
while read -r line; do
  pattern=$(sed -e 's/[][().*+?^$|{}]/\\&/g' -e 's/…/.*/g' <<<"$line")
  expect "the README's line: $line" grep -qE "^ *$pattern\$" "$work/story.txt"
done <<<"$stated"

federation=$(sed -n 's/.*federation id \([0-9a-f]\{64\}\).*/\1/p' "$work/story.txt")
expect "the demo tells the federation's id" test -n "$federation"

if [ -d "$samples" ]; then
  # The one FHIR document and the three CDA documents, two of which carry the same id; a reason for everything else.
  others=$(($(find "$samples" -type f | wc -l) - 4))
  expect "four real documents are registered" grep -q ' 4 real documents registered' "$work/story.txt"
  expect "each of the other $others files has a reason" \
    test "$(grep -cE 'not registered: [^:]+: [A-Z_]+$' "$work/story.txt")" -eq "$others"
  for file in fhir/bundle.document.json cda/ccda-ccd.xml cda/cda-original.xml cda/example-no-styles.xml; do
    refuse "$file is registered" grep -q "not registered: $file" "$work/story.txt"
  done
  expect "the same document id twice is said" grep -q DUPLICATE_DOCUMENT_ID "$hospital/gateway.log"
fi

for member in "${members[@]}"; do
  folder=$work/demo/$member
  expect "verify, $member" "$sundbro" verify "$folder/data" --gate "$folder/signing.gate" --federation "$federation"
  rm -rf "${exports:?}/$member"
  expect "log export, $member" "$sundbro" log export "$exports/$member" --member "$member" \
    --data "$folder/data" --federation "$federation"
  # A replica is the log, byte for byte.
  replica=$work/replica/$member
  mkdir -p "$work/replica"
  other=$municipality
  [ "$member" = kommunen.example ] && other=$hospital
  expect "log export of a replica, $member" "$sundbro" log export "$replica" --member "$member" \
    --data "$other/data" --federation "$federation"
  expect "a replica of $member is its log" diff -r "$exports/$member" "$replica"
  expect "its key too" cmp "$exports/$member.vkey" "$replica.vkey"
  mv "$exports/$member.vkey" "$exports/$member/vkey"
done
expect "verify without a federation id is UNPINNED" ends 6 "$sundbro" verify "$municipality/data"

receipt=$municipality/scan.xml.receipt
expect "the receipt verifies" ends 0 "$sundbro" verify receipt "$receipt" --federation "$federation"
expect "a receipt without a federation id is UNPINNED" ends 6 "$sundbro" verify receipt "$receipt"
if wait "$forged"; then
  forged_id=$(sed -n 's/.*federation id \([0-9a-f]\{64\}\).*/\1/p' "$work/forged.txt")
  receipt=$work/forged/kommunen.example/scan.xml.receipt
  expect "a forged federation's receipt is perfect in itself" \
    ends 0 "$sundbro" verify receipt "$receipt" --federation "$forged_id"
  expect "a forged federation's receipt is refused" \
    ends 6 "$sundbro" verify receipt "$receipt" --federation "$federation"
  expect "a forged federation's data are refused" \
    ends 6 "$sundbro" verify "$work/forged/kommunen.example/data" --federation "$federation"
else
  failed "a forged federation" "its demo ended with $?: $(tail -n 1 "$work/forged.txt")"
fi

# One gateway again, from the folder that the demo left.
mkfifo "$work/input"
(cd "$hospital" && exec "$sundbro" run --config gateway.toml --until-stdin-closes) \
  <"$work/input" >>"$hospital/gateway.log" 2>&1 9>&- &
gateway=$!
exec 9>"$work/input"
answers=false
for _ in $(seq 200); do
  "$sundbro" status --client "$hospital/operations.toml" >"$work/status.txt" 2>&1 && { answers=true; break; }
  kill -0 "$gateway" 2>/dev/null || break
  sleep 0.2
done
cat "$work/status.txt"
if ! $answers; then
  failed "a gateway starts again from the demo's folder" "it does not answer: $(tail -n 1 "$hospital/gateway.log")"
  exit 1
fi
passed
address=$(sed -n 's/^address = "\(.*\)"/\1/p' "$hospital/care-record.toml")
certificate=$hospital/$(sed -n 's/^certificate = "\(.*\)"/\1/p' "$hospital/care-record.toml")
key=$hospital/$(sed -n 's/^key = "\(.*\)"/\1/p' "$hospital/care-record.toml")
ca=$hospital/tls/ca.pem
# Reports its own results; it sees the local listener as a stranger with a certificate does.
bash tests/interop/grpc.sh "$address" "$ca" "$certificate" "$key"
failures=0

# The README's example, as it stands there.
if need_buf "the README's example"; then
  mkdir "$work/readme"
  cp "$ca" "$work/readme/ca.pem"
  cp "$certificate" "$work/readme/client.pem"
  cp "$key" "$work/readme/client.key"
  awk '/^```/ { inside = !inside; next } inside && /^\$ buf curl/ { show = 1 } inside && show {
         sub(/^\$ /, ""); print; if ($0 !~ /\\$/) show = 0 }' README.md |
    sed "s/HOST:PORT/$address/g" >"$work/readme/example.sh"
  cat "$work/readme/example.sh"
  expect "the README shows two calls" test "$(grep -c '^buf curl' "$work/readme/example.sh")" -eq 2
  (cd "$work/readme" && bash -e example.sh) >"$work/readme/said.txt" 2>&1
  expect "the README's example runs" test $? -eq 0
  cat "$work/readme/said.txt"
  for what in sundbro.gateway.v1.RecordsService "hospital-nord.example/${federation:0:16}/log/1"; do
    expect "the README's example shows $what" grep -q "$what" "$work/readme/said.txt"
  done
fi
stop_gateway
expect "verify after the gateway ran again" "$sundbro" verify "$hospital/data" --gate "$hospital/signing.gate" \
  --federation "$federation"
[ "$failures" -eq 0 ]
