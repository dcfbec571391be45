//! The agent as a process: killed, started again, started twice.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use evenkeel_agent::clock;
use evenkeel_runtime::telemetry_file::{TelemetryFile, host_key};
use evenkeel_runtime::{HostSlot, State, StateHeader};

use crate::servers::{healthy, read, words};

fn command(hosts: &Path, file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel-agent"));
    command.arg("--hosts").arg(hosts).arg("--output").arg(file).args(["--interval-ms", "20", "--slots", "8"]);
    command
}

fn start(hosts: &Path, file: &Path) -> Child {
    let child = command(hosts, file).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    child
}

fn refusal(hosts: &Path, file: &Path) -> String {
    let Output { status, stderr, .. } = command(hosts, file).output().unwrap();
    assert!(!status.success());
    String::from_utf8(stderr).unwrap()
}

#[test]
fn killing_the_agent_lets_ages_grow_and_starting_it_again_ends_that() {
    let folder = tempfile::tempdir().unwrap();
    let (list, file) = (folder.path().join("hosts"), folder.path().join("telemetry"));
    let host = healthy(4);
    std::fs::write(&list, host.to_string()).unwrap();
    let header = StateHeader::new(1);
    let slots = [HostSlot::default(), HostSlot::default()];
    let state = State::new(&header, &slots);
    let index = state.register(host_key(host.to_string().as_bytes()), 1.0, clock::now_us()).unwrap();
    // What a proxy does on its timer.
    let apply = || TelemetryFile::parse(&words(&file)).unwrap().apply(&state, clock::now_us());
    let age_s = || state.host(index).unwrap().telemetry_age_s(clock::now_us()).unwrap();

    let mut agent = start(&list, &file);
    assert_eq!(apply(), 1);
    assert_eq!(state.host(index).unwrap().telemetry().running, 4.0);
    assert!(age_s() < 0.25, "{}", age_s());
    agent.kill().unwrap();
    agent.wait().unwrap();
    apply();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(apply(), 0);
    assert!(age_s() > 0.25, "{}", age_s());
    assert!(read(&file, host).is_some(), "the last reading is still there, with its time");

    let mut agent = start(&list, &file);
    assert_eq!(apply(), 1);
    assert!(age_s() < 0.25, "{}", age_s());
    assert_eq!(TelemetryFile::parse(&words(&file)).unwrap().generation(), 2);
    let twice = refusal(&list, &file);
    assert!(twice.contains("another agent writes it"), "{twice}");
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn other_files_are_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (list, file) = (folder.path().join("hosts"), folder.path().join("precious"));
    std::fs::write(&list, "127.0.0.1:1").unwrap();
    std::fs::write(&file, "do not touch this file").unwrap();
    let refused = refusal(&list, &file);
    assert!(refused.contains("not a telemetry file"), "{refused}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "do not touch this file");
}

#[test]
fn a_reader_s_lock_keeps_no_agent_from_writing() {
    let folder = tempfile::tempdir().unwrap();
    let (list, file) = (folder.path().join("hosts"), folder.path().join("telemetry"));
    let host = healthy(4);
    std::fs::write(&list, host.to_string()).unwrap();
    let mut agent = start(&list, &file);
    assert_eq!(read(&file, host).map(|reading| reading.telemetry.running), Some(4.0));
    let reader = std::fs::File::open(&file).unwrap();
    reader.lock().unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    let mut agent = start(&list, &file);
    assert_eq!(TelemetryFile::parse(&words(&file)).unwrap().generation(), 2);
    agent.kill().unwrap();
    agent.wait().unwrap();
    reader.unlock().unwrap();
}

#[test]
fn what_a_link_leads_to_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let (list, file) = (folder.path().join("hosts"), folder.path().join("telemetry"));
    std::fs::write(&list, "127.0.0.1:1").unwrap();
    let other = folder.path().join("other");
    std::fs::write(&other, []).unwrap();
    std::os::unix::fs::symlink(&other, &file).unwrap();
    let refused = refusal(&list, &file);
    assert!(refused.contains("a symbolic link, and not written to"), "{refused}");
    std::fs::remove_file(&file).unwrap();
    std::fs::hard_link(&other, &file).unwrap();
    let refused = refusal(&list, &file);
    assert!(refused.contains("a file with several names"), "{refused}");
    std::fs::remove_file(&file).unwrap();
    std::fs::remove_file(folder.path().join("telemetry.lock")).unwrap();
    std::os::unix::fs::symlink(&other, folder.path().join("telemetry.lock")).unwrap();
    let refused = refusal(&list, &file);
    assert!(refused.contains("telemetry.lock: a symbolic link"), "{refused}");
    assert_eq!(std::fs::read(&other).unwrap(), [] as [u8; 0]);
    // Hosts may be behind links, as those of Kubernetes are.
    let linked = folder.path().join("linked");
    std::os::unix::fs::symlink(&list, &linked).unwrap();
    std::fs::remove_file(folder.path().join("telemetry.lock")).unwrap();
    let mut agent = start(&linked, &file);
    assert!(TelemetryFile::parse(&words(&file)).is_ok());
    agent.kill().unwrap();
    agent.wait().unwrap();
}
