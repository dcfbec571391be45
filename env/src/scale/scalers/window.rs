//! The most of what was recommended lately.

use std::collections::VecDeque;

/// Recommendations of the last so many seconds: scaling down waits for all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// Time and number, falling: what an older and smaller one says can never be the most.
    recommended: VecDeque<(f64, u32)>,
}

impl Window {
    /// Adds a recommendation and returns the most of those not older than `window_s`.
    pub(super) fn most(&mut self, now_s: f64, window_s: f64, recommended: u32) -> u32 {
        while self.recommended.back().is_some_and(|(_, older)| *older <= recommended) {
            self.recommended.pop_back();
        }
        self.recommended.push_back((now_s, recommended));
        while self.recommended.front().is_some_and(|(at_s, _)| now_s - at_s > window_s) {
            self.recommended.pop_front();
        }
        self.recommended.front().map_or(recommended, |(_, most)| *most)
    }

    pub(super) fn clear(&mut self) {
        self.recommended.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_most_of_the_window() {
        let mut window = Window::default();
        let most: Vec<u32> = [5, 3, 4, 1, 1, 1, 7]
            .into_iter()
            .enumerate()
            .map(|(i, recommended)| window.most(i as f64, 2.0, recommended))
            .collect();
        assert_eq!(most, [5, 5, 5, 4, 4, 1, 7]);
    }
}
