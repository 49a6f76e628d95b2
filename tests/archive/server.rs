//! A real S3 server: moto's, from its Python package.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use longshore::archive::{Archive, Settings};

pub(crate) const BUCKET: &str = "longshore-logs";

/// It ends when its standard input does, so also when the tests are killed.
const START: &str = "
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.server import main
main(['-H', '127.0.0.1', '-p', sys.argv[1]])
";

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it, with one empty bucket. Its package is fetched the first time.
    pub(crate) fn start() -> Self {
        let package = package();
        // The port is free, and stays so for the moment until the server takes it.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("python3")
            .args(["-c", START, &address.port().to_string()])
            .env("PYTHONPATH", package)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { address, child };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < Duration::from_mins(1), "the S3 server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        server.request("PUT");
        server
    }

    /// Creates or deletes the bucket.
    pub(crate) fn request(&self, method: &str) {
        let answer = crate::archive::block_on(async {
            let method = method.parse().unwrap();
            let url = format!("http://{}/{BUCKET}", self.address);
            reqwest::Client::new().request(method, url).send().await.unwrap()
        });
        assert!(answer.status().is_success(), "{answer:?}");
    }

    pub(crate) fn archive(&self) -> Archive {
        archive_at(self.address)
    }
}

/// The archive in the bucket of the server at this address.
pub(crate) fn archive_at(address: SocketAddr) -> Archive {
    let environment = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", &format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    let environment: HashMap<String, String> =
        environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let url = format!("s3://{BUCKET}/of/a/cluster");
    Archive::connect(&Settings { url, ca_bundle_pem: None, environment }).unwrap()
}

fn package() -> String {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/build/build.sh");
    let run = |arguments: &[&str]| {
        let output = Command::new(&build).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    run(&["s3"]);
    run(&["--path", "s3"])
}
