//! The hosts of a process, and the thread that lets their events happen on time.
//!
//! Events happen at the model's times even where the thread is late: it catches up event by
//! event. What sockets see is late by the thread's wake-up, about 0.1 ms.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::EmulatorOptions;
use super::host::Emulated;
use crate::clock::Clock;

/// All hosts, their clock, and what wakes the thread that runs them.
#[derive(Debug)]
pub struct World {
    clock: Clock,
    options: EmulatorOptions,
    hosts: Mutex<Vec<Emulated>>,
    wake: Condvar,
}

impl World {
    /// Starts the hosts' clock and the thread that runs them, which ends when the last handle
    /// is dropped.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(options: EmulatorOptions) -> std::io::Result<Arc<Self>> {
        let hosts = options.speeds.iter().map(|speed| Emulated::new(&options, *speed)).collect();
        let world = Arc::new(Self {
            clock: Clock::start(options.time_scale),
            options,
            hosts: Mutex::new(hosts),
            wake: Condvar::new(),
        });
        let weak = Arc::downgrade(&world);
        std::thread::Builder::new().name("hosts".to_owned()).spawn(move || run(&weak))?;
        Ok(world)
    }

    /// The clock of service time.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the hosts are like.
    pub fn options(&self) -> &EmulatorOptions {
        &self.options
    }

    /// Does something with a host at the present time, and sees to it that what follows from
    /// it happens on time.
    ///
    /// # Panics
    /// If there is no host of this index.
    pub fn with_host<T>(&self, index: usize, action: impl FnOnce(&mut Emulated, f64) -> T) -> T {
        let mut hosts = self.lock();
        let now_s = self.clock.now_s();
        let host = &mut hosts[index];
        let (before_s, was_busy) = (host.next_event_s(), host.is_busy());
        host.catch_up(now_s);
        let result = action(host, now_s);
        let is_earlier = host.next_event_s() < before_s || (host.is_busy() && !was_busy);
        drop(hosts);
        if is_earlier {
            self.wake.notify_one();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Emulated>> {
        // A panic elsewhere leaves the hosts as they were between two events.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longest sleep: how long the thread outlives the world.
const SLEEP_MAX: Duration = Duration::from_millis(200);

fn run(world: &Weak<World>) {
    let mut told = Instant::now();
    while let Some(world) = world.upgrade() {
        let mut hosts = world.lock();
        let now = Instant::now();
        let now_s = world.clock.service_s(now);
        let tell = now.duration_since(told) >= world.options.stream_interval;
        if tell {
            told = now;
        }
        let mut next_s = f64::INFINITY;
        let mut is_busy = false;
        for host in hosts.iter_mut() {
            host.catch_up(now_s);
            if tell {
                host.tell_progress(now_s);
            }
            next_s = next_s.min(host.next_event_s());
            is_busy |= host.is_busy();
        }
        let mut until = now + SLEEP_MAX;
        if next_s.is_finite() {
            until = until.min(world.clock.instant(next_s));
        }
        if is_busy {
            until = until.min(told + world.options.stream_interval);
        }
        let sleep = until.saturating_duration_since(Instant::now());
        if !sleep.is_zero() {
            drop(world.wake.wait_timeout(hosts, sleep).unwrap_or_else(PoisonError::into_inner));
        }
    }
}
