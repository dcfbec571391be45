//! [`BalanceEnv`] as an environment of the crate `gym-rs` 0.3 (feature `gym-rs`).
//!
//! gym-rs compiles SDL2 and links its graphics library, for environments that draw; this one
//! does not. Debian needs `cmake`, a C compiler and, to link, `libsdl2-dev` and
//! `libsdl2-gfx-dev`.

use evenkeel_runtime::HOST_FEATURES;
use gym_rs::core::{ActionReward, Env, EnvProperties};
use gym_rs::spaces::{BoxR, Discrete};
use gym_rs::utils::custom::structs::Metadata;
use gym_rs::utils::custom::traits::Sample;
use gym_rs::utils::custom::types::O64;
use gym_rs::utils::renderer::{RenderMode, Renders};
use gym_rs::utils::seeding::rand_random;
use rand_0_8::Rng;
use rand_0_8::distributions::uniform::{SampleBorrow, SampleUniform, UniformSampler};
use rand_pcg_0_3::Pcg64;
use serde::{Serialize, Serializer};

use crate::balance_env::{BalanceEnv, BalanceInfo};
use crate::gym::{Environment, Matrix};

/// The feature matrix, row by row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GymObservation(pub Vec<f64>);

impl From<Matrix> for GymObservation {
    fn from(matrix: Matrix) -> Self {
        Self(matrix.values.into_iter().map(f64::from).collect())
    }
}

impl From<GymObservation> for Vec<f64> {
    fn from(observation: GymObservation) -> Self {
        observation.0
    }
}

/// Samples observations uniformly, entry by entry.
#[derive(Clone, Debug)]
pub struct UniformObservation {
    low: Vec<f64>,
    high: Vec<f64>,
}

impl UniformSampler for UniformObservation {
    type X = GymObservation;

    fn new<B1, B2>(low: B1, high: B2) -> Self
    where
        B1: SampleBorrow<GymObservation> + Sized,
        B2: SampleBorrow<GymObservation> + Sized,
    {
        Self { low: low.borrow().0.clone(), high: high.borrow().0.clone() }
    }

    fn new_inclusive<B1, B2>(low: B1, high: B2) -> Self
    where
        B1: SampleBorrow<GymObservation> + Sized,
        B2: SampleBorrow<GymObservation> + Sized,
    {
        Self::new(low, high)
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> GymObservation {
        let pairs = self.low.iter().zip(&self.high);
        GymObservation(pairs.map(|(low, high)| low + (high - low) * rng.r#gen::<f64>()).collect())
    }
}

impl SampleUniform for GymObservation {
    type Sampler = UniformObservation;
}

impl Sample for GymObservation {
    /// Without bounds there is no shape either: the observation is empty.
    fn sample_between<R: Rng>(rng: &mut R, bounds: Option<BoxR<Self>>) -> Self {
        match bounds {
            Some(bounds) => UniformObservation::new(bounds.low, bounds.high).sample(rng),
            None => Self(Vec::new()),
        }
    }
}

/// The adapter.
#[derive(Debug)]
pub struct GymBalanceEnv {
    env: BalanceEnv,
    /// Seed of the episode and what was done in it: a clone replays it.
    seed: Option<u64>,
    actions: Vec<usize>,
    rng: Pcg64,
    metadata: Metadata<Self>,
    action_space: Discrete,
    observation_space: BoxR<GymObservation>,
}

impl GymBalanceEnv {
    /// Adapts an environment. Resets without a seed draw one from the stream of `seed`.
    pub fn new(env: BalanceEnv, seed: u64) -> Self {
        let (space, hosts) = (env.observation_space(), env.action_space().n);
        let filled = |value: f32| GymObservation(vec![f64::from(value); hosts * HOST_FEATURES]);
        Self {
            env,
            seed: None,
            actions: Vec::new(),
            rng: rand_random(Some(seed)).0,
            metadata: Metadata::new(RenderMode::DEFAULT, 0),
            action_space: Discrete(hosts),
            observation_space: BoxR::new(filled(space.low), filled(space.high)),
        }
    }
}

impl Clone for GymBalanceEnv {
    /// Replays the episode, which takes as long as it took.
    fn clone(&self) -> Self {
        let mut env = self.env.without_episode();
        if let Some(seed) = self.seed {
            env.reset(seed);
            for action in &self.actions {
                env.step(*action);
            }
        }
        Self {
            env,
            seed: self.seed,
            actions: self.actions.clone(),
            rng: self.rng.clone(),
            metadata: Metadata::new(RenderMode::DEFAULT, 0),
            action_space: self.action_space.clone(),
            observation_space: self.observation_space.clone(),
        }
    }
}

impl Serialize for GymBalanceEnv {
    /// What identifies the state of the episode: its seed and actions.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.seed, &self.actions).serialize(serializer)
    }
}

impl EnvProperties for GymBalanceEnv {
    type ActionSpace = Discrete;
    type ObservationSpace = BoxR<GymObservation>;

    fn metadata(&self) -> &Metadata<Self> {
        &self.metadata
    }

    fn rand_random(&self) -> &Pcg64 {
        &self.rng
    }

    fn action_space(&self) -> &Discrete {
        &self.action_space
    }

    fn observation_space(&self) -> &BoxR<GymObservation> {
        &self.observation_space
    }
}

impl Env for GymBalanceEnv {
    type Action = usize;
    type Observation = GymObservation;
    type Info = BalanceInfo;
    type ResetInfo = BalanceInfo;

    fn step(&mut self, action: usize) -> ActionReward<GymObservation, BalanceInfo> {
        self.actions.push(action);
        let step = self.env.step(action);
        ActionReward {
            observation: step.observation.into(),
            reward: O64::from(step.reward),
            done: step.terminated,
            truncated: step.truncated,
            info: Some(step.info),
        }
    }

    /// `options`, which bound the initial state elsewhere, mean nothing here: an episode
    /// begins with an idle fleet.
    fn reset(
        &mut self,
        seed: Option<u64>,
        return_info: bool,
        _options: Option<BoxR<GymObservation>>,
    ) -> (GymObservation, Option<BalanceInfo>) {
        let seed = seed.unwrap_or_else(|| self.rng.r#gen());
        self.seed = Some(seed);
        self.actions.clear();
        let (observation, info) = self.env.reset(seed);
        (observation.into(), return_info.then_some(info))
    }

    fn render(&mut self, _mode: RenderMode) -> Renders {
        Renders::None
    }

    fn close(&mut self) {}
}
