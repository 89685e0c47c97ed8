#!/usr/bin/env bash
# The memory of a C host that reads many documents with one engine: under 250 MB resident, and flat.
#
#   scripts/soak.sh [DOCUMENTS] [BUNDLE]        default: 1000 documents, models/default; needs `make build`
#
# Flat: the greatest size of the last three of ten figures is at most 4 MB above the greatest of the three before them.
set -euo pipefail
cd "$(dirname "$0")/.."

documents=${1:-1000}
bundle=${2:-models/default}
library=target/release
[ -e "$library/libbie.so.0" ] || { echo "soak: $library/libbie.so.0 is missing; run: make build" >&2; exit 3; }

mkdir -p target/soak
cc -std=c99 -O2 -Wall -Wextra -Werror -pedantic -Iinclude tests/c/soak.c -o target/soak/soak -L"$library" -lbie -Wl,-rpath,"$PWD/$library"
target/soak/soak "$bundle" "$documents" | tee target/soak/figures
awk '
    { size = $4 + 0; count++; if (size > peak) peak = size; if (NR > 4 && NR <= 7 && size > middle) middle = size; if (NR > 7 && size > last) last = size; found = $6 }
    END {
        if (count != 10) { print "soak: the host did not finish"; exit 1 }
        printf "soak: peak %.1f MB (limit 250), last third %+.1f MB against the third before it (limit +4)\n", peak * 1024 / 1e6, (last - middle) * 1024 / 1e6
        if (found == 0) { print "soak: no entity was found, so nothing was measured"; exit 1 }
        if (peak * 1024 > 250e6 || (last - middle) * 1024 > 4e6) exit 1
    }' target/soak/figures
