//! `kubectl longshore logs`: the log as the script wrote it, without the runner's frames.

use std::io::Write;

use clap::Args;
use futures::{AsyncBufReadExt, StreamExt, io::Lines};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::LogParams};

use super::{connect::Session, error::CliError};
use crate::{
    api::{CONTAINER, DeploymentAction},
    record::{
        frame::{Ending, Frame},
        packed::unpack,
    },
};

/// Prints the log of an action's latest run.
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// The action's name.
    name: String,
    /// Follow the log until the script has ended.
    #[arg(short, long)]
    follow: bool,
    /// Begin each line with the seconds since the script's start and its stream: o for standard output, e for
    /// standard error, b for both (the default of spec.log.streams).
    #[arg(short, long)]
    timestamps: bool,
}

impl Logs {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let action = session.action(&self.name).await?;
        let run = action.status.as_ref().and_then(|status| status.run.as_ref());
        let Some(pod) = run.and_then(|run| run.pod_name.clone()) else {
            return Err(CliError::Failed(format!(
                "{} has no pod: kubectl describe da {} says why",
                self.name, self.name
            )));
        };
        let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.namespace);
        let parameters =
            LogParams { container: Some(CONTAINER.to_owned()), follow: self.follow, ..LogParams::default() };
        match pods.log_stream(&pod, &parameters).await {
            Ok(stream) => self.print(stream.lines()).await,
            Err(kube::Error::Api(status)) if status.code == 404 => self.tail(&action),
            Err(error) => Err(error.into()),
        }
    }

    async fn print<R>(&self, mut lines: Lines<R>) -> Result<(), CliError>
    where
        R: futures::AsyncBufRead + Unpin,
    {
        let mut out = std::io::stdout().lock();
        let mut printer = Printer::new(self.timestamps);
        while let Some(line) = lines.next().await.transpose()? {
            printer.line(line.as_bytes(), &mut out)?;
            out.flush()?;
        }
        Ok(())
    }

    /// Prints the last lines from the status, since the pod is gone.
    fn tail(&self, action: &DeploymentAction) -> Result<(), CliError> {
        let log = action.status.as_ref().and_then(|status| status.log.as_ref());
        let Some(log) = log else {
            return Err(CliError::Failed(format!("the pod of {} is gone, and its log with it", self.name)));
        };
        eprintln!("the pod is gone; the last lines are those that the status keeps");
        print!("{}", log.tail);
        Ok(())
    }
}

/// Turns frames into the lines that the script wrote.
struct Printer {
    timestamps: bool,
    /// The next frame.
    next: u64,
    /// Whether the next text begins a line.
    fresh: bool,
}

impl Printer {
    const fn new(timestamps: bool) -> Self {
        Self { timestamps, next: 1, fresh: true }
    }

    fn line(&mut self, line: &[u8], out: &mut impl Write) -> std::io::Result<()> {
        if let Some(frame) = Frame::decode(line) {
            return self.frame(&frame, out);
        }
        for line in unpack(line).into_iter().flatten() {
            if let Some(frame) = Frame::decode(line) {
                self.frame(&frame, out)?;
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: &Frame<'_>, out: &mut impl Write) -> std::io::Result<()> {
        // The runner writes some frames again after a part of the log was lost.
        if !frame.kind.is_log() || frame.sequence < self.next {
            return Ok(());
        }
        self.next = frame.sequence.saturating_add(1);
        if self.timestamps && self.fresh {
            let stream = char::from(frame.kind.letter());
            write!(out, "{:>4}.{:03} {stream} ", frame.millis / 1000, frame.millis % 1000)?;
        }
        out.write_all(&frame.text)?;
        self.fresh = frame.ending == Ending::Line;
        if self.fresh {
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(timestamps: bool, lines: &[&str]) -> String {
        let mut printer = Printer::new(timestamps);
        let mut out = Vec::new();
        for line in lines {
            printer.line(line.as_bytes(), &mut out).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_log_is_printed_as_the_script_wrote_it() {
        let lines = [
            "1 s 0 {}",
            "2 o 1 one",
            "3 o+ 2 two ",
            "4 o 2 parts",
            "no frame",
            "5 b 7 both",
            "6 e- 1234 end",
            "7 z 9 {}",
        ];
        assert_eq!(printed(false, &lines), "one\ntwo parts\nboth\nend");
        assert_eq!(
            printed(true, &lines),
            "   0.001 o one\n   0.002 o two parts\n   0.007 b both\n   1.234 e end"
        );
    }

    #[test]
    fn frames_in_one_line_and_frames_that_come_again_are_printed_once() {
        let lines = ["1 o 0 a", "2 p 0 7 2 o 1 b7 3 o 1 c", "2 o 1 b", "4 o 2 d"];
        assert_eq!(printed(false, &lines), "a\nb\nc\nd\n");
    }
}
