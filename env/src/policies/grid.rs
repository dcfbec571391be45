//! Memory of a policy: a value for each balancer and host.

use crate::policy::Setting;

/// One value for each balancer and host. What one balancer keeps no other may read.
#[derive(Clone, Debug)]
pub(super) struct Grid<T> {
    values: Vec<T>,
    hosts: usize,
}

impl<T> Default for Grid<T> {
    /// For no balancers, before a simulation begins.
    fn default() -> Self {
        Self { values: Vec::new(), hosts: 0 }
    }
}

impl<T: Clone> Grid<T> {
    /// The same value everywhere.
    pub(super) fn new(setting: &Setting, value: T) -> Self {
        Self { values: vec![value; setting.balancers * setting.hosts], hosts: setting.hosts }
    }

    /// What a balancer keeps, by host.
    pub(super) fn row(&self, balancer: usize) -> &[T] {
        &self.values[balancer * self.hosts..][..self.hosts]
    }

    /// The same, to be changed.
    pub(super) fn row_mut(&mut self, balancer: usize) -> &mut [T] {
        &mut self.values[balancer * self.hosts..][..self.hosts]
    }

    /// What a balancer keeps of a host.
    pub(super) fn at(&mut self, balancer: usize, host: usize) -> &mut T {
        &mut self.row_mut(balancer)[host]
    }
}

/// A moving average that weighs each new sample the same; NaN before the first.
pub(super) fn average(old: f64, sample: f64, weight: f64) -> f64 {
    if old.is_nan() { sample } else { old + weight * (sample - old) }
}
