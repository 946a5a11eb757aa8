//! The peers that were added while the node ran: a small file beside the journal.
//!
//! ```text
//! {"Version":1,"Peers":["10.0.0.2:8080"]}
//! ```

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::new_file::{with_suffix, write_durably};

/// The file's name, and what is appended to it if the file cannot be used.
const PEERS: &str = "peers";
const DAMAGED: &str = ".damaged";

/// The version of the format.
const VERSION: u32 = 1;

/// A longer file was not written by this program.
const MOST_BYTES: u64 = 1 << 20;

/// The file in a data directory.
#[derive(Clone, Debug)]
pub struct PeerList {
    directory: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Stored {
    version: u32,
    peers: Vec<String>,
}

impl PeerList {
    /// The list of a directory, which the caller has locked.
    pub fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.directory.join(PEERS)
    }

    /// The peers; none if there is no file.
    ///
    /// # Errors
    /// If it cannot be read, or this build does not know its format; in words.
    pub fn read(&self) -> Result<Vec<String>, String> {
        let file = match File::open(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file.map_err(|error| error.to_string())?,
        };
        let mut text = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut text).map_err(|error| error.to_string())?;
        let stored: Stored = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        if stored.version != VERSION {
            return Err(format!(
                "its version is {}, and this build knows {VERSION}",
                stored.version
            ));
        }
        Ok(stored.peers)
    }

    /// Replaces the peers, durably.
    ///
    /// # Errors
    /// If they may not be durable.
    pub fn write(&self, peers: Vec<String>) -> io::Result<()> {
        let stored = Stored { version: VERSION, peers };
        let mut text = serde_json::to_vec(&stored).expect("strings always have a JSON text");
        text.push(b'\n');
        write_durably(&self.path(), &text)
    }

    /// Renames a file that cannot be used, so that it is not overwritten, and returns its new path.
    ///
    /// # Errors
    /// If that cannot be done.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let aside = with_suffix(&self.path(), DAMAGED);
        fs::rename(self.path(), &aside)?;
        Ok(aside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_and_an_unknown_file_is_set_aside() {
        let directory = std::env::temp_dir().join(format!("peer-list-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let list = PeerList::of(&directory);
        assert_eq!(list.read(), Ok(vec![]));
        for peers in [vec!["a:1".to_owned(), "[::1]:2/mesh/ws".to_owned()], vec![]] {
            list.write(peers.clone()).unwrap();
            assert_eq!(list.read(), Ok(peers));
        }
        for (text, why) in [
            ("", "EOF"),
            (r#"{"Version":1,"Peers":["a:1""#, "EOF"),
            (r#"{"Version":1,"Peers":["a:1"],"More":1}"#, "unknown field"),
            (r#"{"Version":2,"Peers":[]}"#, "its version is 2"),
            (r#"{"Version":1}"#, "missing field"),
        ] {
            fs::write(list.path(), text).unwrap();
            let error = list.read().unwrap_err();
            assert!(error.contains(why), "{error}");
            let aside = list.set_aside().unwrap();
            assert_eq!(fs::read_to_string(aside).unwrap(), text);
            assert_eq!(list.read(), Ok(vec![]));
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
