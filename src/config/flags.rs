//! Every flag, once.

use super::rows::{ArgumentKind, Flag, ValueEntry};

const FILE: Option<ValueEntry> = Some(ValueEntry { name: "FILE", kind: ArgumentKind::File });

const DURATION: Option<ValueEntry> =
    Some(ValueEntry { name: "DURATION", kind: ArgumentKind::Text });

/// The fields of most flags.
const PLAIN: Flag =
    Flag { name: "", value: None, is_repeated: false, excludes: None, help: "", more: "" };

const fn text(name: &'static str) -> Option<ValueEntry> {
    Some(ValueEntry { name, kind: ArgumentKind::Text })
}

pub static SOURCE: Flag = Flag {
    name: "source",
    value: text("NAME"),
    help: "name the node [default: ADDRESS]",
    more: "1 to 112 bytes without ~ and ^. Each life of the node makes its source of it.",
    ..PLAIN
};

pub static DATA: Flag = Flag {
    name: "data",
    value: Some(ValueEntry { name: "DIR", kind: ArgumentKind::Directory }),
    help: "keep the journal in DIR [default: in memory]",
    more: "Without it the journal ends with the node.",
    ..PLAIN
};

pub static TOKEN: Flag = Flag {
    name: "token",
    value: text("TOKEN"),
    excludes: Some("token-file"),
    help: "the shared secret; prefer PATCHMESH_TOKEN",
    more: "A node wants to be shown it by clients and peers, and shows it to its peers; other commands show it to \
           nodes. Prefer the environment variable: everyone on the machine sees a command line.",
    ..PLAIN
};

pub static TOKEN_FILE: Flag = Flag {
    name: "token-file",
    value: FILE,
    excludes: Some("token"),
    help: "secrets with rights instead, a line each",
    more: "Each line has a token and read, write or peer; # begins a comment. A node reads it again at SIGHUP, and \
           shows its peers the first token with peer; other commands show the first one of all.",
    ..PLAIN
};

pub static ALLOW_ORIGIN: Flag = Flag {
    name: "allow-origin",
    value: text("ORIGIN"),
    is_repeated: true,
    help: "let web pages of ORIGIN in too, * for all",
    more: "As https://app.example or http://localhost:3000; again for more. In the environment variable commas \
           stand between them.",
    ..PLAIN
};

pub static THREADS: Flag = Flag {
    name: "threads",
    value: text("N"),
    help: "answer, dial and replicate by N threads [default: 1]",
    more: "At most 64. Writes are applied by one of them in any case.",
    ..PLAIN
};

pub static MAX_CONNECTIONS: Flag = Flag {
    name: "max-connections",
    value: text("N"),
    help: "refuse more connections than N [default: 1024]",
    more: "At most 1000000. Each takes a descriptor: see `ulimit -n`. 64 more are kept free for other nodes and for \
           what asks how the node is.",
    ..PLAIN
};

pub static PRIMARY: Flag = Flag {
    name: "primary",
    help: "say what is final: one node of a mesh, with --data",
    more: "A little behind the present it says which part of the history is final. It is never on the way of a \
           write.",
    ..PLAIN
};

pub static KEEP: Flag = Flag {
    name: "keep",
    value: DURATION,
    help: "keep what became final in that time [default: 24h]",
    more: "What is final is kept as single transactions for so long, and of what is older only the document. A \
           whole number with s, m, h or d.",
    ..PLAIN
};

pub static HORIZON: Flag = Flag {
    name: "horizon",
    value: DURATION,
    help: "as primary, void what comes later [default: 30d]",
    more: "How long after it was written a transaction may reach the primary. What is older then is void on all \
           nodes.",
    ..PLAIN
};

pub static LOG_FORMAT: Flag = Flag {
    name: "log-format",
    value: Some(ValueEntry { name: "FORMAT", kind: ArgumentKind::Words(&["text", "json"]) }),
    help: "log as text or json [default: text]",
    more: "json is an object a line. The environment variable RUST_LOG sets what is logged: error, warn, info (the \
           default) or debug.",
    ..PLAIN
};

pub static TLS_CERT: Flag = Flag {
    name: "tls-cert",
    value: FILE,
    help: "show this certificate (PEM)",
    more: "A node speaks TLS only, then. The certificates between it and the CA's may stand behind it.",
    ..PLAIN
};

pub static TLS_KEY: Flag =
    Flag { name: "tls-key", value: FILE, help: "the key of that certificate (PEM)", ..PLAIN };

pub static TLS_CA: Flag = Flag {
    name: "tls-ca",
    value: FILE,
    help: "trust the CAs in FILE (PEM) only",
    more: "Without it those are trusted that the system trusts. A node wants its clients to show a certificate that \
           they signed, too.",
    ..PLAIN
};

pub static NEW_LIFE: Flag = Flag {
    name: "new-life",
    help: "go on with what is there, without what is lost",
    more: "The node has a new source then. With --rebuild-from: go on though something is nowhere.",
    ..PLAIN
};

pub static REBUILD_FROM: Flag = Flag {
    name: "rebuild-from",
    value: text("PEER"),
    help: "make a new journal of what PEER has",
    more: "With what can still be read of the old one, which is set aside. PEER is the address or URL of a node.",
    ..PLAIN
};

pub static COMMITTED: Flag = Flag {
    name: "committed",
    help: "read what is final; wait until a write is",
    more: "The mesh needs a primary for that.",
    ..PLAIN
};

pub static TIMEOUT: Flag = Flag {
    name: "timeout",
    value: DURATION,
    help: "give up after so long [default: 30s]",
    more: "A whole number with s, m, h or d. If no node is there at all, that is told at once.",
    ..PLAIN
};

pub static PRETTY: Flag = Flag {
    name: "pretty",
    excludes: Some("raw"),
    help: "print JSON on many lines",
    more: "Each member and element has a line of its own.",
    ..PLAIN
};

pub static RAW: Flag = Flag {
    name: "raw",
    excludes: Some("pretty"),
    help: "print a string without its quotes",
    more: "All else is printed as JSON.",
    ..PLAIN
};

pub static JSON: Flag = Flag {
    name: "json",
    help: "print JSON objects, one a line",
    more: "They have the columns as members.",
    ..PLAIN
};

pub static TRANSACTION: Flag = Flag {
    name: "transaction",
    value: text("SOURCE/ID"),
    help: "until all nodes have this transaction",
    more: "SOURCE and ID are those that the answer to a write says.",
    ..PLAIN
};

/// The flags of all commands that talk to nodes.
pub static REACH: &[&Flag] = &[&TOKEN, &TOKEN_FILE, &TLS_CA, &TLS_CERT, &TLS_KEY];
