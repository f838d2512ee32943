# The rules that tests/simulation/mutate breaks are still where it looks for them; ten times the scale tries them all.
# limit: 14400 s
source "$(dirname "$0")/lib.sh"
if [ "${SUNDBRO_TEST_SCALE:-1}" -ge 10 ]; then
  expect "mutations that the simulation notices" tests/simulation/mutate
else
  expect "mutations have their places" tests/simulation/mutate --check
fi
[ "$failures" -eq 0 ]
