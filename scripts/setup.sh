#!/usr/bin/env bash
# Gets what building and testing need, and only what is missing. Safe to run again: what is there is kept.
#
#   scripts/setup.sh [tools] [test-tools] [crates] [runtime]     (no argument: all four)
#
#   tools       a C and a C++ compiler, python3 with pip           through apt, if they are missing and apt may be used
#   test-tools  valgrind, strace, chromium                         the same
#   crates      the Rust packages of Cargo.lock                    through cargo
#   runtime     ONNX Runtime, checked, in runtime/                 through pip
set -euo pipefail
cd "$(dirname "$0")/.."

readonly ORT_VERSION=1.28.0
readonly ORT_SHA256=aa4079d18f4ea7a5f3a94d80cd4bbe0f2740436626622d64d793803a20381083
readonly ORT_TARGET=runtime/libbie_onnxruntime.so

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 3; }

# apt_install PACKAGE...: as root, or through sudo where it asks no password.
apt_install() {
    local as=()
    command -v apt-get >/dev/null || fail "missing: $*; install them with this system's package manager and run again"
    if [ "$(id -u)" != 0 ]; then
        { command -v sudo >/dev/null && sudo -n true 2>/dev/null; } || fail "missing: $*; run as root: apt-get install $*"
        as=(sudo -n)
    fi
    say "installing with apt: $*"
    "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null \
        || fail "apt could not install: $*; install them by hand and run again"
}

# need COMMAND=PACKAGE...: installs the packages whose command is not there.
need() {
    local missing=() pair
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

tools() {
    need cc=gcc c++=g++ nm=binutils python3=python3
    python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
    say "compilers and pip: ready"
}

test_tools() {
    need valgrind=valgrind strace=strace chromium=chromium
    say "valgrind, strace and chromium: ready"
}

crates() {
    command -v cargo >/dev/null || fail "cargo is missing; install Rust 1.92 or newer (rustup or your system's package) and run again"
    say "fetching the crates of Cargo.lock"
    cargo fetch --locked --quiet --target x86_64-unknown-linux-gnu || fail "cargo could not fetch the crates; check the network or cargo's registry settings and run again"
}

# True when the library is there with the right contents, and its licence texts beside it.
runtime_ready() {
    [ -f runtime/onnxruntime-LICENSE.txt ] && [ -f runtime/onnxruntime-ThirdPartyNotices.txt ] && [ -f "$ORT_TARGET" ] \
        && sha256sum --check --status - <<<"$ORT_SHA256  $ORT_TARGET"
}

runtime() {
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || fail "ONNX Runtime is set up for Linux on x86-64 only; this is $(uname -s) on $(uname -m)"
    if runtime_ready; then
        say "ONNX Runtime $ORT_VERSION: ready"
        return
    fi
    python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing; run: scripts/setup.sh tools"
    say "downloading ONNX Runtime $ORT_VERSION (19 MB) with pip"
    mkdir -p runtime
    local work
    work=$(mktemp -d runtime/.download.XXXXXX)
    # shellcheck disable=SC2064  # the folder's name is needed as it is now
    trap "rm -rf '$PWD/$work'" EXIT
    # The library is the same in the wheel of every Python version: ask for one, whatever Python runs pip.
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --python-version 3.11 --implementation cp --abi cp311 --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
        --dest "$work" "onnxruntime==$ORT_VERSION" \
        || fail "pip could not download onnxruntime $ORT_VERSION; check the network or pip's index settings and run again"
    python3 - "$work" "$ORT_VERSION" <<'PYTHON'
import pathlib, sys, zipfile
folder, version = pathlib.Path(sys.argv[1]), sys.argv[2]
wheel = zipfile.ZipFile(next(folder.glob("onnxruntime-*.whl")))
for member, name in [
    (f"onnxruntime/capi/libonnxruntime.so.{version}", "libbie_onnxruntime.so"),
    ("onnxruntime/LICENSE", "onnxruntime-LICENSE.txt"),
    ("onnxruntime/ThirdPartyNotices.txt", "onnxruntime-ThirdPartyNotices.txt"),
]:
    (folder / name).write_bytes(wheel.read(member))
PYTHON
    sha256sum --check --status - <<<"$ORT_SHA256  $work/libbie_onnxruntime.so" \
        || fail "the downloaded ONNX Runtime does not have the expected SHA-256; nothing was installed. Check where pip downloads from"
    chmod 755 "$work/libbie_onnxruntime.so"
    mv "$work"/onnxruntime-*.txt runtime/
    mv "$work/libbie_onnxruntime.so" "$ORT_TARGET"
    say "ONNX Runtime $ORT_VERSION: checked and put at $ORT_TARGET"
}

[ $# -gt 0 ] || set -- tools test-tools crates runtime
for step in "$@"; do
    case $step in
        tools | crates | runtime) "$step" ;;
        test-tools) test_tools ;;
        *) printf 'usage: scripts/setup.sh [tools] [test-tools] [crates] [runtime]\n' >&2; exit 2 ;;
    esac
done
