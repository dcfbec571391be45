//! Writes a telemetry file, as an agent of one's own does.
//!
//! ```text
//! telemetry_file PATH ADDRESS... [running=N] [waiting=N] [kv_use=SHARE] [step_s=SECONDS] [age_s=SECONDS]
//! ```
//!
//! Each host, named as the proxy names it (`10.0.0.1:8000`), is said to be as the numbers have
//! it; what no number is given for is unknown. `age_s` is how long ago that was measured, and
//! negative for a time ahead of now. The file is renamed into place. This one is written once;
//! an agent maps it, and writes to the mapping as often as it hears of a host.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use evenkeel_runtime::Telemetry;
use evenkeel_runtime::telemetry_file::{TelemetryFile, host_key, words};

const SLOTS: u32 = 64;

fn main() -> ExitCode {
    match write(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("telemetry_file: {complaint}");
            ExitCode::FAILURE
        }
    }
}

fn write(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let path = arguments.next().ok_or("expected PATH ADDRESS... [NAME=NUMBER]...")?;
    let (mut telemetry, mut age_s, mut addresses) = (Telemetry::UNKNOWN, 0.0, Vec::new());
    for argument in arguments {
        let Some((name, value)) = argument.split_once('=') else {
            addresses.push(argument);
            continue;
        };
        let number: f64 = value.parse().map_err(|_| format!("\"{argument}\": expected a number after \"=\""))?;
        match name {
            "running" => telemetry.running = number as f32,
            "waiting" => telemetry.waiting = number as f32,
            "kv_use" => telemetry.kv_use = number as f32,
            "step_s" => telemetry.step_s = number as f32,
            "age_s" => age_s = number,
            _ => return Err(format!("\"{name}\": expected running, waiting, kv_use, step_s or age_s")),
        }
    }

    let memory: Vec<AtomicU64> = (0..words(SLOTS)).map(|_| AtomicU64::new(0)).collect();
    let file = TelemetryFile::create(&memory, SLOTS).map_err(|error| format!("{error:?}"))?;
    let now_us = monotonic_us();
    file.beat(now_us);
    let measured_us = now_us.saturating_add_signed((-age_s * 1e6) as i64);
    for address in &addresses {
        if !file.write(host_key(address.as_bytes()), &telemetry, measured_us, |_| false) {
            return Err(format!("{address}: the file's {SLOTS} slots are all taken"));
        }
    }

    let bytes: Vec<u8> = memory.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
    let new = format!("{path}.new");
    let placed = std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, &path));
    placed.map_err(|error| format!("{path} cannot be written: {error}"))
}

/// The system's monotonic clock, which is the one that proxies read.
fn monotonic_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that may be written.
    #[allow(unsafe_code, reason = "the standard library does not tell this clock's reading")]
    unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
    }
    (Duration::from_secs(time.tv_sec as u64) + Duration::from_nanos(time.tv_nsec as u64)).as_micros() as u64
}
