#!/usr/bin/env bash
# Durable writes of a node beside acknowledged messages to a stream of NATS JetStream in files. NATS syncs
# them before it answers from version 2.10 on; versions before that know no such setting, and sync
# every two minutes, so that their figures are those of a server that is not durable. With the argument fanout
# live readers beside those of core NATS.
. "$(dirname "$0")/common.sh"
need nats-server nats-server

port=$(free_port)
# configure SETTING: the load does not answer pings, so there are none while it lasts.
configure() {
    printf 'ping_interval: "1h"\njetstream { store_dir: "%s"\n%s }\n' "$directory/data" "$1" \
        >"$directory/nats.conf"
}

configure 'sync_interval: always'
if ! nats-server -t -c "$directory/nats.conf" >/dev/null 2>&1; then
    echo "$(nats-server --version) cannot sync before it answers: it is not durable" >&2
    configure ''
fi
nats-server -c "$directory/nats.conf" -a 127.0.0.1 -p "$port" >"$directory/log" 2>&1 &
await "$port"
against nats "$port" $! "$@"
