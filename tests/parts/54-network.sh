# Five gateways in network namespaces: every split, lines of which one way is dead, lost packets, slow lines.
# limit: 1800 s
source "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] || { skipped network "only root can make network namespaces"; exit 0; }
need_command network ip iproute2 || exit 0
need_command network tc iproute2 || exit 0
need_command network nft nftables || exit 0
probe=sundbro-probe-$$
if ! { ip netns add "$probe" && ip netns exec "$probe" nft list ruleset; } >/dev/null 2>&1; then
  ip netns delete "$probe" 2>/dev/null
  skipped network "this machine makes no network namespaces"
  exit 0
fi
ip netns delete "$probe"
# What `matrix` builds, so that the harness builds nothing of its own.
export SUNDBRO_BIN=${CARGO_TARGET_DIR:-$top/target}/debug/sundbro
matrix network
[ "$failures" -eq 0 ]
