#!/usr/bin/env bash
# Calls a running gateway's local API from outside, over TLS and with reflection: Python's gRPC, then buf curl.
#
#   tests/interop/grpc.sh HOST:PORT CA.pem CLIENT.pem CLIENT.key [SERVICE/METHOD [JSON]]
#
# Reports like every part (see parts/lib.sh) and ends with 1 if one call failed; whoever has started a gateway
# calls it.
# The default call lists the logs, which every gateway has.
[ $# -ge 4 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
address=$1 ca=$(realpath "$2") cert=$(realpath "$3") key=$(realpath "$4")
call=${5:-sundbro.gateway.v1.LedgerService/ListLogs} body=${6-}
[ -n "$body" ] || body='{}'
source "$(dirname "$0")/../parts/lib.sh"

if need_python "gRPC reflection from Python" tests/interop/python/requirements.txt; then
  expect "gRPC reflection from Python" "$python" tests/interop/python/reflection.py "$address" --ca "$ca" \
    --cert "$cert" --key "$key" --expect "${call%/*}" --call "$call" "$body"
fi
if need_buf "buf curl"; then
  tls=(--protocol grpc --cacert "$ca" --cert "$cert" --key "$key")
  for reflection in grpc-v1 grpc-v1alpha; do
    echo "== buf curl --list-services, $reflection"
    # In a variable: a grep that has seen enough would end the pipe, and so the program that still writes into it.
    listed=$(buf curl "${tls[@]}" --reflect --reflect-protocol "$reflection" --list-services "https://$address")
    echo "$listed"
    if grep -qxF "${call%/*}" <<<"$listed"; then passed; else failed "buf curl" "$reflection does not list ${call%/*}"; fi
    expect "buf curl, $reflection" \
      buf curl "${tls[@]}" --reflect --reflect-protocol "$reflection" --data "$body" "https://$address/$call"
  done
  # The listener asks for a certificate: without one, nobody gets an answer.
  refuse "buf curl without a client certificate" \
    buf curl --protocol grpc --cacert "$ca" --reflect --data "$body" "https://$address/$call"
fi
[ "$failures" -eq 0 ]
