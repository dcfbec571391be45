//! What is not beaten in every respect: Pareto fronts, crowding, and the area they cover.
//! Less is better in every objective.

/// Whether `a` is nowhere worse than `b` and somewhere better.
pub fn dominates<const N: usize>(a: &[f64; N], b: &[f64; N]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

/// Indices of the points that none dominates, then of those that only the former do, and
/// so on (Deb et al., 2002, by repeated sweeps: there are a few dozen points).
pub fn fronts<const N: usize>(points: &[[f64; N]]) -> Vec<Vec<usize>> {
    let mut left: Vec<usize> = (0..points.len()).collect();
    let mut fronts = Vec::new();
    while !left.is_empty() {
        let is_beaten = |index: &usize| left.iter().any(|other| dominates(&points[*other], &points[*index]));
        let (beaten, front): (Vec<usize>, Vec<usize>) = left.iter().copied().partition(is_beaten);
        fronts.push(front);
        left = beaten;
    }
    fronts
}

/// Indices of the points that none dominates, in the order of the first objective; of
/// equal points, one.
pub fn front<const N: usize>(points: &[[f64; N]]) -> Vec<usize> {
    let is_beaten = |index: usize| {
        let is_better = |(other, point): (usize, &[f64; N])| {
            dominates(point, &points[index]) || (other < index && point == &points[index])
        };
        points.iter().enumerate().any(is_better)
    };
    let mut front: Vec<usize> = (0..points.len()).filter(|index| !is_beaten(*index)).collect();
    front.sort_by(|a, b| points[*a][0].total_cmp(&points[*b][0]));
    front
}

/// How far the neighbours of each point of a front are, summed over objectives in shares
/// of the front's extent; infinite at the ends.
pub fn crowding<const N: usize>(points: &[[f64; N]], front: &[usize]) -> Vec<f64> {
    let mut distances = vec![0.0; front.len()];
    let value_of = |place: usize, objective: usize| points[front[place]][objective];
    for objective in 0..N {
        let value = |place: usize| value_of(place, objective);
        let mut order: Vec<usize> = (0..front.len()).collect();
        order.sort_by(|a, b| value(*a).total_cmp(&value(*b)));
        let (Some(first), Some(last)) = (order.first(), order.last()) else { break };
        let extent = value(*last) - value(*first);
        // Where all are alike, nobody is at an end.
        if extent <= 0.0 {
            continue;
        }
        (distances[*first], distances[*last]) = (f64::INFINITY, f64::INFINITY);
        for window in order.windows(3) {
            distances[window[1]] += (value(window[2]) - value(window[0])) / extent;
        }
    }
    distances
}

/// Share of the rectangle between `best` and `worst` that points dominate: the hypervolume
/// (Zitzler and Thiele, 1999) in two dimensions.
pub fn hypervolume(points: &[[f64; 2]], best: [f64; 2], worst: [f64; 2]) -> f64 {
    let scaled = |point: &[f64; 2]| {
        std::array::from_fn(|axis| ((point[axis] - best[axis]) / (worst[axis] - best[axis])).max(0.0))
    };
    let inside: Vec<[f64; 2]> = points.iter().map(scaled).filter(|p: &[f64; 2]| p.iter().all(|x| *x < 1.0)).collect();
    let mut area = 0.0;
    let mut ceiling = 1.0;
    for index in front(&inside) {
        let [x, y] = inside[index];
        area += (1.0 - x) * (ceiling - y);
        ceiling = y;
    }
    area
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTS: [[f64; 2]; 6] = [[3.0, 1.0], [1.0, 3.0], [2.0, 2.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]];

    #[test]
    fn fronts_come_in_their_order_and_equals_once() {
        assert_eq!(front(&POINTS), [1, 2, 0]);
        assert_eq!(fronts(&POINTS), [vec![0, 1, 2, 3], vec![4], vec![5]]);
    }

    #[test]
    fn the_lonely_and_the_ends_are_least_crowded() {
        let points = [[0.0, 4.0], [1.0, 3.0], [1.5, 2.5], [4.0, 0.0]];
        let distances = crowding(&points, &[0, 1, 2, 3]);
        assert!(distances[0].is_infinite() && distances[3].is_infinite());
        assert!(distances[2] > distances[1]);
    }

    #[test]
    fn the_hypervolume_is_the_area_under_a_staircase() {
        // Steps of a square of side 4: 3·1 + 2·1 + 1·1 of 16.
        assert!((hypervolume(&POINTS, [0.0, 0.0], [4.0, 4.0]) - 6.0 / 16.0).abs() < 1e-12);
        assert_eq!(hypervolume(&[[9.0, 9.0]], [0.0, 0.0], [4.0, 4.0]), 0.0);
    }
}
