# The byte matrix: every field of every signed message and frame, with everything that can be wrong with it.
# limit: 1800 s: about a minute on two idle cores.
source "$(dirname "$0")/lib.sh"
need_command bytes cc build-essential || exit 0
matrix bytes
