#!/usr/bin/env bash
# Reads of a node beside nginx, one worker, which serves a file of the same bytes.
. "$(dirname "$0")/common.sh"
need nginx nginx-light

port=$(free_port)
mkdir "$directory/root"
# As a node writes it: members sorted, no white space, about 1 KB.
{
    printf '{'
    for member in $(seq 10 19); do
        if [ "$member" != 10 ]; then printf ','; fi
        printf '"member%d":"value %020d of a hundred bytes or so, and somewhat more"' "$member" "$member"
    done
    printf '}\n'
} >"$directory/root/get"
cat >"$directory/nginx.conf" <<END
daemon off;
worker_processes 1;
pid $directory/pid;
error_log $directory/log;
events { worker_connections 1024; }
http {
    access_log off;
    default_type application/json;
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    open_file_cache max=10;
    server { listen 127.0.0.1:$port; root $directory/root; }
}
END
# Its worker must be able to read the file.
chmod 755 "$directory"
nginx -c "$directory/nginx.conf" -p "$directory" >"$directory/log" 2>&1 &
await "$port"
against nginx "$port" "$(pgrep -P $!)" "$@"
