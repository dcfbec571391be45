//! Environments in the words of gymnasium (Towers et al., 2024): reset, step, terminated,
//! truncated, spaces.

use rand_pcg::Pcg64Mcg;

use crate::random::{below, between};

/// Something that an agent acts in, step by step.
pub trait Environment {
    /// What the agent sees.
    type Observation;
    /// What it does.
    type Action;
    /// What is told beside, not for the agent to learn from.
    type Info;
    /// The space of observations.
    type ObservationSpace: Space<Element = Self::Observation>;
    /// The space of actions.
    type ActionSpace: Space<Element = Self::Action>;

    /// Begins an episode. Equal seeds and actions give equal episodes.
    fn reset(&mut self, seed: u64) -> (Self::Observation, Self::Info);

    /// Acts once.
    ///
    /// # Panics
    /// Before the first reset, after the episode's end, or if the action is not in its space.
    fn step(&mut self, action: Self::Action) -> Step<Self::Observation, Self::Info>;

    /// What observations may be.
    fn observation_space(&self) -> Self::ObservationSpace;

    /// What actions may be.
    fn action_space(&self) -> Self::ActionSpace;
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Step<Observation, Info> {
    /// What the agent sees now.
    pub observation: Observation,
    /// What the action earned.
    pub reward: f64,
    /// The episode came to its own end: nothing is to be expected after it.
    pub terminated: bool,
    /// The episode was cut short: what comes after it would still have counted.
    pub truncated: bool,
    /// What is told beside.
    pub info: Info,
}

impl<Observation, Info> Step<Observation, Info> {
    /// Whether the episode is over, one way or the other.
    pub fn is_over(&self) -> bool {
        self.terminated || self.truncated
    }
}

/// A set that can be sampled.
pub trait Space {
    /// Its elements.
    type Element;

    /// Whether an element belongs to it.
    fn contains(&self, element: &Self::Element) -> bool;

    /// A uniformly random element.
    fn sample(&self, rng: &mut Pcg64Mcg) -> Self::Element;
}

/// The integers from 0 to `n - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discrete {
    /// How many there are.
    pub n: usize,
}

impl Space for Discrete {
    type Element = usize;

    fn contains(&self, element: &usize) -> bool {
        *element < self.n
    }

    fn sample(&self, rng: &mut Pcg64Mcg) -> usize {
        below(rng, self.n)
    }
}

/// A matrix, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// `rows * columns` numbers, the first row first.
    pub values: Vec<f32>,
}

impl Matrix {
    /// One row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }
}

/// Matrices of one shape whose entries lie between two bounds (gymnasium's `Box`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxSpace {
    /// Least value of an entry.
    pub low: f32,
    /// Greatest value of an entry.
    pub high: f32,
    /// Rows and columns.
    pub shape: [usize; 2],
}

impl Space for BoxSpace {
    type Element = Matrix;

    fn contains(&self, element: &Matrix) -> bool {
        let [rows, columns] = self.shape;
        (element.rows, element.columns, element.values.len()) == (rows, columns, rows * columns)
            && element.values.iter().all(|value| (self.low..=self.high).contains(value))
    }

    fn sample(&self, rng: &mut Pcg64Mcg) -> Matrix {
        let [rows, columns] = self.shape;
        let mut value = || between(rng, f64::from(self.low), f64::from(self.high)) as f32;
        Matrix { rows, columns, values: (0..rows * columns).map(|_| value()).collect() }
    }
}
