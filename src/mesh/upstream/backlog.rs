//! How many transactions of a peer this node lacks.

/// How many transactions a stream still has to bring.
///
/// The peer says now and then how many it is going to send. Transactions that came before that and are not
/// settled yet are lacking too. So are those that come after it, even if the peer has not counted them.
#[derive(Debug, Default)]
pub struct Backlog {
    lacking: Option<u64>,
}

impl Backlog {
    /// The peer says that `to_come` more will come, while `waiting` transactions have come and are not
    /// settled.
    pub fn told(&mut self, to_come: u64, waiting: u64) {
        self.lacking = Some(to_come.saturating_add(waiting));
    }

    /// `count` transactions were settled.
    pub fn settled(&mut self, count: u64) {
        self.lacking = self.lacking.map(|lacking| lacking.saturating_sub(count));
    }

    /// How many transactions this node lacks, if `waiting` have come and are not settled. `None` if the peer
    /// does not say: plain nodes do not.
    pub fn lacking(&self, waiting: u64) -> Option<u64> {
        self.lacking.map(|lacking| lacking.max(waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backlog_follows_from_what_the_peer_says_and_brings() {
        // `t7`: the peer says that 7 are to come. `c2`: two come. `s2`: two are settled. Then how many are
        // lacking.
        for (happens, expected) in [
            ("", None),
            ("c3 s1", None),
            ("t0", Some(0)),
            ("t7", Some(7)),
            ("t7 c2", Some(7)),
            ("t7 c2 s2", Some(5)),
            ("t7 c7 s7", Some(0)),
            // They came before the peer said so.
            ("c3 t7", Some(10)),
            ("c3 t7 s3 c7 s7", Some(0)),
            ("c3 t0 s2", Some(1)),
            // The peer got them after it said so.
            ("t0 c5", Some(5)),
            ("t0 c5 s5", Some(0)),
            ("t2 c9 s5", Some(4)),
            // The peer says so again.
            ("t7 c2 s2 t9", Some(9)),
            ("t7 c7 s7 t0", Some(0)),
        ] {
            let (mut backlog, mut waiting) = (Backlog::default(), 0);
            for word in happens.split_whitespace() {
                let count: u64 = word[1..].parse().unwrap();
                match &word[..1] {
                    "t" => backlog.told(count, waiting),
                    "c" => waiting += count,
                    _ => {
                        waiting -= count;
                        backlog.settled(count);
                    }
                }
            }
            assert_eq!(backlog.lacking(waiting), expected, "{happens}");
        }
    }
}
