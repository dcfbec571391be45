//! Hosts that come and go, and those that a request has been sent to before.

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
        let is_known = self.state().restarted(host as u32, now_us);
        debug_assert!(is_known, "every host is registered");
        self.forget_prefixes(host);
        self.ejected_until_s[host] = 0.0;
        self.update_eligible(now_s);
    }

    /// Leaves out the hosts that a request has been sent to before: see [`untried`](Self::untried).
    pub(crate) fn leave_out_tried(&mut self, tried: &[u16]) {
        let is_tried = |host: &u32| tried.iter().any(|tried| u32::from(*tried) == *host);
        self.untried.clear();
        self.untried.extend(self.eligible.iter().copied().filter(|host| !is_tried(host)));
        self.untried_mask.fill(0);
        for &host in &self.untried {
            self.untried_mask[host as usize / 64] |= 1 << (host % 64);
        }
    }

    /// The eligible hosts without those that were tried, and the same as a mask. If all of them
    /// were, all may be tried again.
    pub(crate) fn untried(&self) -> (&[u32], &[u64]) {
        if self.untried.is_empty() { self.eligible() } else { (&self.untried, &self.untried_mask) }
    }
}
