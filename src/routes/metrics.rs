//! Counters and gauges in the Prometheus text format, version 0.0.4.

mod proc;
mod requests;
mod streams;

use std::fmt::{Display, Write};
use std::time::Duration;

use super::primary::CommitStatus;
use crate::histogram::{BOUNDS, HistogramCounts};
use crate::manager::Counters;
use crate::mesh::downstream::DownstreamStatus;
use crate::mesh::upstream::UpstreamStatus;

pub use proc::text as process_text;
pub use requests::{Answering, Requests};

/// The values from which the text is made.
pub struct MetricsReadings<'a> {
    pub counters: Counters,
    /// How many transactions the history has.
    pub length: u64,
    /// How many of them are folded into a document.
    pub begins: u64,
    /// How many records the journal has now.
    pub records: u64,
    /// How many transactions are void, as far as the reasons are known.
    pub void: u64,
    /// How many transactions are final, and how many are not.
    pub committed: u64,
    pub tentative: u64,
    pub commit: Option<CommitStatus>,
    pub is_damaged: bool,
    /// How often a peer was found to have another document.
    pub divergences: u64,
    pub requests: &'a Requests,
    pub upstreams: &'a [UpstreamStatus],
    pub downstreams: &'a [DownstreamStatus],
    /// Whether another patchmesh node has read this one.
    pub was_read: bool,
    /// How long the manager's turns took.
    pub turns: HistogramCounts,
    /// How long the disk took to sync batches of the journal; none if it is in memory.
    pub syncs: Option<HistogramCounts>,
    /// How long transactions of peers took from their time to their acceptance.
    pub delays: HistogramCounts,
}

/// The text of `/metrics`; `process` is the part about the process.
pub fn text(readings: &MetricsReadings, process: &str) -> String {
    let mut text = MetricsText::default();
    text.metric("build_info", "gauge", "The version that runs");
    text.sample("build_info", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
    write_counters(&mut text, readings);
    write_gauges(&mut text, readings);
    write_histograms(&mut text, readings);
    requests::write(&mut text, readings.requests);
    streams::write_upstreams(&mut text, readings.upstreams);
    streams::write_downstreams(&mut text, readings.downstreams, readings.was_read);
    text.0 + process
}

fn write_counters(text: &mut MetricsText, readings: &MetricsReadings) {
    let counters = &readings.counters;
    for (name, help, value) in [
        ("transactions_accepted_total", "Transactions accepted", counters.accepted),
        ("transactions_refused_total", "Fresh transactions that do not apply", counters.refused),
        ("transactions_known_total", "Transactions dropped as known", counters.known),
        (
            "transactions_too_late_total",
            "Transactions dropped since they are older than all that may still come",
            counters.void,
        ),
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
            readings.divergences,
        ),
        (
            "transactions_unkept_total",
            "Refused since the journal cannot take them",
            counters.unkept,
        ),
    ] {
        text.metric(name, "counter", help);
        text.sample(name, &[], value);
    }
}

fn write_gauges(text: &mut MetricsText, readings: &MetricsReadings) {
    let MetricsReadings { counters, length, records, begins, void, committed, tentative, .. } =
        readings;
    let commit = readings.commit.as_ref();
    for (name, help, value) in [
        ("history_transactions", "Transactions in the history", *length),
        ("history_folded_transactions", "Those that a document stands for", *begins),
        ("journal_transactions", "Transactions in the journal, commits included", *records),
        ("transactions_skipped", "Transactions that are skipped now", counters.skipped),
        (
            "transactions_void",
            "Transactions without effect, since they are older than a horizon",
            *void,
        ),
        (
            "transactions_repeated",
            "Transactions without effect, since one of the same name is before them",
            counters.repeated,
        ),
        (
            "clock_ahead_seconds",
            "How far the times of new transactions are ahead of the wall clock",
            counters.ahead_micros / 1_000_000,
        ),
        ("document_weight_bytes", "About the memory of the document", counters.document_weight),
        (
            "journal_full",
            "Whether the journal could not grow when it last should",
            u64::from(counters.journal_full),
        ),
        ("transactions_committed", "Transactions that are final", *committed),
        ("transactions_tentative", "Transactions that are not final", *tentative),
        (
            "commit_epoch",
            "The epoch of the last commit, 0 if none is known",
            commit.map_or(0, |commit| commit.epoch),
        ),
        (
            "primary",
            "Whether this node makes the history final",
            u64::from(commit.is_some_and(|commit| commit.is_own)),
        ),
        (
            "two_primaries",
            "Whether this node was set up as the primary and another one is",
            u64::from(counters.two_primaries),
        ),
        (
            "journal_damaged",
            "Whether a part of the journal is damaged",
            u64::from(readings.is_damaged),
        ),
        ("sources", "Sources in the vector clock", counters.sources),
    ] {
        text.metric(name, "gauge", help);
        text.sample(name, &[], value);
    }
    text.metric("commit_age_seconds", "gauge", "Age of the last commit: no new ones while idle");
    if let Some(commit) = commit {
        text.sample("commit_age_seconds", &[], seconds(commit.age_ms));
    }
}

