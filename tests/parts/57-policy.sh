# Every kind of request against the default policies, with a rule that forbids, and against none: who may read is as meant.
# limit: 900 s
source "$(dirname "$0")/lib.sh"
matrix policy_decisions
[ "$failures" -eq 0 ]
