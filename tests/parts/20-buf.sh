# The .proto files: lint, format, no breaking change against the released image, and one meaning for two compilers.
# limit: 900 s
source "$(dirname "$0")/lib.sh"
need_buf "buf lint, format and breaking" || exit 0
cd proto || exit 1

guarded=(--path sundbro/ledger/v1 --path sundbro/federation/v1)
image=$top/proto/released/v1.binpb
expect "buf lint" buf lint
expect "buf format" buf format --diff --exit-code
if [ -f "$image" ]; then
  expect "buf breaking" buf breaking --against "$image" "${guarded[@]}"

  # The guard guards: in a copy, a changed type and a removed field are refused, and by name.
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  header=sundbro/ledger/v1/transaction.proto
  guard() { # NAME SED-SCRIPT
    rm -rf "${scratch:?}"/*
    cp -r buf.yaml sundbro "$scratch"
    sed "$2" "$header" >"$scratch/$header"
    local said
    said=$(cd "$scratch" && buf breaking --against "$image" "${guarded[@]}" 2>&1)
    echo "$said"
    if grep -q '"4".*"TransactionHeader"' <<<"$said"; then passed; else failed "buf breaking, $1" "not refused"; fi
  }
  guard "changed type" 's/uint64 position = 4;/uint32 position = 4;/'
  guard "removed field" '/uint64 position = 4;/d'
else
  skipped "buf breaking" "no released image yet: buf build -o proto/released/v1.binpb"
fi

# The generated Rust comes from protox; everybody else's from buf or protoc.
need_python "protox and buf agree" "$top/tests/interop/python/requirements.txt" || exit 0
fresh=$(mktemp --suffix=.binpb)
buf build --as-file-descriptor-set -o "$fresh" &&
  expect "protox and buf agree" "$python" "$top/tests/interop/python/descriptors.py" src/gen/descriptor.binpb "$fresh"
rm -f "$fresh"
