#!/usr/bin/env bash
# Traces a command with strace and fails if it, or anything it starts, uses the network, creates or changes a file, or runs another program.
#
#   scripts/no-network.sh [COMMAND ARGUMENT...]        default: `bie extract` on examples/abstract.txt with the default bundle
#
# "Network" is any system call of the socket family, local sockets included. First it checks itself: a command that breaks each rule must fail.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v strace >/dev/null || { echo "no-network: strace is missing; run scripts/setup.sh test-tools" >&2; exit 3; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# traced COMMAND...: prints the system calls that break a rule, one a line; fails if the command fails.
traced() {
    strace -f -qq -o "$log" -e trace=%network,%file,truncate,ftruncate,fallocate,memfd_create -e signal=none "$@" >/dev/null || return 1
    awk '
        { call = $0; sub(/^[0-9]+ +/, "", call) }
        call ~ /^(socket|socketpair|connect|bind|listen|accept4?|send(to|msg|mmsg)?|recv(from|msg|mmsg)?|(get|set)sockopt|getsockname|getpeername|shutdown)\(/
        call ~ /^(creat|mkdir|mkdirat|mknod|mknodat|unlink|unlinkat|rmdir|rename|renameat|renameat2|link|linkat|symlink|symlinkat|truncate|ftruncate|fallocate|memfd_create|chmod|fchmodat|chown|lchown|fchownat|utimensat)\(/
        call ~ /^open(at|at2)?\(/ && call ~ /O_(CREAT|WRONLY|RDWR|TMPFILE)/ && call !~ /"\/dev\/(null|tty)"/
        call ~ /^execve(at)?\(/ && call ~ / = 0$/ && ++programs > 1
    ' "$log"
}

# must_notice CALL COMMAND: the check is worth something only if it sees what a shell command does.
must_notice() {
    grep -q "$1(" <<<"$(traced bash -c "$2")" || { echo "no-network: the check itself does not notice $1" >&2; exit 1; }
}
must_notice socket '{ : </dev/tcp/127.0.0.1/9; } 2>/dev/null || :'
must_notice openat ": >'$log.made'"
rm "$log.made"
must_notice execve /bin/true

[ $# -gt 0 ] || set -- target/release/bie extract --bundle models/default examples/abstract.txt
if ! found=$(traced "$@"); then
    echo "no-network: the command failed: $*" >&2
    exit 1
fi
if [ -n "$found" ]; then
    printf 'no-network: %s broke the rules:\n%s\n' "$*" "$found" >&2
    exit 1
fi
echo "no-network: $(wc -l <"$log") system calls looked at: no socket, no file made or changed, no other program"
