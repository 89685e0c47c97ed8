#!/usr/bin/env bash
# House rules that no compiler checks, over the files that git tracks. Prints every violation; exit code 1 if there is one.
set -euo pipefail
cd "$(dirname "$0")/.."

violations=0
# report RULE: reads offending lines; none is fine.
report() {
    local found
    found=$(cat)
    [ -n "$found" ] || return 0
    printf 'house: %s\n%s\n' "$1" "$found" | sed '2,$s/^/    /' >&2
    violations=$((violations + 1))
}
# tracked PATHSPEC...: tracked files that exist.
tracked() { git ls-files -- "$@" | while IFS= read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done; }
# search REGEX FILE...: grep with names and line numbers, no match is no error.
search() { local regex=$1; shift; [ $# = 0 ] || grep -nHE -- "$regex" "$@" || true; }
# without_comments: drops `file:line:` records whose text is a comment.
without_comments() { grep -vE '^[^:]+:[0-9]+:[[:space:]]*//' || true; }
# product_code FILE...: `file:line:text` of Rust files up to their test module, tests being the last thing in a file.
product_code() { awk 'FNR == 1 { test = 0 } /^#\[cfg\(test\)\]/ { test = 1 } !test { print FILENAME ":" FNR ":" $0 }' "$@"; }

mapfile -t rust < <(tracked '*.rs')
mapfile -t library < <(tracked 'src/*.rs' | grep -vE '(^|/)tests(\.rs|/)')
mapfile -t written < <(tracked '*.rs' '*.c' '*.h' '*.hpp' '*.cpp' '*.py' '*.sh' '*.md' '*.toml' Makefile .ci/run)
mapfile -t all < <(tracked)

report '`unsafe` outside src/ffi' < <(
    search '\bunsafe\b' "${rust[@]}" | without_comments | grep -vE '^(src/ffi/|tests/)' | grep -v 'unsafe_code')
# The loader probe looks at ONNX Runtime's C table before `ort` may touch it, so it names the raw declarations.
# benches/extract.rs measures libbie against the bare runtime, so it calls the bare runtime.
report '`ort` outside src/runtime and distill/src/session.rs' < <(
    search '\bort(_sys)?::|\buse ort\b' "${rust[@]}" | without_comments | grep -vE '^(src/runtime/|distill/src/session\.rs|benches/extract\.rs)' \
        | grep -vE '^src/ffi/probe\.rs:.*\bort_sys::')
report 'something that panics in library code' < <(
    product_code "${library[@]}" | without_comments \
        | grep -E '\.(unwrap|expect|unwrap_err|expect_err)\(|\b(panic|unreachable|todo|unimplemented)!')
# The header is one file because it is the manual; it is generated from src/ffi, where the rule holds.
report 'a file of more than 800 lines' < <(
    wc -l "${written[@]}" | awk '$1 > 800 && $2 != "total" && $2 != "include/bie.h" { print $2 ": " $1 " lines" }')
report 'a file of more than 30 MiB' < <(stat -c '%s %n' "${all[@]}" | awk '$1 > 30 * 1024 * 1024 { print $2 ": " $1 " bytes" }')
report 'a file that somebody meant to throw away' < <(printf '%s\n' "${all[@]}" | grep -iE '(^|/)(scratch|tmp|foo)[^/]*$')
report 'a mark of unfinished work' < <(search '\b(TO''DO|FIX''ME|XX''X|HA''CK)\b' "${written[@]}")
# Addresses are for standards, papers, this machine and what is reserved for examples (RFC 2606, RFC 5737); where a package comes from is its client's setting, not ours.
report 'an address that is neither a standard, a licence, a paper nor this machine' < <(
    grep -nHoIE 'https?://[A-Za-z0-9./_-]+' "${all[@]}" | grep -vE '^(Cargo\.lock|LICENSE|scripts/check-house\.sh):' \
        | grep -vE '://(www\.apache\.org/licenses|www\.w3\.org|doi\.org|arxiv\.org|creativecommons\.org|spdx\.org|127\.0\.0\.1|localhost|192\.0\.2\.1|[a-z.]+\.invalid)\b')
report "a path of somebody's machine" < <(
    search '(^|[^A-Za-z0-9_.$}-])/(work|root|home)/' "${written[@]}" | grep -v '^scripts/check-house\.sh:')

[ "$violations" = 0 ] || exit 1
echo "house: ${#all[@]} files keep the rules"
