//! Every command, once.

use super::flags::*;
use super::interpret;
use super::rows::ArgumentKind::{self, Directory, File, Text, Words};
use super::rows::{Argument, CommandEntry, Count, Exit, Flag, ValueEntry};

/// All commands. The first one has no name: it runs a node.
pub static COMMANDS: &[&CommandEntry] = &[
    &RUN, &GET, &SET, &MERGE, &PATCH, &EDIT, &REMOVE, &WATCH, &IMPORT, &EXPORT, &STATUS, &WAIT,
    &PEERS, &PROMOTE, &BACKUP, &RESTORE, &VERIFY,
];

/// All flags of all commands, each once.
pub fn flags() -> impl Iterator<Item = &'static Flag> {
    let all: Vec<&Flag> = COMMANDS.iter().flat_map(|command| command.flags()).collect();
    let is_first =
        |index: usize, flag: &Flag| all[..index].iter().all(|before| before.name != flag.name);
    let firsts = all.iter().enumerate().filter(|(index, flag)| is_first(*index, flag));
    firsts.map(|(_, flag)| *flag).collect::<Vec<_>>().into_iter()
}

const fn argument(
    name: &'static str,
    kind: ArgumentKind,
    count: Count,
    help: &'static str,
) -> Argument {
    Argument { value: ValueEntry { name, kind }, count, help }
}

const NODE: Argument =
    argument("URL", Text, Count::One, "a node, http://host:port or host:port; more after commas");

const NODES: Argument =
    argument("URL", Text, Count::Some, "a node, http://host:port or host:port; any number");

const RUNNING: Argument = argument("URL", Text, Count::One, "a node, as http://127.0.0.1:8080");

const POINTER: Argument =
    argument("POINTER", Text, Count::One, "a JSON Pointer, as /list/0; \"\" is the document");

const PART: Argument = argument(
    "POINTER",
    Text,
    Count::Optional,
    "a JSON Pointer, as /list/0 [default: the document]",
);

const VALUE: Argument =
    argument("VALUE", File, Count::One, "JSON, FILE, @FILE, or - for standard input");

const DIR: Argument = argument("DIR", Directory, Count::One, "a data directory that no node uses");

/// The exit statuses of commands that only read.
const OF_READS: &[Exit] = &[Exit::Failed, Exit::NotFound, Exit::Unreachable];

/// The exit statuses of writes.
const OF_WRITES: &[Exit] = &[Exit::Failed, Exit::DoesNotApply, Exit::NotFound, Exit::Unreachable];

const EXACTLY_ONCE: &str =
    "The write has one effect, however often it must be sent, to whichever of the nodes.";

pub static RUN: CommandEntry = CommandEntry {
    name: "",
    summary: "run a node",
    more: "PEER may be ws://host:port, or wss://host:port if it speaks TLS; several have commas between them or are \
           arguments of their own. Two nodes name each other; in larger meshes any connected shape will do. SIGINT \
           and SIGTERM end a node in order.",
    arguments: &[
        argument("ADDRESS", Text, Count::One, "host:port to listen on; port 0 takes a free one"),
        argument("PEER", Text, Count::Any, "host:port of a node to receive from"),
    ],
    flags: &[
        &[&SOURCE, &DATA, &PRIMARY, &KEEP, &HORIZON],
        &[&TOKEN, &TOKEN_FILE, &ALLOW_ORIGIN],
        &[&TLS_CERT, &TLS_KEY, &TLS_CA],
        &[&THREADS, &MAX_CONNECTIONS, &LOG_FORMAT],
    ],
    exits: &[Exit::Failed],
    example: "patchmesh 127.0.0.1:8080 127.0.0.1:8081",
    read: interpret::run,
};

static GET: CommandEntry = CommandEntry {
    name: "get",
    summary: "print the document, or a part of it",
    more: "What one node does not answer is asked of the next one.",
    arguments: &[NODE, PART],
    flags: &[&[&COMMITTED, &PRETTY, &RAW, &TIMEOUT], REACH],
    exits: OF_READS,
    example: "patchmesh get http://127.0.0.1:8080 /list/0",
    read: interpret::get,
};

