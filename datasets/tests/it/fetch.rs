//! Fetching from a small server on the loopback interface.

use crate::support::Files;
use evenkeel_datasets::Format;
use evenkeel_datasets::catalogue::{Entry, FetchError, fetch};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

/// What the server does with one connection.
#[derive(Clone, Copy)]
enum Reply {
    /// Sends the file, or the part asked for.
    Whole,
    /// Announces as much, but sends only this many bytes.
    Broken(usize),
    /// Sends all of the file whatever was asked for.
    NoRange,
    /// Sends the file under another tag.
    Changed,
    Status(&'static str),
}

struct Server {
    url: String,
    /// Returns the `Range` of every request.
    thread: JoinHandle<Vec<Option<String>>>,
}

fn content() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// SHA-256 of [`content`].
const SHA256: &str = "20ff50e632cc575386b15d7fcd9c3842ef435388ed29ae8c30617158ee907dc5";

/// Answers one connection for each reply, then stops.
fn serve(replies: &'static [Reply]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/data/file.csv", listener.local_addr().unwrap());
    let thread =
        std::thread::spawn(move || replies.iter().map(|reply| answer(listener.accept().unwrap().0, *reply)).collect());
    Server { url, thread }
}

fn answer(mut stream: TcpStream, reply: Reply) -> Option<String> {
    let mut range = None;
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("range: ") {
            range = Some(value.to_owned());
        }
    }
    let all = content();
    let begin = range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let begin: usize = if matches!(reply, Reply::NoRange) { 0 } else { begin.unwrap_or(0) };
    let body = &all[begin..];
    let (status, tag) = match reply {
        Reply::Status(status) => (status, "\"a\""),
        Reply::Changed => ("206 Partial Content", "\"b\""),
        _ if begin > 0 => ("206 Partial Content", "\"a\""),
        _ => ("200 OK", "\"a\""),
    };
    let last = all.len() - 1;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {begin}-{last}/{}\r\nETag: {tag}\r\n\
         Connection: close\r\n\r\n",
        body.len(),
        all.len(),
    );
    let sent = if let Reply::Broken(bytes) = reply { bytes.min(body.len()) } else { body.len() };
    // The client may have had enough: what it makes of that is tested on its side.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..sent]));
    range
}

fn entry(url: &str, sha256: Option<&'static str>) -> Entry {
    Entry {
        name: "test",
        what: "numbers",
        url: url.to_owned().leak(),
        sha256,
        bytes: None,
        licence: "MIT",
        attribution: "nobody",
        format: Format::Csv,
    }
}

#[test]
fn a_broken_download_is_resumed() {
    let server = serve(&[Reply::Broken(150_000), Reply::Broken(150_000), Reply::Whole]);
    let files = Files::new();
    let mut seen = Vec::new();
    let entry = entry(&server.url, Some(SHA256));
    let fetched = fetch(&entry, &files.path("new"), &mut |bytes, total| seen.push((bytes, total))).unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), content());
    assert_eq!((fetched.bytes, fetched.resumed_bytes, fetched.is_verified), (400_000, 300_000, true));
    assert_eq!(server.thread.join().unwrap(), [None, Some("bytes=150000-".into()), Some("bytes=300000-".into())]);
    assert_eq!(seen.last(), Some(&(400_000, Some(400_000))));
    assert_eq!(std::fs::read_dir(files.path("new")).unwrap().count(), 1, "nothing is left over");
    // The server is gone: what is there is verified and kept.
    assert_eq!(fetch(&entry, &files.path("new"), &mut |_, _| {}).unwrap().sha256, SHA256);
}

#[test]
fn a_later_call_resumes_too() {
    let server = serve(&[Reply::Broken(1000), Reply::Status("404 Not Found"), Reply::Whole]);
    let files = Files::new();
    let entry = entry(&server.url, None);
    let folder = files.path("new");
    assert!(matches!(fetch(&entry, &folder, &mut |_, _| {}), Err(FetchError::Status { status: 404, .. })));
    let fetched = fetch(&entry, &folder, &mut |_, _| {}).unwrap();
    assert_eq!((fetched.resumed_bytes, fetched.is_verified, fetched.sha256.as_str()), (1000, false, SHA256));
    assert_eq!(server.thread.join().unwrap()[2].as_deref(), Some("bytes=1000-"));
}

#[test]
fn a_server_without_ranges_starts_over() {
    let server = serve(&[Reply::Broken(1000), Reply::NoRange]);
    let files = Files::new();
    let fetched = fetch(&entry(&server.url, Some(SHA256)), &files.path("new"), &mut |_, _| {}).unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), content());
    server.thread.join().unwrap();
}

#[test]
fn a_file_that_changed_meanwhile_starts_over() {
    let server = serve(&[Reply::Broken(1000), Reply::Changed, Reply::Whole]);
    let files = Files::new();
    let fetched = fetch(&entry(&server.url, None), &files.path("new"), &mut |_, _| {}).unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), content());
    assert_eq!(server.thread.join().unwrap(), [None, Some("bytes=1000-".into()), None]);
}

#[test]
fn a_wrong_hash_is_refused() {
    let server = serve(&[Reply::Whole]);
    let files = Files::new();
    let wrong = "0000000000000000000000000000000000000000000000000000000000000000";
    let error = fetch(&entry(&server.url, Some(wrong)), &files.path("new"), &mut |_, _| {}).unwrap_err();
    insta::assert_snapshot!(error.to_string().replace(&server.url, "URL"), @"URL: its SHA-256 is 20ff50e632cc575386b15d7fcd9c3842ef435388ed29ae8c30617158ee907dc5, expected 0000000000000000000000000000000000000000000000000000000000000000; it was deleted. Either the transfer was damaged, then fetching again helps, or the file at that address has changed, then do not use it unseen");
    assert_eq!(std::fs::read_dir(files.path("new")).unwrap().count(), 0, "the file is deleted");
    server.thread.join().unwrap();
}

#[test]
fn a_missing_file_is_said_to_be_missing() {
    let server = serve(&[Reply::Status("404 Not Found")]);
    let files = Files::new();
    let error = fetch(&entry(&server.url, None), &files.path("new"), &mut |_, _| {}).unwrap_err();
    insta::assert_snapshot!(error.to_string().replace(&server.url, "URL"), @"URL: the server answered 404; the file has moved: look for it at the source named beside it in the list of data sets");
    server.thread.join().unwrap();
}

#[test]
fn an_endlessly_broken_download_keeps_what_came() {
    let server = serve(&[Reply::Broken(10); 5]);
    let files = Files::new();
    let error = fetch(&entry(&server.url, Some(SHA256)), &files.path("new"), &mut |_, _| {}).unwrap_err();
    let message =
        error.to_string().replace(&server.url, "URL").replace(&files.path("new").display().to_string(), "DIR");
    insta::assert_snapshot!(message, @"URL: io: Peer disconnected; 50 bytes are kept in DIR/file.csv.part, and fetching again goes on from there (a proxy is taken from HTTPS_PROXY)");
    assert_eq!(std::fs::read(files.path("new").join("file.csv.part")).unwrap(), content()[..50]);
    server.thread.join().unwrap();
}
