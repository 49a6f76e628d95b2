//! The results of many schedules, added up.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::play::Report;

pub(crate) struct Tally {
    begun: Instant,
    played: usize,
    requests: usize,
    crashes: u32,
    pub(crate) real_gone: u32,
    unknown: Vec<String>,
    met: BTreeMap<String, usize>,
    pub(crate) unmet: usize,
    slowest: Duration,
    pub(crate) failed: Vec<Report>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            played: 0,
            requests: 0,
            crashes: 0,
            real_gone: 0,
            unknown: Vec::new(),
            met: BTreeMap::new(),
            unmet: 0,
            slowest: Duration::ZERO,
            failed: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, report: Report) {
        self.played += 1;
        self.requests += report.requests;
        self.crashes += report.crashes;
        self.real_gone += report.real_gone;
        self.slowest = self.slowest.max(report.rest);
        if report.unknown {
            self.unknown.push(report.schedule.to_string());
        }
        for fault in &report.met {
            let what = fault.what.to_string();
            let kind = what.split(':').next().unwrap_or_default().to_owned();
            *self.met.entry(kind).or_default() += 1;
        }
        self.unmet += report.schedule.faults.len().saturating_sub(report.met.len());
        if !report.wrong.is_empty() {
            println!("VIOLATION {}: {}", report.schedule, report.wrong.join("; "));
            self.failed.push(report);
        }
        if self.played.is_multiple_of(500) {
            println!("{} schedules in {} s ...", self.played, self.begun.elapsed().as_secs());
        }
    }

    /// How many faults were met.
    pub(crate) fn met(&self) -> usize {
        self.met.values().sum()
    }

    pub(crate) fn print(&self, what: &str) {
        println!(
            "{what}: {} schedules in {} s, {} requests, {} crashes of an operator, {} real 410s, {} outcomes unknown, \
             the slowest at rest after {:.1} s, {} violations",
            self.played,
            self.begun.elapsed().as_secs(),
            self.requests,
            self.crashes,
            self.real_gone,
            self.unknown.len(),
            self.slowest.as_secs_f64(),
            self.failed.len(),
        );
        let met: Vec<String> = self.met.iter().map(|(what, count)| format!("{what} {count}")).collect();
        println!(
            "{} faults met: {}; {} never met, since the path ended before",
            self.met(),
            met.join(", "),
            self.unmet
        );
        for schedule in self.unknown.iter().take(10) {
            println!("unknown: {schedule}");
        }
    }
}
