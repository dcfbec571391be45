//! Queries on a Ballista cluster: a scheduler and two executors as processes on this machine.

use crate::support::{SQL, example, logs, text, written};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ports that were free a moment ago.
fn ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn start(words: &[String], port: u16, log: &Path) -> Running {
    let log = fs::File::create(log).unwrap();
    let mut command = example("cluster");
    command.args(words).stdout(log.try_clone().unwrap()).stderr(log);
    let running = Running(command.spawn().unwrap());
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begin.elapsed() < STARTS_WITHIN, "{words:?} does not listen on {port}");
        sleep(Duration::from_millis(50));
    }
    running
}

fn executor(folder: &Path, number: usize, scheduler: u16, flight: u16, grpc: u16) -> Running {
    let work = folder.join(format!("executor-{number}"));
    fs::create_dir(&work).unwrap();
    let words = [
        "executor".to_owned(),
        scheduler.to_string(),
        flight.to_string(),
        grpc.to_string(),
        work.display().to_string(),
    ];
    start(&words, grpc, &folder.join(format!("executor-{number}.log")))
}

fn ingest(logs: &Path, output: &Path, cluster: Option<u16>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel-lake"));
    command.arg(logs).args(["--sql", SQL, "--windows", "8", "--threads", "8", "-o"]).arg(output);
    if let Some(port) = cluster {
        command.args(["--cluster", &format!("127.0.0.1:{port}")]);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn done(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Files that executors have written: a sign of a query under way.
fn shuffled(folder: &Path) -> usize {
    let count = |entry: fs::DirEntry| {
        let path = entry.path();
        if path.is_dir() { shuffled(&path) } else { 1 }
    };
    fs::read_dir(folder).map_or(0, |entries| entries.map_while(Result::ok).map(count).sum())
}

#[test]
fn a_cluster_gives_the_same_rows_also_when_an_executor_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let logs = logs(folder.path(), &["1500000", "--files", "8", "--days", "7"]);
    let here = folder.path().join("here.parquet");
    done(ingest(&logs, &here, None).spawn().unwrap());
    let here = written(&here);

    let [scheduler, flight_1, grpc_1, flight_2, grpc_2] = ports();
    let words = ["scheduler".to_owned(), scheduler.to_string()];
    let _scheduler = start(&words, scheduler, &folder.path().join("scheduler.log"));
    let _first = executor(folder.path(), 1, scheduler, flight_1, grpc_1);
    let second = executor(folder.path(), 2, scheduler, flight_2, grpc_2);

    let there = folder.path().join("there.parquet");
    done(ingest(&logs, &there, Some(scheduler)).spawn().unwrap());
    let there = written(&there);
    assert!(here.trace == there.trace && here.rates == there.rates && here.windows == there.windows);
    let of_second = folder.path().join("executor-2");
    assert!(shuffled(&of_second) > 0, "the second executor had a share in it");

    // Once more, and the second executor is killed while it works.
    let before = shuffled(&of_second);
    let killed = folder.path().join("killed.parquet");
    let mut child = ingest(&logs, &killed, Some(scheduler)).spawn().unwrap();
    let begin = Instant::now();
    while shuffled(&of_second) <= before {
        assert!(child.try_wait().unwrap().is_none(), "the query was over before the executor was killed");
        assert!(begin.elapsed() < STARTS_WITHIN, "the second executor does nothing");
        sleep(Duration::from_millis(5));
    }
    drop(second);
    assert!(child.try_wait().unwrap().is_none(), "the query was over before the executor was killed");
    done(child);
    let killed = written(&killed);
    assert!(here.trace == killed.trace && here.rates == killed.rates && here.windows == killed.windows);
}
