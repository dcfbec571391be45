//! The windows whose requests are kept: few that cover load, hours, days and the time of the year.

use crate::rates::{US_PER_S, Window};
use std::f64::consts::TAU;

const DAY_US: i64 = 86_400 * US_PER_S;

/// What a window is like, as a point: windows that are alike are near each other.
type Point = [f64; 8];

/// Chooses up to `count` windows, in order of time: the busiest first, then always the one that is
/// farthest from all that were chosen (Gonzalez' rule for k centres).
pub(crate) fn choose(windows: &[Window], count: usize) -> Vec<usize> {
    let points = points(windows);
    let busiest = (0..windows.len())
        .max_by(|&a, &b| windows[a].counts.requests.total_cmp(&windows[b].counts.requests).then(b.cmp(&a)));
    let Some(busiest) = busiest else { return Vec::new() };
    let mut chosen = vec![busiest];
    let mut distances: Vec<f64> = points.iter().map(|point| distance(point, &points[busiest])).collect();
    while chosen.len() < count.min(windows.len()) {
        let farthest = (0..windows.len()).max_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(b.cmp(&a)));
        let Some(farthest) = farthest.filter(|&farthest| distances[farthest] > 0.0) else { break };
        chosen.push(farthest);
        for (distance_to, point) in distances.iter_mut().zip(&points) {
            *distance_to = distance_to.min(distance(point, &points[farthest]));
        }
    }
    chosen.sort_unstable();
    chosen
}

/// Load and lengths by rank, so that outliers do not decide; hours and days on circles; time as a share.
fn points(windows: &[Window]) -> Vec<Point> {
    let load = ranks(windows, |window| window.counts.requests);
    let prompts = ranks(windows, |window| window.counts.prompt / window.counts.requests);
    let outputs = ranks(windows, |window| window.counts.output / window.counts.requests);
    let first = windows.first().map_or(0, |window| window.begin_us);
    let span = windows.last().map_or(1, |window| (window.begin_us - first).max(1)) as f64;
    let circle = |period_us: i64, begin_us: i64| {
        let angle = TAU * begin_us.rem_euclid(period_us) as f64 / period_us as f64;
        [angle.cos() / 2.0, angle.sin() / 2.0]
    };
    let point = |(index, window): (usize, &Window)| {
        let [hour_x, hour_y] = circle(DAY_US, window.begin_us);
        let [day_x, day_y] = circle(7 * DAY_US, window.begin_us);
        let season = (window.begin_us - first) as f64 / span;
        // Load counts most: what is learned at one load does not hold at another.
        [
            2.0 * load[index],
            hour_x,
            hour_y,
            day_x / 2.0,
            day_y / 2.0,
            season,
            prompts[index] / 2.0,
            outputs[index] / 2.0,
        ]
    };
    windows.iter().enumerate().map(point).collect()
}

/// The share of windows with a lower value, for each window; equal values have equal ranks.
fn ranks(windows: &[Window], value: impl Fn(&Window) -> f64) -> Vec<f64> {
    let mut sorted: Vec<f64> = windows.iter().map(&value).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let all = windows.len().max(2) as f64 - 1.0;
    let rank = |window: &Window| sorted.partition_point(|&other| other < value(window)) as f64 / all;
    windows.iter().map(rank).collect()
}

fn distance(a: &Point, b: &Point) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rates::Counts;

    /// Two weeks of hours whose load follows the day.
    fn weeks() -> Vec<Window> {
        let window = |hour: i64| {
            let requests = 1000.0 + 900.0 * (TAU * hour as f64 / 24.0).sin() + (hour / 24) as f64;
            let counts = Counts { requests, prompt: 100.0 * requests, output: 10.0 * requests, ..Counts::default() };
            Window { begin_us: hour * 3600 * US_PER_S, counts, peak_to_mean: 1.0, dispersion: 1.0 }
        };
        (0..14 * 24).map(window).collect()
    }

    #[test]
    fn the_windows_cover_load_hours_and_the_whole_time() {
        let windows = weeks();
        let chosen = choose(&windows, 16);
        assert_eq!(chosen.len(), 16);
        assert!(chosen.is_sorted());
        let of = |value: &dyn Fn(usize) -> f64| {
            chosen.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), &index| {
                (least.min(value(index)), most.max(value(index)))
            })
        };
        let (least, most) = of(&|index| windows[index].counts.requests);
        assert!(least < 150.0 && most > 1900.0, "{least} to {most}");
        let (first, last) = of(&|index| index as f64);
        assert!(first < 48.0 && last > 288.0, "{first} to {last}");
        let quarters: std::collections::BTreeSet<usize> = chosen.iter().map(|index| index % 24 / 6).collect();
        assert_eq!(quarters.len(), 4, "{chosen:?}");
    }

    #[test]
    fn few_or_equal_windows_are_taken_once() {
        let windows = weeks();
        assert_eq!(choose(&windows[..3], 10), [0, 1, 2]);
        assert_eq!(choose(&[windows[0]; 5], 3), [0]);
        assert!(choose(&[], 3).is_empty());
    }
}
