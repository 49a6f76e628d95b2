//! `kubectl longshore ui`: the page, as a browser asks for it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::program;
use crate::{
    access::person::{Person, SEEN},
    support::{
        action::Action,
        namespace::{Namespace, in_namespace, until, within},
    },
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program that serves the page, and a browser that was let in.
struct Page {
    program: Child,
    host: String,
    cookie: String,
}

impl Page {
    async fn open(namespace: &Namespace, words: &[&str]) -> Self {
        let mut command = program();
        command.args(["--namespace", &namespace.name, "ui", "--no-open"]).args(words);
        let mut program = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let (host, path) = address.trim().strip_prefix("http://").unwrap().split_once('/').unwrap();
        let mut page = Self { program, host: host.to_owned(), cookie: String::new() };
        let path = format!("/{path}");
        let entered = page.ask("GET", &path, &[], "").await;
        assert!(entered.starts_with("HTTP/1.1 303"), "{entered}");
        let cookie = entered.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        cookie.split(';').next().unwrap().clone_into(&mut page.cookie);
        let again = page.ask("GET", &path, &[("cookie", "")], "").await;
        assert!(again.starts_with("HTTP/1.1 401"), "the token worked twice: {again}");
        page
    }

    /// Sends a request. A header that is given takes the place of the browser's.
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.host).await.unwrap();
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        let length = body.len().to_string();
        let usual = [("host", self.host.as_str()), ("cookie", &self.cookie), ("content-length", &length)];
        let given = |name: &str| headers.iter().any(|(of, _)| *of == name);
        for (name, value) in usual.iter().filter(|(name, _)| !given(name)).chain(headers) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.unwrap();
        stream
    }

    /// The whole answer, as it came.
    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut stream = self.send(method, path, headers, body).await;
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer").unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn get(&self, path: &str) -> String {
        self.ask("GET", path, &[], "").await
    }

    /// What comes of an answer that goes on, until it has this text.
    async fn until(&self, stream: &mut TcpStream, text: &str) -> String {
        let mut answer = String::new();
        let mut part = vec![0; 64 * 1024];
        while !answer.contains(text) {
            let read = timeout(PATIENCE, stream.read(&mut part)).await;
            let read = read.unwrap_or_else(|_| panic!("{text:?} does not come: {answer}")).unwrap();
            assert!(read > 0, "{text:?} did not come: {answer}");
            answer.push_str(&String::from_utf8_lossy(&part[..read]));
        }
        answer
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

#[tokio::test]
async fn the_page_shows_an_action_and_its_log_while_it_runs_and_asks_for_another_run() {
    in_namespace(async |namespace: &Namespace| {
        let mut page = Page::open(namespace, &["--write"]).await;
        let list = format!("/?namespace={}", namespace.name);
        let empty = page.get(&list).await;
        assert!(empty.contains("<span id=\"count\">0</span> actions fit"), "{empty}");
        let live =
            empty.split("data-live=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
        let mut events = page.send("GET", &live, &[], "").await;
        let script = "echo '<b>first</b>'; sleep 8; echo second >&2; echo url=x >> \"$LONGSHORE_OUTPUT\"";
        let log = json!({"streams": "Separate"});
        let action = Action::script(script).outputs(&["url"]).with("log", log);
        let action = namespace.apply("deploy", action).await;
        // The open list is told, without being asked.
        page.until(&mut events, &format!("{}/deploy", namespace.name)).await;
        let path = format!("/actions/{}/deploy", namespace.name);
        action
            .until("the script runs", |done| {
                done.status().run.as_ref().is_some_and(|run| run.started_at.is_some())
            })
            .await;
        let mut lines = until("the log has a pod", async || {
            let mut lines = page.send("GET", &format!("{path}/log"), &[], "").await;
            let begin = page.until(&mut lines, "event: ").await;
            (!begin.contains("event: end") && !begin.contains("waiting for")).then_some(lines)
        })
        .await;
        // The second line comes to a log that is open, and so does the end.
        let rest = page.until(&mut lines, "event: end").await;
        assert!(rest.contains("\"stream\":\"stderr\",\"text\":\"second\""), "{rest}");
        action.finished().await.assert_succeeded();
        let shown = page.get(&path).await;
        for words in ["Succeeded", "Time line of run 1", "Rerun", "Events", "Conditions", "url"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        let whole = page.get(&format!("{path}/log.txt?run=1")).await;
        assert!(whole.contains("attachment") && whole.contains("<b>first</b>\n"), "{whole}");
        let form = page.get(&format!("{path}/rerun")).await;
        let csrf = form.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let body = format!("csrf={csrf}&token=again");
        let refused =
            page.ask("POST", &format!("{path}/rerun"), &[("origin", "http://evil.example")], &body).await;
        assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
        let origin = format!("http://{}", page.host);
        let asked = page.ask("POST", &format!("{path}/rerun"), &[("origin", &origin)], &body).await;
        assert!(asked.starts_with("HTTP/1.1 303"), "{asked}");
        action.until("the second run has ended", |done| done.is_over() && done.run().number == 2).await;
        let compared = page.get(&format!("{path}/compare?one=1&other=2")).await;
        assert!(compared.contains("a rerun was asked for"), "{compared}");
        let other = page.ask("GET", "/", &[("host", "evil.example")], "").await;
        assert!(other.starts_with("HTTP/1.1 421"), "{other}");
        // Ctrl-C ends it, also while pages are open.
        kill(Pid::from_raw(i32::try_from(page.program.id()).unwrap()), Signal::SIGINT).unwrap();
        let since = Instant::now();
        until("the program ends", async || page.program.try_wait().unwrap()).await;
        assert!(since.elapsed() < Duration::from_secs(5));
    })
    .await;
}

#[tokio::test]
async fn somebody_with_rights_in_one_namespace_sees_that_one_and_what_is_missing() {
    in_namespace(async |namespace: &Namespace| {
        namespace.apply("deploy", Action::script("true")).await.finished().await.assert_succeeded();
        let user = format!("viewer-{}", namespace.name);
        Person::called(&user).await.is(namespace, "view").await;
        let who = ["--as", user.as_str(), "--as-group", "system:authenticated"];
        within(SEEN, "the role is there", async || {
            let mut list = program();
            list.args(["--namespace", &namespace.name, "list"]).args(who);
            list.output().unwrap().status.success().then_some(())
        })
        .await;
        let page = Page::open(namespace, &who).await;
        let list = page.get("/").await;
        assert!(list.contains("deploy") && list.contains("<span id=\"count\">1</span> action"), "{list}");
        let missing = format!("{user} may not list deploymentactions.longshore.dev");
        assert!(list.contains(&missing), "{list}");
        let shown = page.get(&format!("/actions/{}/deploy", namespace.name)).await;
        assert!(shown.contains("Succeeded") && !shown.contains("/rerun"), "{shown}");
        let near = page.get(&format!("/actions/{}/deplyo", namespace.name)).await;
        assert!(near.starts_with("HTTP/1.1 404") && near.contains("names like it: deploy"), "{near}");
    })
    .await;
}
