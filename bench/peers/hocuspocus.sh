#!/usr/bin/env bash
# Live readers of a node beside those of Hocuspocus, a server of Yjs documents, which npm installs in
# the target directory.
. "$(dirname "$0")/common.sh"
need node nodejs
need npm npm

modules=$(realpath "${CARGO_TARGET_DIR:-target}")/hocuspocus
npm install --loglevel error --no-update-notifier --no-audit --no-fund --prefix "$modules" \
    @hocuspocus/server@3.4.4 yjs@13.6.33 y-protocols@1.0.7
port=$(free_port)
NODE_PATH=$modules/node_modules node bench/peers/hocuspocus.cjs "$port" >"$directory/log" 2>&1 &
await "$port"
against hocuspocus "$port" $! fanout "$@"
