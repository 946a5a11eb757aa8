//! What can be read of a base is written as something that reads as the same.
//!
//! The input is the text of a base without its document.

#![no_main]

use libfuzzer_sys::fuzz_target;
use patchmesh::internals::patch::Document;
use patchmesh::internals::replica::Base;

fuzz_target!(|text: &str| {
    let Ok(base) = Base::read(text, Document::default()) else { return };
    let summary = base.summary();
    let again = Base::read(&summary, Document::default());
    assert_eq!(again.as_ref(), Ok(&base));
    assert_eq!(again.expect("it is one").summary(), summary);
    for (source, next) in base.names.next_ids() {
        assert!(base.names.contains(source, next - 1) && !base.names.contains(source, next));
    }
});
