//! What goes wrong.

use patchmesh::internals::clock::Time;
use patchmesh::internals::transaction::Transaction;

use super::{World, plan};
use crate::journal::{Disk, Growth};
use crate::lab::Lab;
use crate::network::{Link, Origin};

impl World {
    /// What the disk of a node does next.
    pub fn disk(&mut self, index: usize) -> Disk {
        let fails = |lab: &mut Lab, faults: u32| lab.rng.u32(0..1000) < faults;
        let mut disk = Disk::SOUND;
        // What is recent is not read, so most of these are never noticed.
        if fails(&mut self.lab, 10 * self.plan.faults) {
            disk.most_reads = self.lab.rng.u32(0..6);
        }
        if self.step < self.full_until[index] || fails(&mut self.lab, self.plan.faults) {
            disk.growth = Growth::Full;
        } else if fails(&mut self.lab, self.plan.faults) {
            disk.growth = Growth::Crash;
        }
        disk
    }

    /// A transaction that a node has, with another time or payload.
    pub fn forgery(&mut self, index: usize) -> Option<Transaction> {
        let Lab { book, rng, .. } = &mut self.lab;
        let mut forgery = book.transaction(*rng.choice(self.nodes[index].journal())?).clone();
        if rng.bool() {
            forgery.payload = format!("{} ", forgery.payload).into();
        } else {
            let micros = forgery.time.map_or(0, Time::as_micros);
            forgery.time = Time::from_micros(micros - 5 + rng.u64(0..5));
        }
        book.number(&forgery).is_none().then_some(forgery)
    }

    /// Something goes wrong.
    pub fn fail(&mut self) {
        let node = self.lab.rng.usize(0..self.nodes.len());
        let link = self.lab.rng.usize(0..self.links.len());
        match self.lab.rng.u32(0..10) {
            0..2 => self.crash(node),
            2..4 => {
                self.nodes[node].clock_error = self.plan.clock_error(&mut self.lab.rng);
                let error = self.nodes[node].clock_error;
                self.lab.note(|_| format!("{node}: the clock is off by {error} µs from now on"));
            }
            4 => {
                self.full_until[node] = self.step + self.lab.rng.u64(0..300);
                self.lab.note(|_| format!("{node}: the disk is full for a while"));
            }
            5..7 => {
                let blocked_until = self.step + self.lab.rng.u64(0..100);
                self.cut(link, blocked_until);
            }
            7 => {
                // A partition: some on one side, the others on the other.
                let sides: Vec<bool> = self.nodes.iter().map(|_| self.lab.rng.bool()).collect();
                let blocked_until = self.step + self.lab.rng.u64(0..300);
                for index in 0..self.links.len() {
                    let Link { from, to, .. } = self.links[index];
                    if let Origin::Node(from) = from
                        && sides[from] != sides[to]
                    {
                        self.cut(index, blocked_until);
                    }
                }
            }
            _ => {
                // The stream goes back, and sends again what it has sent.
                let Self { lab, links, .. } = self;
                if let Some(stream) = &mut links[link].stream
                    && stream.submitted.is_none()
                {
                    stream.answered = lab.rng.usize(0..=stream.answered);
                    lab.note(|_| format!("link {link} repeats from {}", stream.answered));
                }
            }
        }
    }

    fn cut(&mut self, index: usize, blocked_until: u64) {
        let link = &mut self.links[index];
        link.stream = None;
        link.blocked_until = blocked_until;
        self.lab.note(|_| format!("link {index} from {:?} to {} is cut", link.from, link.to));
    }

    /// A node ends, loses what is not in its journal, and starts again.
    pub fn crash(&mut self, index: usize) {
        self.lab.note(|_| format!("{index} restarts"));
        for link in &mut self.links {
            if link.to == index || link.from == Origin::Node(index) {
                link.stream = None;
            }
        }
        let now = self.now(index);
        if self.lab.percent(50) {
            self.nodes[index].bounds = plan::bounds(&mut self.lab.rng);
        }
        self.nodes[index].restart(now, &mut self.lab);
    }
}
