//! CMA-ES as in its author's tutorial (Hansen, arXiv 1604.00772), positive weights,
//! restarted with twice the population where it has converged (IPOP, Auger and Hansen, 2005).
//!
//! Written out here because the crate that has it brings a linear algebra library of its own
//! for matrices of seven by seven, which would lengthen every build.

use evenkeel_datasets::random::{Pcg64Mcg, generator, normal, uniform};

use super::evaluation::{Budget, Evaluate, Tried, evaluate_all};

/// Initial step: a third of the ranges, as its author advises.
const STEP: f64 = 0.3;
/// Converged: steps smaller than this share of the ranges tell nothing apart.
const STEP_LEAST: f64 = 1e-4;
/// What leaving the ranges by a distance of 1 costs: the vector is evaluated at their edge.
const OUTSIDE_COST: f64 = 10.0;
/// Sweeps of Jacobi's method; it converges quadratically, a handful would do.
const SWEEPS: usize = 30;

type Matrix = Vec<Vec<f64>>;

pub(super) fn search(start: &[f64], budget: Budget, evaluate: Evaluate<'_>) -> Vec<Tried> {
    let mut rng = generator(budget.seed, 0xC3A);
    let mut tried = evaluate_all(vec![start.to_vec()], evaluate);
    let mut population = 4 + (3.0 * (start.len() as f64).ln()) as usize;
    let mut mean = start.to_vec();
    while tried.len() < budget.evaluations {
        let mut state = State::new(mean, population);
        while tried.len() < budget.evaluations && !state.has_converged() {
            let points = state.sample(&mut rng);
            let inside = |point: &Vec<f64>| point.iter().map(|x| x.clamp(0.0, 1.0)).collect::<Vec<f64>>();
            let left = budget.evaluations - tried.len();
            let now = evaluate_all(points.iter().take(left).map(inside).collect(), evaluate);
            if now.len() == population {
                let cost = |(point, tried): (&Vec<f64>, &Tried)| {
                    let outside: f64 = point.iter().zip(&tried.shares).map(|(x, share)| (x - share).powi(2)).sum();
                    tried.worth.cost + OUTSIDE_COST * outside
                };
                let costs: Vec<f64> = points.iter().zip(&now).map(cost).collect();
                state.update(&points, &costs);
            }
            tried.extend(now);
        }
        population *= 2;
        mean = start.iter().map(|_| uniform(&mut rng)).collect();
    }
    tried
}

/// The distribution that vectors are drawn from, under the tutorial's names in words.
struct State {
    population: usize,
    weights: Vec<f64>,
    /// Variance-effective number of selected vectors.
    selected: f64,
    mean: Vec<f64>,
    step: f64,
    covariance: Matrix,
    /// Its eigenvectors, in columns, and the roots of its eigenvalues.
    axes: (Matrix, Vec<f64>),
    step_path: Vec<f64>,
    covariance_path: Vec<f64>,
    generations: i32,
}

impl State {
    fn new(mean: Vec<f64>, population: usize) -> Self {
        let len = mean.len();
        let half = (population + 1) as f64 / 2.0;
        let raw: Vec<f64> = (1..=population / 2).map(|rank| half.ln() - (rank as f64).ln()).collect();
        let sum: f64 = raw.iter().sum();
        let weights: Vec<f64> = raw.iter().map(|weight| weight / sum).collect();
        let covariance = identity(len);
        Self {
            population,
            selected: 1.0 / weights.iter().map(|weight| weight * weight).sum::<f64>(),
            weights,
            step: STEP,
            axes: (covariance.clone(), vec![1.0; len]),
            covariance,
            step_path: vec![0.0; len],
            covariance_path: vec![0.0; len],
            mean,
            generations: 0,
        }
    }

    fn has_converged(&self) -> bool {
        let longest = self.axes.1.iter().copied().fold(0.0, f64::max);
        let is_sound = self.step.is_finite() && longest.is_finite();
        !is_sound || self.step * longest < STEP_LEAST
    }

    fn sample(&self, rng: &mut Pcg64Mcg) -> Vec<Vec<f64>> {
        let (vectors, lengths) = &self.axes;
        let one = |_| {
            let draw: Vec<f64> = lengths.iter().map(|length| length * normal(rng, 0.0, 1.0)).collect();
            let moved = |(row, mean): (&Vec<f64>, &f64)| mean + self.step * dot(row, &draw);
            vectors.iter().zip(&self.mean).map(moved).collect()
        };
        (0..self.population).map(one).collect()
    }

