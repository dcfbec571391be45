//! Hosts that come and go.

use super::Balancer;

impl Balancer {
    /// A host is not there until it [comes up](Self::came_up).
    pub(crate) fn not_there(&mut self, host: usize) {
        self.ejected_until_s[host] = f64::INFINITY;
        self.update_eligible(0.0);
    }

    /// A host came up, or came back, as service discovery or a health check says: what was known
    /// of it is of the past.
    pub(crate) fn came_up(&mut self, host: usize, now_s: f64, now_us: u64) {
        let is_known = self.upstream().restarted(host as u32, now_us);
        debug_assert!(is_known, "every host is registered");
        self.was_out[host] = false;
        self.ejected_until_s[host] = 0.0;
        self.update_eligible(now_s);
    }
}
