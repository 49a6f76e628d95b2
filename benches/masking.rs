//! `make bench-masking`: how fast the runner masks a log, on one core and without anything else that a run
//! does. Lines of 100 bytes, read in pieces as from a pipe.
//!
//! The log is that of a deployment. Its words and numbers differ from line to line, and one line in a hundred
//! shows a secret.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "there is nobody to hand an error to")]

use std::{hint::black_box, time::Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use longshore::{record::sha256_hex, runner::Masking};

const LINE: usize = 100;
/// As much as the runner reads at once.
const PIECE: usize = 64 * 1024;
const LOG: usize = 64 * 1024 * 1024;
/// The best of several: another program may have the core for a while.
const ROUNDS: usize = 5;

fn main() {
    println!("| to be masked | MB/s on one core | without a secret in the log, MB/s |");
    println!("|---|---|---|");
    for (what, secrets) in [
        ("1 secret", secrets(1)),
        ("50 secrets", secrets(50)),
        ("500 secrets", secrets(500)),
        ("a PEM file of 1 MiB", vec![pem(1024 * 1024)]),
    ] {
        let shown = speed(&secrets, &log(&secrets));
        let hidden = speed(&secrets, &log(&[]));
        println!("| {what} | {shown:.0} | {hidden:.0} |");
    }
}

/// Passwords, tokens, keys and addresses.
fn secrets(count: usize) -> Vec<String> {
    let secret = |number: usize| {
        let random = sha256_hex(format!("secret {number}").as_bytes());
        match number % 5 {
            0 => random[..40].to_owned(),
            1 => format!("Pa$$-{}-'w0rd'!", &random[..8]),
            2 => format!("postgres://orders:{}@db.example.com/orders", &random[..20]),
            3 => format!(
                "eyJhbGciOiJSUzI1NiJ9.{}.{}",
                STANDARD.encode(&random),
                STANDARD.encode(&random[..32])
            ),
            _ => pem(1700 + number),
        }
    };
    (0..count).map(secret).collect()
}

fn pem(bytes: usize) -> String {
    let mut text = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for number in 0.. {
        if text.len() >= bytes {
            break;
        }
        text += &STANDARD.encode(sha256_hex(format!("{bytes} {number}").as_bytes()))[..64];
        text.push('\n');
    }
    text + "-----END PRIVATE KEY-----\n"
}

/// Lines as deployment tools write them.
fn log(secrets: &[String]) -> Vec<u8> {
    const LINES: [&str; 8] = [
        "deployment.apps/orders-{} configured, generation {}, image registry.example.com/orders@sha256:{}",
        "INFO  [liquibase.changelog] ChangeSet db/changes/{}.sql::{}::orders ran successfully in {}ms",
        "+ kubectl --namespace orders-{} rollout status deployment/orders --timeout=300s --watch={} {}",
        "Waiting for deployment \"orders-{}\" rollout to finish: {} of 12 updated replicas are available {}",
        "{\"level\":\"info\",\"ts\":\"2026-11-23T12:00:{}Z\",\"msg\":\"applied\",\"rows\":{},\"id\":\"{}\"}",
        "Get:{} http://deb.debian.org/debian trixie/main amd64 libssl3t64 amd64 3.5.{} [2439 kB] {}",
        "   \u{2714} Container orders-{}  Healthy after {} checks, layer {}",
        "helm.go:{}: [debug] checking {} resources for changes, release {}",
    ];
    let mut log = Vec::with_capacity(LOG + LINE);
    for number in 0.. {
        if log.len() >= LOG {
            break;
        }
        let random = sha256_hex(format!("line {number}").as_bytes());
        let mut line = LINES[number % LINES.len()].to_owned();
        for part in [&random[..4], &number.to_string(), &random[4..44]] {
            line = line.replacen("{}", part, 1);
        }
        let secret = (number % 100 == 0).then(|| secrets.get(number / 100 % secrets.len().max(1))).flatten();
        if let Some(secret) = secret {
            line = format!("connecting with {}", secret.lines().nth(1).unwrap_or(secret));
        }
        let mut end = line.len().min(LINE - 1);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        log.extend_from_slice(line.as_bytes());
        log.resize(log.len() + LINE - 1 - end, b'.');
        log.push(b'\n');
    }
    log
}

/// In megabytes a second.
fn speed(secrets: &[String], log: &[u8]) -> f64 {
    let mut masking = Masking::of(secrets.iter().map(String::as_bytes));
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for piece in log.chunks(PIECE) {
            black_box(masking.push(black_box(piece)));
        }
        black_box(masking.finish());
        best = best.min(begun.elapsed().as_secs_f64());
    }
    log.len() as f64 / best / 1e6
}
