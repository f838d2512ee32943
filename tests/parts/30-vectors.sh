# The golden vectors, recomputed by a program that was written from docs/protocol.md alone.
# limit: 600 s
source "$(dirname "$0")/lib.sh"
need_python "golden vectors" tests/interop/python/requirements.txt || exit 0
expect "golden vectors" "$python" tests/vectors/check.py

# The check checks: in a copy with one bit flipped in one expected value of each file, every file fails.
spoiled=$(mktemp -d)
trap 'rm -rf "$spoiled"' EXIT
"$python" - tests/vectors "$spoiled" <<'EOF'
import json, pathlib, sys
for path in pathlib.Path(sys.argv[1]).glob("*.json"):
    content = json.loads(path.read_text("utf-8"))
    expected = content["cases"][-1]["expected"]
    name = max(expected, key=lambda name: len(expected[name]))
    value, whole = expected[name], isinstance(expected[name], str)
    text = value if whole else value[0]
    text = text[:-2] + chr(ord(text[-2]) ^ 1) + text[-1]
    expected[name] = text if whole else [text, *value[1:]]
    pathlib.Path(sys.argv[2], path.name).write_text(json.dumps(content), "utf-8")
EOF
said=$("$python" tests/vectors/check.py "$spoiled")
echo "$said"
files=$(find tests/vectors -maxdepth 1 -name '*.json' | wc -l)
if [ "$(tail -n 1 <<<"$said")" = "0 passed, $files failed" ]; then
  passed
else
  failed "golden vectors, spoiled" "a file with a wrong value passes"
fi
