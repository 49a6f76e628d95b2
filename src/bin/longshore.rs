//! The operator, and what is generated from its types.

use std::{os::unix::process::CommandExt, process::ExitCode};

use clap::{Parser, Subcommand};
use longshore::{
    api,
    operator::{
        commands::{
            await_end::{AwaitOptions, await_end},
            uninstall::{UninstallOptions, uninstall},
        },
        log_api::serve::{ServeLogsOptions, serve_logs},
        options::{LogFormat, Options},
        process::run::{self, RunError},
    },
};
use tracing::warn;
use tracing_subscriber::EnvFilter;

/// glibc's allocator kept most of the memory that many simultaneous actions had used (docs/understand/performance.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs deployment actions as pods on Kubernetes.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator.
    Run(Box<Options>),
    /// Serve the logs of actions to people who have a right on the action, behind the API server.
    ServeLogs(ServeLogsOptions),
    /// Stop the operator and release the pods of all actions. Run it before the operator is removed for good.
    Uninstall(UninstallOptions),
    /// Wait for an action's end, and fail if it did not succeed.
    Verify(AwaitOptions),
    /// Print the definition of a kind, as YAML.
    Crd {
        /// The kind.
        #[arg(value_enum, default_value = "deployment-action")]
        kind: Kind,
    },
    /// Print the admission policies and their bindings, as YAML.
    Policies,
    /// Print the reference of all fields, as Markdown.
    Reference,
    /// Print the list of all reasons, as Markdown.
    Reasons,
}

/// A kind that the operator defines.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    DeploymentAction,
    ActionPolicy,
    DeploymentActionTemplate,
    ClusterDeploymentActionTemplate,
}

fn main() -> ExitCode {
    match start(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("longshore: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Crd { kind } => {
            let definition = match kind {
                Kind::DeploymentAction => api::crd::deployment_action()?,
                Kind::ActionPolicy => api::crd::action_policy()?,
                Kind::DeploymentActionTemplate => api::crd::deployment_action_template()?,
                Kind::ClusterDeploymentActionTemplate => api::crd::cluster_deployment_action_template()?,
            };
            print!("{}", serde_saphyr::to_string(&api::crd::document(&definition)?)?);
        }
        Command::Policies => {
            let documents = api::policy::documents(api::policy::OPERATOR_USER);
            let texts: Result<Vec<_>, _> = documents.iter().map(serde_saphyr::to_string).collect();
            print!("{}", texts?.join("---\n"));
        }
        Command::Reference => print!("{}", api::reference::markdown()?),
        Command::Reasons => print!("{}", api::reasons::markdown()),
        Command::ServeLogs(options) => {
            let runtime = service(&options.log, options.log_format)?;
            let ended = runtime.block_on(async { serve_logs(options, run::stopped()).await });
            runtime.shutdown_background();
            ended?;
        }
        Command::Uninstall(options) => {
            with_client(async |client| Ok(uninstall(&client, &options, tell).await?))?;
        }
        Command::Verify(options) => {
            with_client(async |client| Ok(await_end(&client, &options, tell).await?))?;
        }
        Command::Run(options) => {
            let runtime = service(&options.log, options.log_format)?;
            let ended = runtime.block_on(async { run::run(*options, run::stopped()).await });
            runtime.shutdown_background();
            if matches!(ended, Err(RunError::NotLeading)) {
                return Err(anew().into());
            }
            ended?;
        }
    }
    Ok(())
}

/// For commands that run until they are stopped: their own log, and two threads.
fn service(filter: &str, format: LogFormat) -> Result<tokio::runtime::Runtime, Box<dyn std::error::Error>> {
    // At WARN, kube's client logs everything that it cannot read, such as an action with its values. Our own
    // lines report the same error.
    let filter = EnvFilter::try_new(filter)?.add_directive("kube_client::client=error".parse()?);
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    match format {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "a TLS provider was installed before ours")?;
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Starts this program again in the same process, without its old state. If the container ended instead, the
/// kubelet would start it again after a back-off of up to five minutes. Returns only on an error.
fn anew() -> std::io::Error {
    warn!("{}: it starts anew", RunError::NotLeading);
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    std::process::Command::new(program).args(std::env::args_os().skip(1)).exec()
}

fn tell(line: &str) {
    println!("{line}");
}

/// For commands that end: one thread is enough.
fn with_client(
    work: impl AsyncFnOnce(kube::Client) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<(), Box<dyn std::error::Error>> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "a TLS provider was installed before ours")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async { work(kube::Client::try_default().await?).await })
}