fn write_histograms(text: &mut MetricsText, readings: &MetricsReadings) {
    for (name, help, counts) in [
        (
            "turn_duration_seconds",
            "Turns of the manager, with applying and syncing",
            Some(readings.turns),
        ),
        (
            "journal_sync_duration_seconds",
            "Syncs of the journal's batches by the disk",
            readings.syncs,
        ),
        (
            "replication_delay_seconds",
            "From the time of a peer's transaction to its acceptance here",
            Some(readings.delays),
        ),
    ] {
        text.metric(name, "histogram", help);
        if let Some(counts) = counts {
            text.histogram(name, &[], &counts);
        }
    }
}

/// Prometheus counts time in seconds, with fractions.
fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}

/// The text so far.
#[derive(Default)]
struct MetricsText(String);

impl MetricsText {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let name = full_name(name);
        self.line(format_args!("# HELP {name} {help}."));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, text)| {
                let text = text.to_string();
                let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
                format!("{label}=\"{text}\"")
            })
            .collect();
        let name = full_name(name);
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
        }
    }

    /// A metric with one sample.
    fn value(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The samples of a histogram with these labels.
    fn histogram(&mut self, name: &str, labels: &[(&str, &dyn Display)], counts: &HistogramCounts) {
        let bucket = format!("{name}_bucket");
        let bounds = BOUNDS.iter().map(|bound| bound.as_secs_f64().to_string());
        let buckets = bounds.zip(counts.up_to).chain([("+Inf".to_owned(), counts.count)]);
        for (bound, count) in buckets {
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            self.sample(&bucket, &labels, count);
        }
        self.sample(&format!("{name}_sum"), labels, counts.sum.as_secs_f64());
        self.sample(&format!("{name}_count"), labels, counts.count);
    }

    fn line(&mut self, line: std::fmt::Arguments) {
        writeln!(self.0, "{line}").expect("a string takes everything");
    }
}

