//! Two nodes in one program that replicate: what is written to one can be read from the other.
//!
//!     cargo run --example embed

use std::error::Error;
use std::time::Duration;

use patchmesh::{Config, Node};

fn main() -> Result<(), Box<dyn Error>> {
    // What the command line would say: the address, the peers, flags.
    let first = Node::start(Config::new(["127.0.0.1:0"])?)?;
    let second = Node::start(Config::new(["127.0.0.1:0", first.addresses()])?)?;

    let (writer, reader) = (first.handle(), second.handle());
    // Before the write, so that it cannot be missed.
    let news = reader.subscribe();
    let patch = r#"[{"op":"add","path":"/flags","value":{"dark":true}}]"#;
    let name = smol::block_on(writer.patch(patch))?;
    println!("{name} is accepted, the document is {}", writer.document());

    let arrived = async {
        while reader.document().part("/flags/dark").is_none() {
            if news.recv().await.is_err() {
                return false;
            }
        }
        true
    };
    let late = async {
        smol::Timer::after(Duration::from_secs(10)).await;
        false
    };
    if !smol::block_on(smol::future::or(arrived, late)) {
        return Err("it did not come to the other node within 10 s".into());
    }
    println!("the other node has {}", reader.document());

    second.stop()?;
    first.stop()?;
    Ok(())
}
