# What the scripts beside this have in common. Each starts a server that is installed already (Debian's
# packages redis-server, etcd-server, nats-server, nginx-light) on a free port of the loopback address, has
# `cargo bench --bench cluster` put the same load on it and on a node, in turns, and stops it. Arguments, such
# as --quick, go to the benchmark. collaborate.sh does so by a program of its own, with servers that npm installs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

directory=$(mktemp -d "${CARGO_TARGET_DIR:-target}/peer.XXXXXX")
directory=$(realpath "$directory")
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$directory"' EXIT

# need COMMAND PACKAGE
need() {
    command -v "$1" >/dev/null || { echo "there is no $1; Debian has it in $2" >&2; exit 2; }
}

# Whether somebody listens on this port.
listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

free_port() {
    local port
    while port=$((RANDOM % 10000 + 20000)) && listens "$port"; do :; done
    echo "$port"
}

# await PORT: until somebody listens there, at most ten seconds.
await() {
    for _ in $(seq 100); do
        if listens "$1"; then return; fi
        sleep 0.1
    done
    echo "the server does not listen on port $1; it said:" >&2
    cat "$directory/log" >&2
    exit 1
}

# against PRODUCT PORT PROCESS [ARGUMENT ...]: `fanout` among the arguments is about live readers.
against() {
    cargo bench --bench cluster -- "${@:4}" --against "$1" "127.0.0.1:$2" "$3"
}
