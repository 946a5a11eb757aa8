//! Counters and gauges in the Prometheus text format, version 0.0.4.

use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::downstream::DownstreamStatus;
use crate::manager::Counters;
use crate::upstream::{State, UpstreamStatus};

/// Counts answers by the first digit of their status.
#[derive(Debug, Default)]
pub struct Requests([AtomicU64; 5]);

impl Requests {
    /// Counts one answer.
    pub fn count(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.0[class].fetch_add(1, Ordering::Relaxed);
    }
}

/// What the text is made from.
pub struct Readings<'a> {
    pub counters: Counters,
    pub length: u64,
    pub requests: &'a Requests,
    pub upstreams: &'a [UpstreamStatus],
    pub downstreams: &'a [DownstreamStatus],
}

/// The text.
pub fn text(readings: &Readings) -> String {
    let Readings { counters, length, requests, upstreams, downstreams } = readings;
    let mut page = Page(String::new());
    page.metric("build_info", "gauge", "The version that runs");
    page.sample("build_info", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
    for (name, help, value) in [
        ("transactions_accepted_total", "Transactions accepted", counters.accepted),
        ("transactions_refused_total", "Fresh transactions that do not apply", counters.refused),
        ("transactions_known_total", "Transactions dropped as known", counters.known),
        (
            "transactions_newly_skipped_total",
            "Applied transactions that came to be skipped",
            counters.newly_skipped,
        ),
        (
            "transactions_newly_applied_total",
            "Skipped transactions that came to be applied",
            counters.newly_applied,
        ),
        (
            "equivocations_total",
            "Transactions dropped that differ from the known one of the same name",
            counters.equivocations,
        ),
        (
            "divergences_total",
            "Times a peer with the same transactions had another document",
            upstreams.iter().map(|upstream| upstream.divergences).sum(),
        ),
        ("transactions_unkept_total", "Refused since the journal cannot grow", counters.unkept),
    ] {
        page.metric(name, "counter", help);
        page.sample(name, &[], value);
    }
    for (name, help, value) in [
        ("journal_transactions", "Transactions in the journal", *length),
        ("transactions_skipped", "Transactions that are skipped now", counters.skipped),
        ("document_weight_bytes", "About the memory of the document", counters.document_weight),
        (
            "journal_full",
            "Whether the journal could not grow when it last should",
            u64::from(counters.journal_full),
        ),
        ("sources", "Sources in the vector clock", counters.sources),
        ("downstreams", "Sessions that are sent the journal", downstreams.len() as u64),
        (
            "downstream_behind_transactions",
            "How far the slowest of them is behind",
            downstreams.iter().map(|downstream| downstream.behind).max().unwrap_or(0),
        ),
    ] {
        page.metric(name, "gauge", help);
        page.sample(name, &[], value);
    }
    page.metric("http_requests_total", "counter", "Requests by the class of their answer");
    for (class, count) in requests.0.iter().enumerate() {
        let class = format!("{}xx", class + 1);
        page.sample("http_requests_total", &[("class", &class)], count.load(Ordering::Relaxed));
    }
    page.metric("upstream_connected", "gauge", "Whether the peer's journal is being received");
    for upstream in *upstreams {
        let connected = u64::from(upstream.state == State::Connected);
        page.sample("upstream_connected", &[("peer", &upstream.address)], connected);
    }
    page.metric("upstream_received_total", "counter", "Transactions that the peer sent");
    for upstream in *upstreams {
        page.sample("upstream_received_total", &[("peer", &upstream.address)], upstream.received);
    }
    page.metric("upstream_delay_milliseconds", "gauge", "Age of its last one when it came");
    for upstream in *upstreams {
        if let Some(delay_ms) = upstream.delay_ms {
            page.sample("upstream_delay_milliseconds", &[("peer", &upstream.address)], delay_ms);
        }
    }
    page.metric("upstream_ahead_seconds", "gauge", "How far a peer's times are too far ahead");
    for upstream in *upstreams {
        let seconds = upstream.ahead_ms.unwrap_or(0) / 1000;
        page.sample("upstream_ahead_seconds", &[("peer", &upstream.address)], seconds);
    }
    page.0
}

struct Page(String);

impl Page {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP patchmesh_{name} {help}."));
        self.line(format_args!("# TYPE patchmesh_{name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: u64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, text)| {
                let text = text.to_string();
                let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
                format!("{label}=\"{text}\"")
            })
            .collect();
        if labels.is_empty() {
            self.line(format_args!("patchmesh_{name} {value}"));
        } else {
            self.line(format_args!("patchmesh_{name}{{{}}} {value}", labels.join(",")));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments) {
        writeln!(self.0, "{line}").expect("a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_follows_its_type() {
        let requests = Requests::default();
        [101, 200, 204, 304, 404, 500].iter().for_each(|status| requests.count(*status));
        let text = text(&Readings {
            counters: Counters { accepted: 7, ..Counters::default() },
            length: 7,
            requests: &requests,
            upstreams: &[],
            downstreams: &[],
        });
        assert!(text.contains("patchmesh_transactions_accepted_total 7\n"), "{text}");
        assert!(text.contains("patchmesh_http_requests_total{class=\"2xx\"} 2\n"), "{text}");
        let mut declared = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                declared = rest.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                assert_eq!(line.split(['{', ' ']).next(), Some(declared), "{line}");
            }
        }
    }
}
