//! The report of a running search, live on localhost: the page that its folder has as `report.html`, with a
//! script that fetches it again and again.
//!
//! The server is std's listener and some forty lines: GET of a handful of files for the one who sits at this
//! machine. It listens on 127.0.0.1 and answers to that name alone, so that no page of another site can read
//! it under a name of its own.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cellc::error::Error;

/// The longest that a request may take to arrive, and its most bytes.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_REQUEST: usize = 8 << 10;

/// How long a page that is open may take to fetch the last report: it asks every second.
const FAREWELL: Duration = Duration::from_secs(3);

/// Fetches the page again and shows what is new, at the same place and with the same texts open.
const LIVE: &str = "<script>
const show = async () => {
  let page;
  try {
    page = await (await fetch('/')).text();
  } catch {
    document.title = 'Ended. ' + document.title.replace('Ended. ', '');
    return;
  }
  if (page !== show.last) {
    const open = new Set([...document.querySelectorAll('details')].flatMap((d, i) => d.open ? [i] : []));
    document.body = new DOMParser().parseFromString(page, 'text/html').body;
    document.querySelectorAll('details').forEach((d, i) => { d.open = open.has(i); });
  }
  show.last = page;
  setTimeout(show, 1000);
};
setTimeout(show, 1000);
</script>
";

/// A server of one run's folder; it ends with the process.
pub struct Server {
    address: SocketAddr,
    /// How often the page was asked for.
    shown: Arc<AtomicUsize>,
}

impl Server {
    /// Serves `folder`, which need not be there yet, at a port of 127.0.0.1; at any free one if it is 0.
    ///
    /// # Errors
    /// [`Error::Listen`] if the port is taken; [`Error::Threads`].
    pub fn start(folder: PathBuf, port: u16) -> Result<Server, Error> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listen = |source| Error::Listen { address: wanted.to_string(), source };
        let listener = TcpListener::bind(wanted).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let shown = Arc::new(AtomicUsize::new(0));
        let (folder, count) = (Arc::new(folder), shown.clone());
        let serve = move || {
            for stream in listener.incoming().flatten() {
                let (folder, count) = (folder.clone(), count.clone());
                // A browser opens connections in advance; none of them may hold up another. One that breaks
                // is the browser's to open again.
                let answer = move || answer(stream, &folder, &count, address.port());
                let _ = thread::Builder::new().name("page".into()).spawn(answer);
            }
        };
        thread::Builder::new()
            .name("pages".into())
            .spawn(serve)
            .map_err(|source| Error::Threads { threads: 1, source })?;
        Ok(Server { address, shown })
    }

    /// Where the page is.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits a moment for a page that is open to fetch the report once more.
    pub fn finish(self) {
        let before = self.shown.load(Ordering::Relaxed);
        let start = Instant::now();
        while before > 0
            && self.shown.load(Ordering::Relaxed) == before
            && start.elapsed() < FAREWELL
        {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn answer(mut stream: TcpStream, folder: &Path, shown: &AtomicUsize, port: u16) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = request(&mut stream)?;
    let (status, kind, body) = match file_of(&request, port) {
        Err(status) => (status, "text/plain", status.as_bytes().to_vec()),
        Ok("report.html") => ("200 OK", "text/html", page(folder)),
        Ok(name) => match fs::read(folder.join(name)) {
            Ok(bytes) => ("200 OK", "text/plain", bytes),
            Err(_) => ("404 Not Found", "text/plain", b"404 Not Found".to_vec()),
        },
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)?;
    stream.flush()?;
    if kind == "text/html" {
        shown.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// The request's lines, up to the empty one.
fn request(stream: &mut TcpStream) -> io::Result<String> {
    let (mut bytes, mut part) = (Vec::new(), [0; 1 << 10]);
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") && bytes.len() < MAX_REQUEST {
        match stream.read(&mut part)? {
            0 => break,
            count => bytes.extend_from_slice(&part[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The file of the folder that a request is for, or the status that refuses it.
fn file_of(request: &str, port: u16) -> Result<&str, &'static str> {
    let mut lines = request.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    let host = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    let own = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{port}"));
    if !host.is_some_and(|host| own.iter().any(|own| own == host)) {
        return Err("403 Forbidden");
    }
    if method != Some("GET") {
        return Err("405 Method Not Allowed");
    }
    let is_name = |name: &str| {
        !name.starts_with('.')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
    };
    match path.strip_prefix('/').unwrap_or_default() {
        "" | "report.html" => Ok("report.html"),
        name @ ("best.cell" | "ledger.jsonl" | "config.toml") => Ok(name),
        cell => match cell.split_once('/') {
            Some(("cells" | "front", name)) if is_name(name) => Ok(cell),
            Some(_) | None => Err("404 Not Found"),
        },
    }
}

/// The report with the script, or a page that waits for one.
fn page(folder: &Path) -> Vec<u8> {
    const WAITING: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
                           <title>Search</title>\n</head>\n<body>\n<p>No trial yet.</p>\n</body>\n</html>\n";
    let report = fs::read_to_string(folder.join("report.html"));
    let page = report.unwrap_or_else(|_| WAITING.into());
    page.replacen("</head>", &format!("{LIVE}</head>"), 1).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:80\r\nAccept: */*\r\n\r\n")
    }

    #[test]
    fn only_files_of_the_run_are_served() {
        for (path, file) in [
            ("/", "report.html"),
            ("/best.cell", "best.cell"),
            ("/cells/0001-5f3a9c00.cell", "cells/0001-5f3a9c00.cell"),
        ] {
            assert_eq!(file_of(&get(path), 80), Ok(file));
        }
        for path in [
            "/other.html",
            "/cells/../../secret",
            "/cells/..",
            "/cells/%2e%2e/secret",
            "/../secret",
            "//etc/passwd",
            "/cells//etc/passwd",
        ] {
            assert_eq!(file_of(&get(path), 80), Err("404 Not Found"), "{path}");
        }
    }

    #[test]
    fn other_names_and_methods_are_refused() {
        let page = get("/");
        assert_eq!(file_of(&page.replace("GET", "POST"), 80), Err("405 Method Not Allowed"));
        assert_eq!(file_of(&page, 81), Err("403 Forbidden"));
        assert_eq!(file_of(&page.replace("127.0.0.1", "example.com"), 80), Err("403 Forbidden"));
        assert_eq!(file_of("GET / HTTP/1.1\r\n\r\n", 80), Err("403 Forbidden"));
        assert!(file_of(&page.replace("127.0.0.1", "localhost"), 80).is_ok());
    }
}
