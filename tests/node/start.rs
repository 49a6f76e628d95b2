//! A fake node (see `tests/node/mod.rs`) in the cluster of `make cluster-up`, until it is stopped:
//!
//! ```text
//! cargo run --example fake-node -- NAME [RUNNER]
//! ```

#[allow(dead_code, reason = "the tests use all of it")]
#[path = "mod.rs"]
mod node;

use node::{FakeNode, Options};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), runner) = (arguments.next(), arguments.next()) else {
        return Err(std::io::Error::other("usage: fake-node NAME [RUNNER]"));
    };
    // Beside the folder of examples, where cargo puts it.
    let beside = std::env::current_exe()?.with_file_name("../longshore-runner");
    let runner = runner.map_or(beside, Into::into).canonicalize()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let node = FakeNode::start(Options::new(&name, runner)).await;
        println!("node {} is there; Ctrl-C or SIGTERM ends it", node.name());
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => {}
            end = tokio::signal::ctrl_c() => end?,
        }
        Ok(())
    })
}
