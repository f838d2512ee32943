# Hand-made and hostile TLS handshakes at both doors of a gateway that runs, and what testssl.sh says of them.
# limit: 900 s: testssl.sh tries each old attack on both doors.
source "$(dirname "$0")/lib.sh"
need_python handshakes "$TLSLITE_PACKAGE" || exit 0
cargo build --workspace --all-features --bins --locked || { failed handshakes "sundbro does not build"; exit 1; }
sundbro=$(realpath "${CARGO_TARGET_DIR:-target}/debug/sundbro")
work=$(mktemp -d)
gateway=
trap 'exec 9>&-; [ -z "$gateway" ] || wait "$gateway"; rm -rf "$work"' EXIT

# found: a federation of one hospital, whose gateway listens at the ports $federation and $local.
found() {
  local id board
  "$sundbro" certs dev pki --member hospital.example --client operations.local.example &&
    "$sundbro" member init --name hospital.example --display-name Hospital --role hospital \
      --endpoint "127.0.0.1:$federation" --keys keys --card member.card &&
    board=$("$sundbro" charter steward-key board.pem) &&
    "$sundbro" charter found --steward "board=$board" --card member.card --ca pki/ca.pem=hospital.example \
      --subject-key keys/subject-epoch-1.key --out 0001.charter &&
    "$sundbro" charter sign 0001.charter --key board.pem || return 1
  id=$("$sundbro" --json charter show 0001.charter | "$python" -c 'import json, sys; print(json.load(sys.stdin)["digest"])')
  cat >gateway.toml <<TOML
member = "hospital.example"
federation_id = "$id"
data_dir = "data"
gate_file = "signing.gate"
shutdown_grace_period_ms = 1000
[keys]
dir = "keys"
[federation]
listen = "127.0.0.1:$federation"
[federation.tls]
certificate = "pki/hospital.example/federation.pem"
key = "pki/hospital.example/federation.key"
crls = ["pki/crl.pem"]
[local]
listen = "127.0.0.1:$local"
[local.tls]
certificate = "pki/hospital.example/local.pem"
key = "pki/hospital.example/local.key"
client_cas = ["pki/ca.pem"]
crls = ["pki/crl.pem"]
[[local.clients]]
name = "operations"
certificate_san = "operations.local.example"
operator = true
TOML
  cat >operations.toml <<TOML
address = "127.0.0.1:$local"
ca = "pki/ca.pem"
certificate = "pki/hospital.example/operations.local.example.pem"
key = "pki/hospital.example/operations.local.example.key"
TOML
  "$sundbro" init --config gateway.toml --charter 0001.charter <<<"$id"
}

# Two ports that were free a moment ago.
ports() { "$python" -c 'import socket as s
two = [s.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in two))'; }

serves() { (cd "$work" && "$sundbro" status --client operations.toml >/dev/null 2>&1); }

read -r federation local < <(ports)
(cd "$work" && found) || { failed handshakes "the federation could not be founded"; exit 1; }
mkfifo "$work/stdin"
(cd "$work" && exec "$sundbro" run --config gateway.toml --until-stdin-closes <stdin >gateway.log 2>&1) &
gateway=$!
exec 9>"$work/stdin"
for _ in $(seq 300); do
  serves && break
  sleep 0.2
done
expect "the gateway serves" serves

"$python" tests/interop/tls/handshakes.py "$work/pki" "$federation" "$local" >"$work/cells.txt" 2>&1
cat "$work/cells.txt"
line=$(sed -n 's/^CELLS //p' "$work/cells.txt" | tail -n 1)
if [[ $line =~ ^([1-9][0-9]*)\ tried,\ ([0-9]+)\ as\ expected,\ 0\ unexpected$ ]]; then
  passed "${BASH_REMATCH[1]}"
else
  failed handshakes "not as expected: \`$line\`"
fi
echo "cells $line" >>"$SUNDBRO_RESULTS"

if need_command "testssl.sh" testssl testssl.sh; then
  runs=()
  for door in federation local; do
    testssl --quiet --color 0 --warnings off -p -s -U -S --jsonfile "$work/$door.json" \
      "127.0.0.1:${!door}" >"$work/$door.txt" 2>&1 </dev/null &
    runs+=($!)
  done
  # It ends with the number of findings that it dislikes; ours is the judge.
  wait "${runs[@]}"
  for door in federation local; do
    expect "testssl.sh on the $door door" "$python" tests/interop/tls/testssl.py "$door" "$work/$door.json"
  done
fi

expect "the gateway serves after all of it" serves
refuse "the gateway panicked" grep -n "panicked" "$work/gateway.log"
[ "$failures" -eq 0 ]
