//! Logs in an object store: a small server of S3's protocol on this machine.

use crate::support::{SQL, lake, logs, text, written};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

type Objects = Arc<BTreeMap<String, Vec<u8>>>;

/// Serves objects of the bucket `logs` until the test ends; returns its address.
fn serve(objects: BTreeMap<String, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let objects = Arc::new(objects);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let objects = Arc::clone(&objects);
            thread::spawn(move || answer(stream, &objects));
        }
    });
    address
}

/// Answers requests of one connection: lists, heads, and ranges.
fn answer(stream: TcpStream, objects: &Objects) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok().filter(|&n| n > 0)?;
        let mut range = None;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("range: bytes=") {
                let (begin, end) = value.trim().split_once('-')?;
                range = Some((begin.parse::<usize>().ok(), end.parse::<usize>().ok()));
            }
        }
        let mut words = first.split_whitespace();
        let (method, target) = (words.next()?, words.next()?);
        let target = target.replace("%3D", "=").replace("%2F", "/");
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (status, headers, body) = match path.trim_matches('/') {
            "logs" => (200, String::new(), list(objects, query)),
            path => match objects.get(path.strip_prefix("logs/")?) {
                None => (404, String::new(), Vec::new()),
                Some(object) => part(object, range),
            },
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nETag: \"1\"\r\nLast-Modified: Mon, 24 Nov 2025 00:00:00 GMT\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        if method != "HEAD" {
            stream.write_all(&body).ok()?;
        }
    }
}

fn part(object: &[u8], range: Option<(Option<usize>, Option<usize>)>) -> (u16, String, Vec<u8>) {
    let Some((begin, end)) = range else { return (200, String::new(), object.to_vec()) };
    let (begin, end) = match (begin, end) {
        (Some(begin), end) => (begin, end.map_or(object.len(), |end| (end + 1).min(object.len()))),
        (None, last) => (object.len() - last.unwrap_or(0), object.len()),
    };
    (206, format!("Content-Range: bytes {begin}-{}/{}\r\n", end - 1, object.len()), object[begin..end].to_vec())
}

fn list(objects: &Objects, query: &str) -> Vec<u8> {
    let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix=")).unwrap_or("");
    let contents = objects.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(name, object)| {
        format!(
            "<Contents><Key>{name}</Key><LastModified>2025-11-24T00:00:00.000Z</LastModified><ETag>\"1\"</ETag><Size>{}</Size></Contents>",
            object.len()
        )
    });
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><Name>logs</Name><IsTruncated>false</IsTruncated>{}</ListBucketResult>",
        contents.collect::<String>()
    )
    .into_bytes()
}

fn objects(logs: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(logs).unwrap().map(|entry| entry.unwrap().path());
    let object = |(index, path): (usize, std::path::PathBuf)| {
        let name = format!("year=2025/month={index}/{}", path.file_name().unwrap().to_str().unwrap());
        (name, fs::read(path).unwrap())
    };
    entries.enumerate().map(object).collect()
}

#[test]
fn patterns_of_an_object_store_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let logs = logs(folder.path(), &["20000", "--files", "3", "--days", "1"]);
    let address = serve(objects(&logs));
    let ingest = |from: &str, name: &str| {
        let output = folder.path().join(name);
        let done = Command::new(env!("CARGO_BIN_EXE_evenkeel-lake"))
            .args([from, "--sql", SQL, "-o", output.to_str().unwrap(), "--windows", "4"])
            .envs([
                ("AWS_ACCESS_KEY_ID", "key"),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("AWS_REGION", "local"),
                ("AWS_ENDPOINT", &address),
                ("AWS_ALLOW_HTTP", "true"),
            ])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        written(&output).trace
    };
    let remote = ingest("s3://logs/**/*.parquet", "remote.parquet");
    assert!(remote.lines().count() > 1000);
    assert!(remote == ingest(logs.to_str().unwrap(), "local.parquet"));
    // Without a region or an endpoint there is no bucket that is reached; the message names it.
    let output = folder.path().join("none.parquet");
    let failed = lake(&["s3://", "-o", output.to_str().unwrap()]);
    assert!(text(&failed.stderr).contains("bucket"), "{}", text(&failed.stderr));
}
