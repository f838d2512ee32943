# Running gateways are scraped: every metric that docs/metrics.md and the alerts name is there; promtool accepts both.
# limit: 900 s
source "$(dirname "$0")/lib.sh"
need_command sight cc build-essential || { failed sight "no C compiler: apt-get install build-essential"; exit 1; }
SUNDBRO_SIGHT=$(mktemp -d)
export SUNDBRO_SIGHT
trap 'rm -rf "$SUNDBRO_SIGHT"' EXIT
matrix sight

if need_command "alerts and metrics judged by promtool" promtool prometheus; then
  # A finding of its linter is printed and ends with 3.
  expect "promtool check metrics" bash -c 'test -s "$1" && promtool check metrics <"$1"' - "$SUNDBRO_SIGHT/metrics.txt"
  expect "promtool check rules" promtool check rules docs/alerts.yml
  expect "promtool test rules" promtool test rules tests/sight/alerts_test.yml
  # The tests test: with a threshold changed in a copy, they fail.
  mkdir -p "$SUNDBRO_SIGHT/docs" "$SUNDBRO_SIGHT/tests/sight"
  cp tests/sight/alerts_test.yml "$SUNDBRO_SIGHT/tests/sight"
  sed 's/sundbro_log_lag_entries > 0/sundbro_log_lag_entries > 7/' docs/alerts.yml >"$SUNDBRO_SIGHT/docs/alerts.yml"
  refuse "promtool test rules, another threshold" promtool test rules "$SUNDBRO_SIGHT/tests/sight/alerts_test.yml"
fi
[ "$failures" -eq 0 ]
