# Nothing that five gateways write, at the finest log level, shows a person or a record; each form is planted and found.
# limit: 900 s
source "$(dirname "$0")/lib.sh"
matrix silence
[ "$failures" -eq 0 ]
