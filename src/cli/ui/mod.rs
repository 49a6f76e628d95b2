//! `kubectl longshore ui`: a page on the person's own machine, with the person's own rights.
//!
//! | file | what is in it |
//! |---|---|
//! | [`guard`] | who may use the page |
//! | [`server`], [`state`] | the routes, and what they share |
//! | [`request`] | what a request brings |
//! | [`watched`] | the actions, kept by one watch |
//! | [`filter`], [`row`] | which actions a list shows, and how each looks |
//! | [`reads`], [`writes`] | the pages that read, and those that write |
//! | [`live`], [`log`] | what comes to an open page by itself |
//! | [`pages`] | the markup; pure |
//! | [`ask`], [`given`], [`names`] | what a person asks for, fills in, and names |
//! | [`assets`] | styles and scripts |
//! | [`browser`] | opens the page |

mod ask;
mod assets;
mod browser;
mod filter;
mod given;
mod guard;
mod live;
mod log;
mod names;
mod pages;
mod reads;
mod request;
mod row;
mod server;
mod state;
mod watched;
mod writes;

use std::{net::Ipv4Addr, sync::Arc};

use clap::Args;
use tokio::net::TcpListener;

use self::{guard::Guard, state::App, watched::Watched};
use super::{
    connect::Session,
    error::CliError,
    terminal::{print, tell},
};

/// Serves a page on this machine. It shows what you may see, and is read-only unless --write is given.
#[derive(Debug, Args)]
pub(super) struct Ui {
    /// The port on 127.0.0.1. Default: a free one.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Let the page rerun, cancel, suspend, resume and apply.
    #[arg(long)]
    write: bool,
    /// Print the address, and open no browser.
    #[arg(long)]
    no_open: bool,
}

impl Ui {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let watched = Watched::start(session).await?;
        let listener = self.listen().await?;
        let guard = Guard::new(listener.local_addr()?.port())?;
        let address = guard.address();
        let app = App { session: session.clone(), watched, guard, write: self.write };
        print(&format!("{address}\n"))?;
        let may = if self.write { "may write with your rights" } else { "is read-only" };
        tell(&format!("the address lets one browser in, once; the page {may}; Ctrl-C ends it"));
        if !self.no_open {
            browser::open(&address);
        }
        let served = axum::serve(listener, server::router(Arc::new(app)));
        tokio::select! {
            served = served.into_future() => Ok(served?),
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        }
    }

    async fn listen(&self) -> Result<TcpListener, CliError> {
        let port = self.port.unwrap_or(0);
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
            CliError::Usage(format!(
                "--port {port}: {error}\nname another port, or leave --port out for a free one"
            ))
        })
    }
}

#[cfg(test)]
mod tests;
