#!/usr/bin/env bash
# Has schemathesis ask a node what docs/openapi.json allows, and some of what it does not, and compare the answers
# with that file. The node has no tokens and lets no pages in: what they have otherwise, tests/live/openapi.rs compares.
# PATCHMESH is the binary. Skipped, and says so, where there is no Python, pip or network.
set -euo pipefail
binary=$(realpath "$PATCHMESH")
version=4.32.5
# Always the same requests.
seed=1

skip() {
    printf 'SKIPPED: what needs %s\n' "$1"
    exit 0
}

scratch=$(mktemp -d)
node=
trap 'if [ -n "$node" ]; then kill "$node" 2>/dev/null || true; fi; rm -rf "$scratch"' EXIT

if [ "$(st --version 2>/dev/null)" = "st, version $version" ]; then
    st=st
else
    command -v python3 >/dev/null || skip python3
    python3 -m venv "$scratch/venv" 2>/dev/null || skip 'python3-venv'
    "$scratch/venv/bin/pip" install --quiet --disable-pip-version-check --timeout 10 --retries 1 \
        "schemathesis==$version" 2>"$scratch/pip.log" || skip "schemathesis $version: $(tail -n 1 "$scratch/pip.log")"
    st=$scratch/venv/bin/st
fi

"$binary" 127.0.0.1:0 >"$scratch/start" 2>"$scratch/log" &
node=$!
for _ in $(seq 100); do
    url=$(sed -n 's|.* \(http://[^/]*\)/test$|\1|p' "$scratch/start")
    [ -z "$url" ] || break
    sleep 0.1
done
[ -n "$url" ] || { cat "$scratch/log"; exit 1; }

# /ws is no request and answer; event streams are only there for clients that ask for them.
# With more workers than one, CPython 3.11 itself fails now and then (its issue 106905).
cd "$scratch"
"$st" run "$url/openapi.json" --no-color --seed "$seed" --generation-database none --warnings off \
    --phases examples,coverage,fuzzing --max-examples 5 --workers 1 --request-timeout 20 \
    --continue-on-failure --max-redirects 0 --exclude-path /ws \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance
kill -0 "$node"
