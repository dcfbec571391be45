//! Two autoscalers at equal terms: the replica-hours that one pays for as few misses as the
//! other, and what it misses for as many of them.
//!
//! Each is known at several points, tuned for several shares of misses. Nothing is
//! interpolated: a point stands for whoever may pay as much and miss as much, or more.

/// A run: replica-hours over those needed, and the share of the requests that missed.
pub type Point = [f64; 2];

/// The fewest replica-hours among points that miss no more than `missed_share`.
pub fn cheapest(points: &[Point], missed_share: f64) -> Option<f64> {
    let allowed = points.iter().filter(|[_, missed]| *missed <= missed_share);
    allowed.map(|[hours, _]| *hours).min_by(f64::total_cmp)
}

/// The fewest misses among points that take no more than `hours`.
pub fn fewest_misses(points: &[Point], hours: f64) -> Option<f64> {
    let affordable = points.iter().filter(|[taken, _]| *taken <= hours);
    affordable.map(|[_, missed]| *missed).min_by(f64::total_cmp)
}

/// How ours fares beside theirs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Duel {
    /// Our replica-hours over theirs, where both miss no more than a share.
    pub hours_ratio: Option<f64>,
    /// Their misses over ours, where both take no more than their hours there.
    pub misses_ratio: Option<f64>,
}

/// Compares at a share of misses: theirs is the cheapest point that keeps it.
pub fn duel(ours: &[Point], theirs: &[Point], missed_share: f64) -> Duel {
    let Some(their_hours) = cheapest(theirs, missed_share) else {
        return Duel { hours_ratio: None, misses_ratio: None };
    };
    let their_misses = fewest_misses(theirs, their_hours).unwrap_or(f64::NAN);
    Duel {
        hours_ratio: cheapest(ours, missed_share).map(|hours| hours / their_hours),
        misses_ratio: fewest_misses(ours, their_hours).map(|missed| their_misses / missed.max(1e-9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_those_of_the_cheapest_that_keeps_them() {
        let theirs = [[1.2, 0.02], [1.5, 0.009], [1.6, 0.002]];
        let ours = [[1.1, 0.03], [1.2, 0.008], [1.45, 0.003], [1.9, 0.0]];
        let found = duel(&ours, &theirs, 0.01);
        assert_eq!(found.hours_ratio, Some(1.2 / 1.5));
        assert_eq!(found.misses_ratio, Some(0.009 / 0.003));
        assert_eq!(duel(&ours, &theirs, 0.001), Duel { hours_ratio: None, misses_ratio: None });
        assert_eq!(duel(&[[2.0, 0.5]], &theirs, 0.01), Duel { hours_ratio: None, misses_ratio: None });
    }
}