    /// Moves to the better half of the vectors drawn, and learns from where they lay.
    fn update(&mut self, points: &[Vec<f64>], costs: &[f64]) {
        let len = self.mean.len();
        let dimensions = len as f64;
        self.generations += 1;
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by(|a, b| costs[*a].total_cmp(&costs[*b]));
        let steps: Vec<Vec<f64>> = order
            .iter()
            .take(self.weights.len())
            .map(|index| points[*index].iter().zip(&self.mean).map(|(x, mean)| (x - mean) / self.step).collect())
            .collect();
        let moved: Vec<f64> = (0..len)
            .map(|gene| steps.iter().zip(&self.weights).map(|(step, weight)| weight * step[gene]).sum())
            .collect();
        for (mean, moved) in self.mean.iter_mut().zip(&moved) {
            *mean += self.step * moved;
        }
        // Cumulation of the step size, in the coordinates where the distribution is round.
        let keep = (self.selected + 2.0) / (dimensions + self.selected + 5.0);
        let damping = 1.0 + 2.0 * (((self.selected - 1.0) / (dimensions + 1.0)).sqrt() - 1.0).max(0.0) + keep;
        let round = self.rounded(&moved);
        let gain = (keep * (2.0 - keep) * self.selected).sqrt();
        for (path, round) in self.step_path.iter_mut().zip(&round) {
            *path = (1.0 - keep) * *path + gain * round;
        }
        let length = dot(&self.step_path, &self.step_path).sqrt();
        let expected = dimensions.sqrt() * (1.0 - 1.0 / (4.0 * dimensions) + 1.0 / (21.0 * dimensions * dimensions));
        // Steps that have grown fast say nothing of the distribution's shape.
        let settled = (1.0 - (1.0 - keep).powi(2 * self.generations)).sqrt();
        let is_steady = length / settled < (1.4 + 2.0 / (dimensions + 1.0)) * expected;
        let shape_keep = (4.0 + self.selected / dimensions) / (dimensions + 4.0 + 2.0 * self.selected / dimensions);
        let shape_gain = if is_steady { (shape_keep * (2.0 - shape_keep) * self.selected).sqrt() } else { 0.0 };
        for (path, moved) in self.covariance_path.iter_mut().zip(&moved) {
            *path = (1.0 - shape_keep) * *path + shape_gain * moved;
        }
        let rate_one = 2.0 / ((dimensions + 1.3).powi(2) + self.selected);
        let rate_all = 2.0 * (self.selected - 2.0 + 1.0 / self.selected) / ((dimensions + 2.0).powi(2) + self.selected);
        let rate_all = rate_all.min(1.0 - rate_one);
        let lost = if is_steady { 0.0 } else { rate_one * shape_keep * (2.0 - shape_keep) };
        for row in 0..len {
            for column in 0..len {
                let one = self.covariance_path[row] * self.covariance_path[column];
                let of_step = |(step, weight): (&Vec<f64>, &f64)| weight * step[row] * step[column];
                let all: f64 = steps.iter().zip(&self.weights).map(of_step).sum();
                let old = self.covariance[row][column];
                self.covariance[row][column] =
                    (1.0 - rate_one - rate_all + lost) * old + rate_one * one + rate_all * all;
            }
        }
        self.step *= ((keep / damping) * (length / expected - 1.0)).exp();
        self.axes = eigen(&self.covariance);
    }

    /// A vector in coordinates where the distribution is round: `C^(−1/2) · vector`.
    fn rounded(&self, vector: &[f64]) -> Vec<f64> {
        let (vectors, lengths) = &self.axes;
        let len = vector.len();
        let along: Vec<f64> = (0..len)
            .map(|axis| (0..len).map(|row| vectors[row][axis] * vector[row]).sum::<f64>() / lengths[axis].max(1e-12))
            .collect();
        vectors.iter().map(|row| dot(row, &along)).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn identity(len: usize) -> Matrix {
    (0..len).map(|row| (0..len).map(|column| f64::from(u8::from(row == column))).collect()).collect()
}

/// Eigenvectors of a symmetric matrix, in columns, and the roots of its eigenvalues: the
/// cyclic method of Jacobi (Golub and Van Loan, Matrix Computations, 8.5).
fn eigen(matrix: &Matrix) -> (Matrix, Vec<f64>) {
    let len = matrix.len();
    let (mut matrix, mut vectors) = (matrix.clone(), identity(len));
    for _ in 0..SWEEPS {
        let rest: f64 = (0..len).flat_map(|p| (0..p).map(move |q| (p, q))).map(|(p, q)| matrix[p][q].powi(2)).sum();
        if rest < 1e-30 {
            break;
        }
        for p in 0..len {
            for q in p + 1..len {
                if matrix[p][q] == 0.0 {
                    continue;
                }
                let ratio = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
                let tangent = ratio.signum() / (ratio.abs() + (ratio * ratio + 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                let sine = tangent * cosine;
                for row in &mut matrix {
                    (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
                }
                let (above, below) = matrix.split_at_mut(q);
                for (a, b) in above[p].iter_mut().zip(&mut below[0]) {
                    (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
                }
                for row in &mut vectors {
                    (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
                }
            }
        }
    }
    let lengths = (0..len).map(|axis| matrix[axis][axis].max(0.0).sqrt()).collect();
    (vectors, lengths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::Worth;

    #[test]
    fn axes_make_up_their_matrix() {
        let matrix = vec![vec![4.0, 1.0, 0.5], vec![1.0, 3.0, -0.7], vec![0.5, -0.7, 2.0]];
        let (vectors, lengths) = eigen(&matrix);
        for row in 0..3 {
            for column in 0..3 {
                let product = |axis: usize| vectors[row][axis] * lengths[axis].powi(2) * vectors[column][axis];
                let made: f64 = (0..3).map(product).sum();
                assert!((made - matrix[row][column]).abs() < 1e-9, "{made} at {row}, {column}");
            }
        }
    }

    #[test]
    fn it_learns_the_direction_of_a_narrow_valley() {
        // Rosenbrock's function, its minimum at 0.75 in every direction.
        let valley = |shares: &[f64]| {
            let x: Vec<f64> = shares.iter().map(|share| 4.0 * share - 2.0).collect();
            let cost = x.windows(2).map(|p| 100.0 * (p[1] - p[0] * p[0]).powi(2) + (1.0 - p[0]).powi(2)).sum();
            Worth { cost, objectives: [cost, 0.0, 0.0] }
        };
        let tried = search(&[0.2; 4], Budget { evaluations: 3000, seed: 1 }, &valley);
        let best = tried.iter().map(|tried| tried.worth.cost).fold(f64::INFINITY, f64::min);
        assert!(best < 1e-3, "{best}");
    }
}
