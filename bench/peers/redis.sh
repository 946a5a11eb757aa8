#!/usr/bin/env bash
# Durable writes of a node beside Redis, which syncs its append-only file before it answers. With the argument fanout
# live readers beside those of its pub/sub.
. "$(dirname "$0")/common.sh"
need redis-server redis-server

port=$(free_port)
redis-server --bind 127.0.0.1 --port "$port" --dir "$directory" --save '' \
    --appendonly yes --appendfsync always >"$directory/log" &
await "$port"
against redis "$port" $! "$@"
