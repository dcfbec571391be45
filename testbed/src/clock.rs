//! Service time against the wall's.

use std::time::{Duration, Instant};

/// Turns service time, which the host model counts, into wall time and back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    time_scale: f64,
}

impl Clock {
    /// Starts now. `time_scale`: seconds of service time in a second on the wall.
    ///
    /// # Panics
    /// If the scale is not positive and finite.
    pub fn start(time_scale: f64) -> Self {
        assert!(time_scale > 0.0 && time_scale.is_finite(), "a time scale must be positive, not {time_scale}");
        Self { origin: Instant::now(), time_scale }
    }

    /// Service time since the start, in seconds.
    pub fn now_s(&self) -> f64 {
        self.origin.elapsed().as_secs_f64() * self.time_scale
    }

    /// When the clock will show so much service time; a day ahead at most.
    pub fn instant(&self, service_s: f64) -> Instant {
        const FAR: Duration = Duration::from_hours(24);
        let wall = Duration::try_from_secs_f64(service_s.max(0.0) / self.time_scale).unwrap_or(FAR);
        self.origin + wall.min(self.origin.elapsed() + FAR)
    }

    /// Service time between the start and a moment, in seconds; 0 before it.
    pub fn service_s(&self, moment: Instant) -> f64 {
        moment.saturating_duration_since(self.origin).as_secs_f64() * self.time_scale
    }

    /// Seconds of service time in a second on the wall.
    pub fn time_scale(&self) -> f64 {
        self.time_scale
    }
}

/// Sleeps until a moment, more exactly than an event loop's timers do (about 0.1 ms).
pub fn sleep_until(moment: Instant) {
    let left = moment.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}
