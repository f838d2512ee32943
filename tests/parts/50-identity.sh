# Every RPC with every identity: who gets in, who is refused, with which alert, code and reason.
# limit: 400 s
source "$(dirname "$0")/lib.sh"

matrix identity
[ "$failures" -eq 0 ]