static SET: CommandEntry = CommandEntry {
    name: "set",
    summary: "set a part to a value",
    more: "What it is in must be there. The write has one effect, however often it must be sent, to whichever node.",
    arguments: &[NODE, POINTER, VALUE],
    flags: &[&[&COMMITTED, &TIMEOUT], REACH],
    exits: OF_WRITES,
    example: "patchmesh set http://127.0.0.1:8080 /title '\"Hello\"'",
    read: interpret::set,
};

static MERGE: CommandEntry = CommandEntry {
    name: "merge",
    summary: "change members by a merge patch",
    more: EXACTLY_ONCE,
    arguments: &[NODE, POINTER, VALUE],
    flags: &[&[&COMMITTED, &TIMEOUT], REACH],
    exits: OF_WRITES,
    example: "patchmesh merge http://127.0.0.1:8080 '' '{\"title\":null,\"lang\":\"en\"}'",
    read: interpret::merge,
};

static PATCH: CommandEntry = CommandEntry {
    name: "patch",
    summary: "apply a JSON Patch, relative to a part",
    more: EXACTLY_ONCE,
    arguments: &[NODE, POINTER, VALUE],
    flags: &[&[&COMMITTED, &TIMEOUT], REACH],
    exits: OF_WRITES,
    example: "patchmesh patch 127.0.0.1:8080 /list '[{\"op\":\"remove\",\"path\":\"/0\"}]'",
    read: interpret::patch,
};

static EDIT: CommandEntry = CommandEntry {
    name: "edit",
    summary: "change a part in $EDITOR",
    more: "What was changed is sent as a patch that applies only to what was read: exit status 3 if somebody else has \
           changed the same. The edited file is kept then, and its name is told.",
    arguments: &[NODE, PART],
    flags: &[&[&COMMITTED, &TIMEOUT], REACH],
    exits: OF_WRITES,
    example: "EDITOR=vi patchmesh edit http://127.0.0.1:8080 /settings",
    read: interpret::edit,
};

static REMOVE: CommandEntry = CommandEntry {
    name: "remove",
    summary: "remove a part",
    more: EXACTLY_ONCE,
    arguments: &[NODE, POINTER],
    flags: &[&[&COMMITTED, &TIMEOUT], REACH],
    exits: OF_WRITES,
    example: "patchmesh remove http://127.0.0.1:8080 /list/0",
    read: interpret::remove,
};

static WATCH: CommandEntry = CommandEntry {
    name: "watch",
    summary: "print a part now and whenever it changes",
    more: "One JSON value a line, at first the one that is there; what comes fast is one change. That there is nothing is \
           told on standard error. After a break it goes on without a gap; at another node values may be older first.",
    arguments: &[NODE, PART],
    flags: &[&[&RAW, &TIMEOUT], REACH],
    exits: OF_READS,
    example: "patchmesh watch http://127.0.0.1:8080,http://127.0.0.1:8081 /status",
    read: interpret::watch,
};

static IMPORT: CommandEntry = CommandEntry {
    name: "import",
    summary: "set a part to a document of any size",
    more: "It takes as many transactions as its size needs, each of which has one effect: others see it arrive in pieces.",
    arguments: &[
        NODE,
        POINTER,
        argument("FILE", File, Count::One, "JSON, or - for standard input"),
    ],
    flags: &[&[&COMMITTED, &TIMEOUT], REACH],
    exits: OF_WRITES,
    example: "patchmesh import http://127.0.0.1:8080 /places places.json",
    read: interpret::import,
};

static EXPORT: CommandEntry = CommandEntry {
    name: "export",
    summary: "write the document, or a part, to a file",
    more: "The file is there, or replaced, when all of it has come.",
    arguments: &[
        NODE,
        PART,
        argument("FILE", File, Count::Optional, "a file [default: -, standard output]"),
    ],
    flags: &[&[&COMMITTED, &PRETTY, &TIMEOUT], REACH],
    exits: OF_READS,
    example: "patchmesh export http://127.0.0.1:8080 '' copy.json",
    read: interpret::export,
};

