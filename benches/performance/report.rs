//! The figures as Markdown.

use crate::{
    Measured, at_once,
    audit::{Request, Requests},
    kinds::Kind,
    operator::STEPS,
    runner,
    samples::{Values, count, rate},
};

/// As memory is limited and shown: MiB.
const MIB: f64 = 1024.0 * 1024.0;
/// The client that measures makes the object: no cost of its kind.
const CLIENT: &str = "the client that measures";

pub(crate) fn markdown(measured: &Measured) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let date = k8s_openapi::jiff::Zoned::now().strftime("%Y-%m-%d").to_string();
    let parts = [
        format!("Measured on {date}: Kubernetes {}, {cores} cores.\n", measured.kubernetes),
        "![How many of bare pods, Jobs and actions have ended after how many seconds](performance.svg)\n"
            .to_owned(),
        wanted(measured),
        in_turn(measured),
        measured.at_once.iter().map(at_once).collect::<Vec<_>>().join("\n"),
        requests(measured),
        steps(measured),
        memory(measured),
        runner(&measured.runner),
    ];
    parts.join("\n")
}

fn ratio_of_medians(measured: &Measured, kind: Kind) -> f64 {
    let median = |kind| Values::took(&measured.in_turn.samples[&kind]).median();
    median(kind) / median(Kind::Pod)
}

/// The mean of the rounds.
fn mean_rate(measured: &at_once::Measured, kind: Kind) -> f64 {
    Values::new(measured.rounds[&kind].iter().map(|samples| rate(samples))).mean()
}

/// To something that stays.
fn is_write(request: &Request) -> bool {
    !request.is_read && !request.is_event
}

fn is_event(request: &Request) -> bool {
    !request.is_read && request.is_event
}

fn is_written(request: &Request) -> bool {
    request.user == "operator" && is_write(request)
}

fn is_told(request: &Request) -> bool {
    request.user == "operator" && is_event(request)
}

fn wanted(measured: &Measured) -> String {
    let mut text = "### Measured and wanted\n\n| | measured | wanted | |\n|---|---|---|---|\n".to_owned();
    let mut row = |what: &str, value: Option<f64>, wanted: &str, is_reached: fn(f64) -> bool| {
        let (value, verdict) = value.map_or(("not measured: no audit log".to_owned(), ""), |value| {
            (format!("{value:.2}"), if is_reached(value) { "reached" } else { "not reached" })
        });
        text.push_str(&format!("| {what} | {value} | {wanted} | {verdict} |\n"));
    };
    row(
        "an action's median time, of a bare pod's",
        Some(ratio_of_medians(measured, Kind::Action)),
        "at most 0.45",
        |ratio| ratio <= 0.45,
    );
    if let Some(first) = measured.at_once.first() {
        row(
            &format!("rate of {} actions at once, of bare pods' rate", first.count),
            Some(mean_rate(first, Kind::Action) / mean_rate(first, Kind::Pod)),
            "at least 0.95",
            |ratio| ratio >= 0.95,
        );
    }
    let requests = measured.in_turn.requests.as_ref();
    row(
        "writes of the operator for an action",
        requests.map(|of| of.each(Kind::Action, is_written)),
        "at most 5",
        |writes| writes <= 5.0,
    );
    row(
        "Events of the operator for an action",
        requests.map(|of| of.each(Kind::Action, is_told)),
        "at most 2",
        |events| events <= 2.0,
    );
    row(
        "operator, resident before, MB",
        Some(measured.operator.resident_before / 1e6),
        "at most 30 idle",
        |resident| resident <= 30.0,
    );
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let peak = measured.runner.echo.1 as f64 * 1024.0 / 1e6;
    row("runner, peak of an echo, MB", Some(peak), "at most 10", |peak| peak <= 10.0);
    text
}

fn in_turn(measured: &Measured) -> String {
    let mut text = format!(
        "### One at a time, in turn\n\nn = {} each, seconds from creation to the end that the watching client sees.\n\n\
         | | end | p50 | p90 | max | p50, of a bare pod's |\n|---|---|---|---|---|---|\n",
        measured.in_turn.turns
    );
    for kind in Kind::ALL {
        let samples = &measured.in_turn.samples[&kind];
        let row = |text: &mut String, end: &str, values: &Values, ratio: f64| {
            text.push_str(&format!(
                "| {} | {end} | {:.2} | {:.2} | {:.2} | {ratio:.2} |\n",
                kind.name(),
                values.median(),
                values.quantile(90),
                values.max(),
            ));
        };
        let took = Values::took(samples);
        if samples.iter().all(|sample| sample.before.is_some()) {
            let before = Values::new(samples.iter().filter_map(|sample| sample.before));
            let ratio = ratio_of_medians(measured, kind) * before.median() / took.median();
            row(&mut text, kind.before(), &before, ratio);
        }
        row(&mut text, kind.end(), &took, ratio_of_medians(measured, kind));
    }
    text
}

