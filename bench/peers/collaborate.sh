#!/usr/bin/env bash
# 16 writers and 100 readers of one document of 1 MB: a node beside Hocuspocus (Yjs), Automerge's sync server and
# ShareDB, which npm installs into collaborate/node_modules at the versions of its lock file. PATCHMESH=FILE names
# another build of the node. `--quick` is done in about a minute, `--rounds N` takes medians of rounds in turns,
# `--only NAME` takes one product, `--readers N` so many readers.
#
# Each server starts with the same document: 1,000 objects of about 1 KB. Writers replace a text of 20 bytes in an object
# at random, each one after the other; readers hold the document live. All together write 40 times a second, first for
# two seconds that do not count, then as fast as they are answered. A phase ends when each reader has the last value of
# each writer; two readers look at the time that each value takes. Processor time is the server's alone, divided by
# writes and readers, whether they are told one by one or together. Memory is the most that the server had up to then.
# A new reader is timed from its first connection until it can use the whole document, with the others there, at rest.
# What a product does not get done within two minutes is left out of the table.
#
# What is the same: all of it is in memory, and nothing is safe from a crash. An answer says that the server has taken
# the write into its document: the answer to a POST, Hocuspocus's sync status, a sync message of Automerge's server
# that knows of the change, ShareDB's acknowledgement. All writers hold the document live, too.
#
# What is not:
# - Writers are the products' own clients (which apply what all others write), of Automerge its own sync without the
#   Repo around it, which would hold a change back for 100 ms. A node is written to by POST.
# - Readers only look for values in the bytes that come, and parse nothing. Those of Automerge take part in its sync,
#   which needs the whole library. A new reader is the product's own client; of a node one who parses its first event.
# - A node's event streams gather what comes within 20 ms, Automerge's server what comes within 100 ms; Hocuspocus
#   gathers what it finds in one turn of its event loop, ShareDB nothing.
# - A node, Automerge and ShareDB keep all history, Yjs only what it needs to merge. Texts are values that are replaced
#   as a whole in all of them. ShareDB's database in memory, which it has for tests, copies the document for each write.
# - The servers of JavaScript have one thread each, and a node one as well, which is its default.
# - Clients are three processes of JavaScript on the same machine. If the last row of the table is close to 1, or all
#   together need all cores, the figure is what they can do, not what the server can.
. "$(dirname "$0")/common.sh"
need node nodejs
need npm npm

if [ -z "${PATCHMESH:-}" ]; then
    cargo build --release --locked
    PATCHMESH=$(realpath "${CARGO_TARGET_DIR:-target}")/release/patchmesh
fi
export PATCHMESH
npm ci --loglevel error --no-update-notifier --no-audit --no-fund --ignore-scripts --prefix bench/peers/collaborate
node bench/peers/collaborate/run.js "$@"
