//! Compresses the texts that are part of the binary.

use std::path::Path;
use std::{env, fs};

use miniz_oxide::deflate::compress_to_vec;

fn main() {
    let folder = env::var_os("OUT_DIR").expect("cargo names the folder");
    for path in ["client.js", "docs/openapi.json", "index.html"].map(Path::new) {
        println!("cargo::rerun-if-changed={}", path.display());
        let text = fs::read(path).expect("the text is in the repository");
        let compressed = Path::new(&folder).join(path.file_name().expect("it is a file"));
        fs::write(compressed, compress_to_vec(&text, 9)).expect("the folder can be written");
    }
}
