#!/usr/bin/env bash
# Takes the SDK to a folder of its own, as a vendor would, and builds and runs the examples there with nothing of this tree.
#
#   scripts/check-sdk.sh [SDK]        default: the one that `make sdk` wrote
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
sdk=$(realpath "${1:-dist/bie-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}")
fail() { echo "sdk: $*" >&2; exit 1; }

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cp -a "$sdk" "$place/sdk"
cd "$place"
unset BIE_RUNTIME LD_LIBRARY_PATH

exported=$(nm -D --defined-only sdk/lib/libbie.so | awk '{ print $3 }' | LC_ALL=C sort)
[ "$exported" = "$(LC_ALL=C sort "$root/include/bie.symbols")" ] || fail "libbie.so exports other symbols than include/bie.symbols: $exported"
readelf -d sdk/lib/libbie.so | grep -q 'SONAME.*\[libbie\.so\.0\]' || fail "libbie.so does not carry the soname libbie.so.0"

cc -std=c99 -pedantic -Wall -Wextra -Werror -Isdk/include sdk/examples/extract.c -o from-c -Lsdk/lib -lbie -Wl,-rpath,'$ORIGIN/sdk/lib'
c++ -std=c++17 -pedantic -Wall -Wextra -Werror -Isdk/include sdk/examples/extract.cpp -o from-cpp -Lsdk/lib -lbie -Wl,-rpath,'$ORIGIN/sdk/lib'
cc -std=c99 -pedantic -Wall -Wextra -Werror -Isdk/include sdk/examples/explain.c -o why-from-c -Lsdk/lib -lbie -Wl,-rpath,'$ORIGIN/sdk/lib'
c++ -std=c++17 -pedantic -Wall -Wextra -Werror -Isdk/include sdk/examples/explain.cpp -o why-from-cpp -Lsdk/lib -lbie -Wl,-rpath,'$ORIGIN/sdk/lib'
./from-c sdk/models/default sdk/examples/abstract.txt >c.out
./from-cpp sdk/models/default sdk/examples/abstract.txt >cpp.out
./why-from-c sdk/models/default sdk/examples/abstract.txt >why-c.out
./why-from-cpp sdk/models/default sdk/examples/abstract.txt >why-cpp.out
sdk/bin/bie extract --bundle sdk/models/default --format json sdk/examples/abstract.txt >json.out
python3 - <<'PYTHON'
import json, sys
result = json.load(open("json.out"))
if not (result["entities"] and result["relations"]):
    sys.exit("sdk: the example abstract gives no entities or no relations with the SDK's bundle")
expected = len(result["entities"]) + len(result["relations"])
for name in ("c.out", "cpp.out"):
    lines = len(open(name).read().splitlines())
    if lines != expected:
        sys.exit(f"sdk: {name} has {lines} lines, but the JSON has {expected} entities and relations")
for name in ("why-c.out", "why-cpp.out"):
    decisions = [line for line in open(name).read().splitlines() if " is " in line or " -> " in line and not line.startswith("    ")]
    if len(decisions) != 3:
        sys.exit(f"sdk: {name} explains {len(decisions)} decisions, not the first three relations")
print(f"sdk: {len(result['entities'])} entities and {len(result['relations'])} relations, the same number from C, C++ and the command line")
PYTHON

"$root/scripts/no-network.sh" "$place/sdk/bin/bie" extract --bundle "$place/sdk/models/default" "$place/sdk/examples/abstract.txt"

# Without ONNX Runtime: exit code 3 and one line, no crash.
rm sdk/bin/libbie_onnxruntime.so sdk/lib/libbie_onnxruntime.so
code=0
sdk/bin/bie extract --bundle sdk/models/default sdk/examples/abstract.txt >none.out 2>none.err || code=$?
[ "$code" = 3 ] && [ ! -s none.out ] && [ "$(wc -l <none.err)" = 1 ] \
    || fail "without ONNX Runtime: exit code $code, expected 3 and one line on stderr: $(cat none.err)"
echo "sdk: $sdk is complete"
