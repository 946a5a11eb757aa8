//! What a document is by definition: `{}` with the patches of a set of transactions applied in the
//! order of (`Time`, `Source`, `Id`): a patch that does not apply is skipped whole, and of several of
//! one name only the first counts.
//!
//! Nothing is taken back here: a patch is applied to a copy, and the copy is dropped if it fails. The order is
//! written out, not taken from the library. As all nodes of a simulation go through much the same
//! documents, each application is done once and remembered.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use patchmesh::internals::patch::{Document, Patch, PatchError, parse};
use patchmesh::internals::transaction::{Name, Place, Record, Transaction};

/// A transaction in a [`Book`].
pub type Number = usize;

/// A document in a [`Book`].
pub type Version = usize;

/// The document without any transactions.
pub const EMPTY: Version = 0;

/// All ordered transactions of a simulation and all documents that they lead to.
pub struct Book {
    entries: Vec<Entry>,
    numbers: HashMap<Content, Number>,
    patches: Vec<Result<Patch, Rc<PatchError>>>,
    payloads: HashMap<Box<str>, usize>,
    documents: Vec<(Document, String)>,
    versions: HashMap<String, Version>,
    applications: HashMap<(Version, usize), Result<Version, Rc<PatchError>>>,
}

/// All by which two transactions can differ: place, name, payload and request.
type Content = (Place, Name, usize, Option<Box<str>>);

struct Entry {
    transaction: Transaction,
    record: Record,
    payload: usize,
}

impl Book {
    /// A book of the empty document.
    pub fn new() -> Self {
        let mut book = Self {
            entries: Vec::new(),
            numbers: HashMap::new(),
            patches: Vec::new(),
            payloads: HashMap::new(),
            documents: Vec::new(),
            versions: HashMap::new(),
            applications: HashMap::new(),
        };
        assert_eq!(book.version(Document::new(serde_json::json!({})).expect("it is small")), EMPTY);
        book
    }

    /// Takes an ordered transaction in; gives its number, which it keeps.
    pub fn enter(&mut self, transaction: &Transaction) -> Number {
        let place = transaction.place().expect("the transaction is ordered");
        let payload = self.payload(&transaction.payload);
        let Self { entries, numbers, .. } = self;
        let request = transaction.request.clone();
        *numbers.entry((place.clone(), transaction.name(), payload, request)).or_insert_with(|| {
            let line = transaction.encode();
            assert_eq!(Transaction::decode(line.as_bytes()).as_ref(), Ok(transaction));
            let named = transaction.by.is_some().then(|| Box::new(transaction.name()));
            let record = Record { place, named, line: line.into() };
            entries.push(Entry { transaction: transaction.clone(), record, payload });
            entries.len() - 1
        })
    }

    /// The number of an ordered transaction that was taken in.
    pub fn number(&self, transaction: &Transaction) -> Option<Number> {
        let payload = self.payloads.get(&transaction.payload)?;
        let request = transaction.request.clone();
        self.numbers.get(&(transaction.place()?, transaction.name(), *payload, request)).copied()
    }

    /// A transaction.
    pub fn transaction(&self, number: Number) -> &Transaction {
        &self.entries[number].transaction
    }

    /// The record that a journal has of a transaction.
    pub fn record(&self, number: Number) -> &Record {
        &self.entries[number].record
    }

    /// The place of a transaction.
    pub fn place(&self, number: Number) -> &Place {
        &self.record(number).place
    }

    /// A document.
    pub fn document(&self, version: Version) -> &Document {
        &self.documents[version].0
    }

    /// The JSON text of a document.
    pub fn text(&self, version: Version) -> &str {
        &self.documents[version].1
    }

    /// The document after a transaction, or why it is skipped.
    pub fn apply(&mut self, version: Version, number: Number) -> Result<Version, Rc<PatchError>> {
        self.apply_payload(version, self.entries[number].payload)
    }

    /// The document after a patch, or why it does not apply.
    pub fn apply_text(&mut self, version: Version, text: &str) -> Result<Version, Rc<PatchError>> {
        let payload = self.payload(text);
        self.apply_payload(version, payload)
    }

    fn apply_payload(
        &mut self,
        version: Version,
        payload: usize,
    ) -> Result<Version, Rc<PatchError>> {
        if let Some(known) = self.applications.get(&(version, payload)) {
            return known.clone();
        }
        let result = self.patches[payload].clone().and_then(|patch| {
            let mut copy = self.documents[version].0.clone();
            copy.apply(patch).map_err(Rc::new)?;
            Ok(self.version(copy))
        });
        self.applications.insert((version, payload), result.clone());
        result
    }

    fn payload(&mut self, text: &str) -> usize {
        if let Some(payload) = self.payloads.get(text) {
            return *payload;
        }
        self.patches.push(parse(text).map_err(Rc::new));
        self.payloads.insert(text.into(), self.patches.len() - 1);
        self.patches.len() - 1
    }

    fn version(&mut self, document: Document) -> Version {
        let text = document.root().to_string();
        if let Some(version) = self.versions.get(&text) {
            return *version;
        }
        self.documents.push((document, text.clone()));
        self.versions.insert(text, self.documents.len() - 1);
        self.documents.len() - 1
    }
}

/// The order of the history, from the text of the definition.
pub fn order(left: &Place, right: &Place) -> Ordering {
    let key = |place: &Place| (place.time.as_micros(), place.id);
    let ((left_time, left_id), (right_time, right_id)) = (key(left), key(right));
    left_time
        .cmp(&right_time)
        .then_with(|| left.source.as_str().as_bytes().cmp(right.source.as_str().as_bytes()))
        .then_with(|| left_id.cmp(&right_id))
}

/// The document's text and the skipped transactions with the reason, for a set of transactions, with
/// nothing remembered.
pub fn fold(mut set: Vec<Transaction>) -> (String, Vec<(Transaction, PatchError)>) {
    let place = |transaction: &Transaction| transaction.place().expect("it is ordered");
    set.sort_by(|left, right| order(&place(left), &place(right)));
    let mut document = Document::default();
    let mut skipped = Vec::new();
    let mut names = HashSet::new();
    for transaction in set {
        if !names.insert(transaction.name()) {
            continue;
        }
        let mut copy = document.clone();
        match parse(&transaction.payload).and_then(|patch| copy.apply(patch)) {
            Ok(_) => document = copy,
            Err(error) => skipped.push((transaction, error)),
        }
    }
    (document.root().to_string(), skipped)
}
