# The lines of docs/clients.md generate clients, as they stand on the page; Python's can be loaded and holds every call.
# limit: 900 s
source "$(dirname "$0")/lib.sh"
page=docs/clients.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# line LANGUAGE: the command in its row of the page.
line() { sed -n "s/^| $1 | \`\([^\`]*\)\` |\$/\1/p" "$page"; }

# generate LANGUAGE FILE…: runs the line in a folder that holds proto/ and an empty gen/; each file must be there.
generate() {
  local language=$1 folder=$work/$1 file
  shift
  mkdir -p "$folder/gen"
  cp -r proto "$folder/proto"
  local command
  command=$(line "$language")
  [ -n "$command" ] || { failed "clients, $language" "$page has no line for it"; return 1; }
  echo "== clients, $language: $command"
  if ! (cd "$folder" && bash -c "$command"); then
    failed "clients, $language" "its line fails"
    return 1
  fi
  for file in "$@"; do
    expect "clients, $language: $file" test -s "$folder/gen/$file"
  done
}

if need_python "clients, Python" tests/interop/python/requirements.txt "$GRPC_TOOLS_PACKAGE"; then
  # The page says `python`.
  PATH=$(dirname "$python"):$PATH generate Python sundbro/gateway/v1/records_pb2_grpc.py sundbro/admin/v1/admin_pb2.pyi
  expect "clients, Python: every call is there" env PYTHONPATH="$work/Python/gen" "$python" -c '
import grpc
from sundbro.gateway.v1 import audit_pb2_grpc, ledger_pb2_grpc, records_pb2_grpc
from sundbro.admin.v1 import admin_pb2_grpc
channel = grpc.insecure_channel("localhost:1")
for stub, call in [
    (records_pb2_grpc.RecordsServiceStub, "RetrieveRecord"),
    (ledger_pb2_grpc.LedgerServiceStub, "ListLogs"),
    (audit_pb2_grpc.AuditServiceStub, "ListAuditEntries"),
    (admin_pb2_grpc.AdminServiceStub, "GetStatus"),
]:
    assert callable(getattr(stub(channel), call))
'
fi

if need_buf "clients, TypeScript"; then
  folder=$tools/protoc-gen-es-$PROTOC_GEN_ES_VERSION
  [ -x "$folder/node_modules/.bin/protoc-gen-es" ] ||
    quietly npm install --prefix "$folder" --fetch-retries=1 --no-audit --no-fund --ignore-scripts "@bufbuild/protoc-gen-es@$PROTOC_GEN_ES_VERSION"
  if [ -x "$folder/node_modules/.bin/protoc-gen-es" ]; then
    PATH=$folder/node_modules/.bin:$PATH generate TypeScript sundbro/gateway/v1/records_pb.ts
    expect "clients, TypeScript: every call is there" \
      grep -q 'retrieveRecord: {' "$work/TypeScript/gen/sundbro/gateway/v1/records_pb.ts"
  else
    skipped "clients, TypeScript" "npm package @bufbuild/protoc-gen-es could not be installed"
  fi
fi

if need_buf "clients, Go" && need_go "clients, Go"; then
  folder=$tools/go-plugins
  for plugin in "${GO_PLUGINS[@]}"; do
    name=$(basename "${plugin%@*}")
    [ -x "$folder/$name" ] || GOBIN=$folder quietly go install "$plugin"
  done
  if [ -x "$folder/protoc-gen-go" ] && [ -x "$folder/protoc-gen-go-grpc" ]; then
    PATH=$folder:$PATH generate Go sundbro/gateway/v1/records.pb.go sundbro/gateway/v1/records_grpc.pb.go
  else
    skipped "clients, Go" "its plugins could not be built from the Go module proxy"
  fi
fi

# Java's plugin is a program of Maven Central; the line is checked for its parts only.
expect "clients, Java: the page has its line" test -n "$(line Java)"
[ "$failures" -eq 0 ]
