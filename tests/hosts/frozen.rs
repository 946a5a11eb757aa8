//! Nodes that stop without a word: their hosts still acknowledge what is sent to them, until there is no room.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::network::{Family, Network};
use crate::writing::write_while;

/// Long before anybody gives up a node for its silence.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn while_any_one_of_four_is_frozen_the_others_have_each_others_writes() {
    Network::run(4, Family::V6, |network| {
        let nodes = network.mesh(4);
        write_while(network, &nodes, |writing| {
            for (frozen, node) in nodes.iter().enumerate() {
                node.signal(Signal::STOP);
                let others: [usize; 3] = std::array::from_fn(|number| (frozen + 1 + number) % 4);
                let begin = Instant::now();
                let written = writing.wait_for_more(others);
                for host in others {
                    written.iter().for_each(|written| writing.wait_until_it_has(host, written));
                }
                assert!(begin.elapsed() < SOON, "without {frozen}: {:?}", begin.elapsed());
                node.signal(Signal::CONT);
                written.iter().for_each(|written| writing.wait_until_it_has(frozen, written));
            }
        });
    });
}

#[test]
fn two_of_four_are_frozen_and_the_other_two_go_on() {
    Network::run(4, Family::V6, |network| {
        let nodes = network.mesh(4);
        write_while(network, &nodes, |writing| {
            for frozen in [[0, 1], [1, 3], [2, 0]] {
                frozen.iter().for_each(|host| nodes[*host].signal(Signal::STOP));
                let others = (0..4).filter(|host| !frozen.contains(host)).collect::<Vec<_>>();
                let [first, second] = [others[0], others[1]];
                let written = writing.wait_for_more([first, second]);
                writing.wait_until_it_has(second, &written[0]);
                writing.wait_until_it_has(first, &written[1]);
                frozen.iter().for_each(|host| nodes[*host].signal(Signal::CONT));
            }
        });
    });
}