/// Our metrics begin with our name. Those that every process has begin with `process_`.
fn full_name(name: &str) -> String {
    if name.starts_with("process_") { name.to_owned() } else { format!("patchmesh_{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::histogram::Histogram;
    use crate::manager::LastCommit;
    use std::collections::HashSet;

    /// The faults that `promtool check metrics` would find, and some more; none if all is well.
    fn lint(text: &str) -> Option<String> {
        const OTHER_UNITS: [&str; 6] = ["milli", "micro", "minute", "hour", "mega", "_ms"];
        let (mut families, mut series) = (HashSet::new(), HashSet::new());
        let (mut helped, mut declared, mut is_histogram) = ("", "", false);
        for line in text.lines() {
            let fault = |what: &str| Some(format!("{what}: {line}"));
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                if help.is_empty() || !families.insert(name) {
                    return fault("no help, or a metric in two places");
                }
                helped = name;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
                if name != helped || name == declared {
                    return fault("a type without help before it");
                }
                declared = name;
                let is_counter = kind == "counter";
                is_histogram = kind == "histogram";
                let is_known = is_counter || is_histogram || kind == "gauge";
                if !is_known || name.ends_with("_total") != is_counter {
                    return fault("counters, and only they, end in _total");
                }
                let is_name_byte = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
                let is_ours = name.starts_with("patchmesh_") || name.starts_with("process_");
                if !is_ours || !name.bytes().all(is_name_byte) {
                    return fault("not a name of ours");
                }
                if OTHER_UNITS.iter().any(|unit| name.contains(unit)) {
                    return fault("not a base unit");
                }
            } else {
                let (id, value) = line.rsplit_once(' ').unwrap_or((line, ""));
                let mut name = id.split('{').next().unwrap_or_default();
                if is_histogram {
                    let parts = ["_bucket", "_sum", "_count"];
                    name = parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or("");
                }
                if name != declared {
                    return fault("a sample away from its type");
                }
                if value.parse::<f64>().is_err() || !series.insert(id) {
                    return fault("not a number, or there twice");
                }
            }
        }
        (!text.ends_with('\n')).then(|| "the last line has no end".to_owned())
    }

    #[test]
    fn the_page_is_as_promtool_wants_it() {
        let upstream = |address: &str, delay_ms, ahead_ms| {
            let status = UpstreamStatus::new(address.into(), Time::from_micros(1).unwrap());
            UpstreamStatus { delay_ms, ahead_ms, ..status }
        };
        let mut late = upstream("b:1/a\"b\\c", Some(1250), Some(3_600_001));
        (late.node, late.behind, late.lazy) = (Some("b~k3x9q2pd".into()), Some(17), true);
        late.heard = Time::from_micros(1_795_805_236_889_932);
        let requests = Requests::default();
        [101, 200, 204, 304, 404, 500].iter().for_each(|status| requests.count_endless(*status));
        let delays = Histogram::default();
        for millis in [1, 40, 2_000, 60_000] {
            delays.observe(Duration::from_millis(millis));
        }
        let name = ("a~00000000^3".parse().unwrap(), 7).into();
        let commit = LastCommit { name, time: Time::from_micros(1_000_000).unwrap() };
        let now = Time::from_micros(3_500_000).unwrap();
        let text = |upstreams: &[UpstreamStatus]| {
            let counters = Counters { accepted: 7, ..Counters::default() };
            let readings = MetricsReadings {
                counters,
                length: 7,
                begins: 3,
                records: 5,
                void: 0,
                committed: 4,
                tentative: 3,
                commit: CommitStatus::of(&commit, &"a~00000000".parse().unwrap(), now),
                is_damaged: true,
                divergences: 2,
                requests: &requests,
                upstreams,
                downstreams: &[],
                was_read: true,
                turns: HistogramCounts::default(),
                syncs: None,
                delays: delays.counts(),
            };
            text(&readings, &process_text())
        };
        for upstreams in [&[][..], &[upstream("a:1", None, None)]] {
            assert_eq!(lint(&text(upstreams)), None);
        }
        let text = text(&[upstream("a:1", None, None), late]);
        assert_eq!(lint(&text), None, "{text}");
        for line in [
            "patchmesh_transactions_accepted_total 7\n",
            "patchmesh_history_folded_transactions 3\n",
            "patchmesh_transactions_committed 4\n",
            "patchmesh_transactions_tentative 3\n",
            "patchmesh_commit_epoch 3\n",
            "patchmesh_commit_age_seconds 2.5\n",
            "patchmesh_primary 1\n",
            "patchmesh_http_requests_total{class=\"2xx\"} 2\n",
            "patchmesh_upstream_connected{peer=\"a:1\",node=\"\"} 0\n",
            "patchmesh_upstream_since_timestamp_seconds{peer=\"a:1\",node=\"\"} 0\n",
            "patchmesh_upstream_delay_seconds{peer=\"b:1/a\\\"b\\\\c\",node=\"b\"} 1.25\n",
            "patchmesh_upstream_ahead_seconds{peer=\"b:1/a\\\"b\\\\c\",node=\"b\"} 3600.001\n",
            "patchmesh_upstream_behind_transactions{peer=\"b:1/a\\\"b\\\\c\",node=\"b\"} 17\n",
            "patchmesh_upstream_lazy{peer=\"b:1/a\\\"b\\\\c\",node=\"b\"} 1\n",
            "patchmesh_was_read 1\n",
            "patchmesh_replication_delay_seconds_bucket{le=\"0.0005\"} 0\n",
            "patchmesh_replication_delay_seconds_bucket{le=\"0.001\"} 1\n",
            "patchmesh_replication_delay_seconds_bucket{le=\"0.05\"} 2\n",
            "patchmesh_replication_delay_seconds_bucket{le=\"30\"} 3\n",
            "patchmesh_replication_delay_seconds_bucket{le=\"+Inf\"} 4\n",
            "patchmesh_replication_delay_seconds_sum 62.041\n",
            "patchmesh_replication_delay_seconds_count 4\n",
            "patchmesh_http_request_duration_seconds_bucket{kind=\"write\",le=\"0.0001\"} 0\n",
            "patchmesh_http_request_duration_seconds_count{kind=\"past\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let heard = "node=\"b\"} 1795805236.889\n";
        assert_eq!(text.matches("upstream_heard_timestamp_seconds{").count(), 1);
        assert!(text.contains(heard), "{heard}: {text}");
    }

    #[test]
    fn what_promtool_would_complain_of_is_found() {
        let metric = |name: &str, kind: &str| {
            let name = format!("patchmesh_{name}");
            format!("# HELP {name} Help.\n# TYPE {name} {kind}\n{name} 1\n")
        };
        let good = metric("a_total", "counter") + &metric("b", "gauge");
        assert_eq!(lint(&good), None);
        for bad in [
            metric("a", "counter"),
            metric("a_total", "gauge"),
            metric("a_milliseconds", "gauge"),
            metric("A", "gauge"),
            metric("a_seconds", "histogram"),
            metric("a", "summary"),
            good.clone() + &metric("b", "gauge"),
            good.clone() + "patchmesh_a_total 2\n",
            good.clone() + "patchmesh_b 2\n",
            good.clone() + "patchmesh_b{c=\"d\"} x\n",
            good.replace("# HELP patchmesh_b Help.\n", ""),
            good.replace("# TYPE patchmesh_b gauge\n", ""),
            good.trim_end().to_owned(),
        ] {
            assert!(lint(&bad).is_some(), "{bad}");
        }
    }
}
