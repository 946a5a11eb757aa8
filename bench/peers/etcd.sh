#!/usr/bin/env bash
# Durable writes of a node beside etcd, one member, over the HTTP gateway of its v3 interface.
. "$(dirname "$0")/common.sh"
need etcd etcd-server

port=$(free_port)
peers=http://127.0.0.1:$(free_port)
etcd --data-dir "$directory/data" --log-level error \
    --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
    --listen-peer-urls "$peers" --initial-advertise-peer-urls "$peers" \
    --initial-cluster "default=$peers" >"$directory/log" 2>&1 &
await "$port"
against etcd "$port" $! "$@"
