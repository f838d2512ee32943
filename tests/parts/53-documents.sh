# Every file that a hospital's folder may hold: registered, set aside with its reason, or ignored, and the rest flows.
# limit: 900 s: the build is most of it.
source "$(dirname "$0")/lib.sh"
matrix documents
[ "$failures" -eq 0 ]
