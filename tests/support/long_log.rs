//! Scripts whose logs are longer than a node keeps, and what must be read of them.

use longshore::record::sha256_hex;

use super::action::{Action, Done};

/// A script that writes lines of 100 bytes, so many a second for so many seconds.
pub(crate) fn writer(a_second: u32, seconds: u32) -> Action {
    Action::script(&format!(
        "#!/usr/bin/env bash\n\
         for i in $(seq 0 {}); do printf '%099d\\n' $(seq $((i * {a_second} + 1)) $((i * {a_second} + {a_second}))); sleep 1; done\n",
        seconds - 1
    ))
}

/// Every line was read, in order and once.
pub(crate) fn assert_whole(done: &Done, lines: u32) {
    done.assert_log_complete();
    let truth = (1..=lines).fold(String::new(), |text, line| text + &format!("{line:099}\n"));
    let log = done.log();
    assert_eq!((log.lines, log.bytes), (u64::from(lines), truth.len() as u64));
    assert_eq!(log.sha256.as_deref(), Some(sha256_hex(truth.as_bytes()).as_str()));
    assert!(truth.ends_with(done.tail()), "{}", done.tail());
}
