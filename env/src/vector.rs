//! Many environments at once, on as many threads as there are.
//!
//! Every environment has seeds of its own, and results come in the order of the
//! environments: they do not depend on the number of threads.

use evenkeel_numbers::random::mix;
use rayon::prelude::*;

use crate::gym::{Environment, Step};

/// Several environments that step together.
#[derive(Debug)]
pub struct VectorEnv<E> {
    slots: Vec<Slot<E>>,
    seed: u64,
}

#[derive(Debug)]
struct Slot<E> {
    env: E,
    episode: u64,
}

/// A step of one of several environments. An episode that is over has been reset already
/// (gymnasium's `AutoresetMode.SAME_STEP`).
#[derive(Clone, Debug, PartialEq)]
pub struct VectorStep<Observation, Info> {
    /// The step; its observation and info are those of the new episode if the old is over.
    pub step: Step<Observation, Info>,
    /// The last observation of the episode that is over.
    pub final_observation: Option<Observation>,
}

impl<E> VectorEnv<E>
where
    E: Environment + Send,
    E::Observation: Send,
    E::Action: Send,
    E::Info: Send,
{
    /// Runs these environments; all their seeds follow from `seed`.
    pub fn new(envs: Vec<E>, seed: u64) -> Self {
        Self { slots: envs.into_iter().map(|env| Slot { env, episode: 0 }).collect(), seed }
    }

    /// Number of environments.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Begins an episode everywhere.
    pub fn reset(&mut self) -> Vec<(E::Observation, E::Info)> {
        let seed = self.seed;
        self.slots.par_iter_mut().enumerate().map(|(index, slot)| slot.reset(seed, index)).collect()
    }

    /// Acts once everywhere.
    ///
    /// # Panics
    /// If there is not one action for each environment.
    pub fn step(&mut self, actions: Vec<E::Action>) -> Vec<VectorStep<E::Observation, E::Info>> {
        assert_eq!(actions.len(), self.slots.len(), "every environment needs an action");
        let seed = self.seed;
        let slots = self.slots.par_iter_mut().enumerate();
        slots.zip(actions).map(|((index, slot), action)| slot.step(action, seed, index)).collect()
    }

    /// Lets every environment run on its own for a while: `run` gets the environment and a
    /// seed for its own use. This is the fast way for environments whose steps are short,
    /// since threads meet once, not at every step.
    pub fn run<R: Send>(&mut self, run: impl Fn(&mut E, u64) -> R + Sync) -> Vec<R> {
        let seed = self.seed;
        let slots = self.slots.par_iter_mut().enumerate();
        slots
            .map(|(index, slot)| {
                slot.episode += 1;
                run(&mut slot.env, episode_seed(seed, index, slot.episode))
            })
            .collect()
    }
}

impl<E: Environment> Slot<E> {
    fn reset(&mut self, seed: u64, index: usize) -> (E::Observation, E::Info) {
        self.episode += 1;
        self.env.reset(episode_seed(seed, index, self.episode))
    }

    fn step(&mut self, action: E::Action, seed: u64, index: usize) -> VectorStep<E::Observation, E::Info> {
        let mut step = self.env.step(action);
        let mut final_observation = None;
        if step.is_over() {
            let (observation, info) = self.reset(seed, index);
            final_observation = Some(std::mem::replace(&mut step.observation, observation));
            step.info = info;
        }
        VectorStep { step, final_observation }
    }
}

fn episode_seed(seed: u64, index: usize, episode: u64) -> u64 {
    mix(mix(seed ^ mix(index as u64)) ^ episode)
}
