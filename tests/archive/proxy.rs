//! A proxy before the S3 server. It does not pass everything.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// A fault of a request that writes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// It is answered with this status and code of S3's, and goes nowhere.
    Status(u16, &'static str),
    /// The connection is reset in the middle of the upload.
    ResetInUpload,
    /// The server does it, and the connection is reset before its answer.
    LoseAnswer,
    /// It takes so long.
    Slow(Duration),
}

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    /// For all requests that write, once the others are used up.
    lasting: Arc<Mutex<Option<Fault>>>,
}

impl Proxy {
    pub(crate) fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self { address, faults: Arc::default(), lasting: Arc::default() };
        thread::spawn({
            let proxy = proxy.clone();
            move || {
                for client in listener.incoming().flatten() {
                    let proxy = proxy.clone();
                    // A client that goes away is no matter.
                    thread::spawn(move || proxy.serve(client, server).is_ok());
                }
            }
        });
        proxy
    }

    pub(crate) fn next(&self, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults);
    }

    pub(crate) fn always(&self, fault: Option<Fault>) {
        *self.lasting.lock().unwrap() = fault;
    }

    /// Whether all faults have happened.
    pub(crate) fn is_through(&self) -> bool {
        self.faults.lock().unwrap().is_empty()
    }

    /// One request a connection, so that nothing has to be told apart.
    fn serve(&self, mut client: TcpStream, server: SocketAddr) -> std::io::Result<()> {
        let (head, mut body, length) = head(&mut client)?;
        let writes = head.starts_with("PUT ");
        let fault = if writes {
            let next = self.faults.lock().unwrap().pop_front();
            next.or_else(|| *self.lasting.lock().unwrap())
        } else {
            None
        };
        match fault {
            // The kernel throws away the unread rest, and resets the connection.
            Some(Fault::ResetInUpload) => return Ok(()),
            Some(Fault::Slow(time)) => thread::sleep(time),
            _ => {}
        }
        let mut rest = vec![0; length - body.len()];
        client.read_exact(&mut rest)?;
        body.extend(rest);
        if let Some(Fault::Status(status, code)) = fault {
            let text = format!("<Error><Code>{code}</Code><Message>as told</Message></Error>");
            let answer = format!(
                "HTTP/1.1 {status} As Told\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
            return client.write_all(answer.as_bytes());
        }
        let mut upstream = TcpStream::connect(server)?;
        upstream.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
        upstream.write_all(&body)?;
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer)?;
        if !matches!(fault, Some(Fault::LoseAnswer)) {
            client.write_all(&answer)?;
        }
        client.shutdown(Shutdown::Both)
    }
}

/// A request's head, what of its body came with it, and how long the body is.
fn head(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>, usize)> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        read.extend_from_slice(&buffer[..count]);
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let body = read.split_off(end + 4);
            let head = String::from_utf8_lossy(&read).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            return Ok((head, body, length.unwrap_or_default()));
        }
    }
}