static STATUS: CommandEntry = CommandEntry {
    name: "status",
    summary: "print how nodes are, a line each",
    more: "Nodes with the same hash have the same transactions and document; LAG is how many transactions are still to \
           come, COMMIT how old the last one is. The exit status is 5 if a node is not reached, 1 if one is not well.",
    arguments: &[NODES],
    flags: &[&[&JSON, &TIMEOUT], REACH],
    exits: &[Exit::Failed, Exit::Unreachable],
    example: "patchmesh status http://127.0.0.1:8080 http://127.0.0.1:8081",
    read: interpret::status,
};

static WAIT: CommandEntry = CommandEntry {
    name: "wait",
    summary: "wait until nodes are ready",
    more: "All of them. With --transaction, until they have that one too; with --committed, until it is final, or \
           without one, until all is that they have now.",
    arguments: &[NODES],
    flags: &[&[&TRANSACTION, &COMMITTED, &TIMEOUT], REACH],
    exits: &[Exit::Failed, Exit::Unreachable],
    example: "patchmesh wait http://127.0.0.1:8080 --transaction phone~k3x9q2pd/1",
    read: interpret::wait,
};

static PEERS: CommandEntry = CommandEntry {
    name: "peers",
    summary: "list or change the peers of a running node",
    more: "A node with --data keeps what was added. A peer that its command line names is back after the next start.",
    arguments: &[
        argument(
            "list|add|remove",
            Words(&["list", "add", "remove"]),
            Count::One,
            "what is to be done",
        ),
        RUNNING,
        argument("PEER", Text, Count::Optional, "host:port of the peer to add or remove"),
    ],
    flags: &[REACH],
    exits: &[Exit::Failed],
    example: "patchmesh peers add http://127.0.0.1:8080 127.0.0.1:8082",
    read: interpret::peers,
};

static PROMOTE: CommandEntry = CommandEntry {
    name: "promote",
    summary: "make a running node the primary",
    more: "It takes the place of a primary that is gone for good. What that node has not heard of the old one is void \
           then: promote the one that has heard most.",
    arguments: &[RUNNING],
    flags: &[REACH],
    exits: &[Exit::Failed],
    example: "patchmesh promote http://127.0.0.1:8081",
    read: interpret::promote,
};

static BACKUP: CommandEntry = CommandEntry {
    name: "backup",
    summary: "copy a journal to a file",
    more: "The node may go on running if its URL is given.",
    arguments: &[
        argument(
            "DIR|URL",
            Directory,
            Count::One,
            "a data directory that no node uses, or a running node",
        ),
        argument("FILE", File, Count::One, "a new file, or - for standard output"),
    ],
    flags: &[REACH],
    exits: &[Exit::Failed],
    example: "patchmesh backup http://127.0.0.1:8080 journal.backup",
    read: interpret::backup,
};

static RESTORE: CommandEntry = CommandEntry {
    name: "restore",
    summary: "make a data directory of a backup",
    more: "Its source has a new life.",
    arguments: &[
        argument("FILE", File, Count::One, "a backup, or - for standard input"),
        argument("DIR", Directory, Count::One, "a directory without a journal"),
    ],
    flags: &[&[&SOURCE]],
    exits: &[Exit::Failed],
    example: "patchmesh restore journal.backup data",
    read: interpret::restore,
};

static VERIFY: CommandEntry = CommandEntry {
    name: "verify",
    summary: "check a data directory, or mend it",
    more: "",
    arguments: &[DIR],
    flags: &[&[&NEW_LIFE, &REBUILD_FROM, &SOURCE], REACH],
    exits: &[Exit::Failed],
    example: "patchmesh verify data --rebuild-from http://127.0.0.1:8081",
    read: interpret::verify,
};