fn at_once(measured: &at_once::Measured) -> String {
    let mut text = format!(
        "### {} at once\n\nTwo rounds, the second in the other order. A rate is from the first creation to the last end. \
         Times are each object's own, from its creation, in seconds.\n\n\
         | | rate, 1/s | in the rounds | p50 | max | rate, of bare pods' |\n|---|---|---|---|---|---|\n",
        measured.count
    );
    for kind in Kind::ALL {
        let rounds = &measured.rounds[&kind];
        let rates: Vec<String> = rounds.iter().map(|samples| format!("{:.2}", rate(samples))).collect();
        let took = Values::new(rounds.iter().flatten().map(|sample| sample.took));
        text.push_str(&format!(
            "| {} | {:.2} | {} | {:.2} | {:.2} | {:.2} |\n",
            kind.name(),
            mean_rate(measured, kind),
            rates.join(", "),
            took.median(),
            took.max(),
            mean_rate(measured, kind) / mean_rate(measured, Kind::Pod),
        ));
    }
    text
}

fn requests(measured: &Measured) -> String {
    let mut text = "### Requests to the API server\n".to_owned();
    let last = measured.at_once.last();
    let (Some(in_turn), Some(Some(many))) =
        (&measured.in_turn.requests, last.map(|last| last.requests.as_ref()))
    else {
        text.push_str("\nNot measured: this cluster's audit log cannot be read from here.\n");
        return text;
    };
    let turns = measured.in_turn.turns;
    text.push_str(&format!("\nFor one object, by the audit log, one at a time (n = {turns}).\n\n"));
    text.push_str(&of_users(in_turn));
    let count = last.map(|last| last.count).unwrap_or_default();
    text.push_str(&format!("\nThe sums, with {count} at once:\n\n"));
    text.push_str(&head());
    text.push_str(&sums(many));
    text
}

fn head() -> String {
    let kinds: String = Kind::ALL.map(|kind| format!(" {} |", kind.name())).concat();
    format!("| who | what |{kinds}\n|---|---|---|---|---|\n")
}

fn row(requests: &Requests, who: &str, what: &str, is_meant: impl Fn(&Request) -> bool) -> String {
    let figures: String = Kind::ALL
        .map(|kind| {
            let each = requests.each(kind, &is_meant);
            // A request of one run in a hundred is shown as well.
            if each == 0.0 { " |".to_owned() } else { format!(" {each:.2} |") }
        })
        .concat();
    format!("| {who} | {what} |{figures}\n")
}

fn of_users(requests: &Requests) -> String {
    let mut text = head();
    for request in requests.counts.keys().filter(|request| request.user != CLIENT) {
        let what = if request.is_read { format!("{} (read)", request.what) } else { request.what.clone() };
        text.push_str(&row(requests, &request.user, &what, |other| other == request));
    }
    text + &sums(requests)
}

fn sums(requests: &Requests) -> String {
    [
        row(requests, "**all**", "writes to objects", |of| of.user != CLIENT && is_write(of)),
        row(requests, "**all**", "Events", |of| of.user != CLIENT && is_event(of)),
        row(requests, "**all**", "reads", |of| of.user != CLIENT && of.is_read),
        row(requests, "operator", "writes to objects", is_written),
        row(requests, "operator", "Events", is_told),
        row(requests, "operator", "reads", |of| of.user == "operator" && of.is_read),
    ]
    .concat()
}

fn steps(measured: &Measured) -> String {
    let names: String = STEPS.map(|step| format!(" {step} |")).concat();
    let mut text = format!(
        "### Time inside each step\n\nMeans in milliseconds, by the operator's own metrics. The time outside the steps passes \
         before the operator takes the run up, and while the verdict reaches the client.\n\n\
         | |{names} not in a step | seen by the client | the script itself | CPU of the operator |\n|---|{}---|---|---|---|\n",
        "---|".repeat(STEPS.len())
    );
    for part in &measured.operator.parts {
        let figures: String = part.steps.map(|seconds| format!(" {:.0} |", seconds * 1e3)).concat();
        let rest = part.mean - part.steps.iter().sum::<f64>();
        text.push_str(&format!(
            "| {} |{figures} {:.0} | {:.0} | {:.1} | {:.1} |\n",
            part.what,
            rest * 1e3,
            part.mean * 1e3,
            part.script * 1e3,
            part.cpu / count(part.actions) * 1e3,
        ));
    }
    text
}

fn memory(measured: &Measured) -> String {
    let mut text = "### Memory of the operator\n\n| | resident, MiB |\n|---|---|\n".to_owned();
    let mut row = |what: &str, bytes: f64| text.push_str(&format!("| {what} | {:.1} |\n", bytes / MIB));
    row("before", measured.operator.resident_before);
    for part in &measured.operator.parts {
        row(&format!("after {}", part.what), part.resident);
    }
    row("after all were deleted", measured.operator.resident_after);
    text
}

fn runner(measured: &runner::Measured) -> String {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let mib = |kib: u64| kib as f64 / 1024.0;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let disk = measured.disk_bytes as f64 / 1e6;
    let mut text = format!(
        "### The runner alone\n\nWithout a cluster: a script that writes {} GB in lines of {} bytes, generator, runner and \
         reader on the same cores.\n\n| to be masked | MB/s | peak memory, MiB |\n|---|---|---|\n",
        runner::OUTPUT / 1_000_000_000,
        runner::LINE.len() + 1
    );
    for (what, rate, peak) in &measured.output {
        text.push_str(&format!("| {what} | {rate:.0} | {:.1} |\n", mib(*peak)));
    }
    text.push_str(&format!(
        "\nAn echo takes {:.1} ms (median of {}) and {:.1} MiB at its peak. On disk the runner has {disk:.2} MB.\n",
        measured.echo.0,
        runner::ECHOES,
        mib(measured.echo.1),
    ));
    text
}
