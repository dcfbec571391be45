//! A chart as SVG. Colours and dashes come from the style sheet through classes, so a
//! chart follows the theme of the page.

use super::axis::Axis;
use super::html::{escape, put};

/// Steps shorter than this, in pixels, are not drawn.
const RESOLUTION: f64 = 1.2;

/// A chart under construction.
pub(super) struct Chart {
    x: Axis,
    y: Axis,
    width: f64,
    height: f64,
    right: f64,
    description: String,
    marks: String,
    end_labels: Vec<EndLabel>,
}

struct EndLabel {
    y: f64,
    text: String,
    class: String,
}

const LEFT: f64 = 50.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 42.0;

impl Chart {
    /// An empty chart of this size in pixels; `description` is for readers who do not
    /// see it.
    pub(super) fn new(size: [f64; 2], x: Axis, y: Axis, description: &str) -> Self {
        Self {
            x,
            y,
            width: size[0],
            height: size[1],
            right: 14.0,
            description: description.to_owned(),
            marks: String::new(),
            end_labels: Vec::new(),
        }
    }

    /// Leaves `room` pixels at the right for labels at the ends of lines.
    pub(super) fn with_end_labels(mut self, room: f64) -> Self {
        self.right = room;
        self
    }

    /// A line through `points`, broken where one has no place on the axes.
    pub(super) fn line(&mut self, class: &str, points: &[(f64, f64)], tooltip: &str) {
        let path = self.path(points);
        if !path.is_empty() {
            put!(
                self.marks,
                "<path class=\"series line {class}\" d=\"{path}\"><title>{}</title></path>",
                escape(tooltip)
            );
        }
    }

    /// The area between two lines at the same x.
    pub(super) fn band(&mut self, class: &str, points: &[(f64, f64, f64)], tooltip: &str) {
        let known: Vec<_> = points.iter().filter(|(_, low, high)| low.is_finite() && high.is_finite()).collect();
        let upper: Vec<_> = known.iter().map(|(x, _, high)| (*x, *high)).collect();
        let lower: Vec<_> = known.iter().rev().map(|(x, low, _)| (*x, *low)).collect();
        let (upper, lower) = (self.path(&upper), self.path(&lower));
        if !upper.is_empty() && !lower.is_empty() {
            put!(
                self.marks,
                "<path class=\"series band {class}\" d=\"{upper}L{}Z\"><title>{}</title></path>",
                &lower[1..],
                escape(tooltip)
            );
        }
    }

    /// A dot.
    pub(super) fn dot(&mut self, class: &str, point: (f64, f64), tooltip: &str) {
        if let Some((x, y)) = self.place(point) {
            put!(
                self.marks,
                "<circle class=\"series dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\">\
                 <title>{}</title></circle>",
                escape(tooltip)
            );
        }
    }

    /// A vertical bar between two values, such as a confidence interval; what lies outside
    /// of the axis is cut off.
    pub(super) fn interval(&mut self, class: &str, x: f64, ends: [f64; 2]) {
        let Some(x) = self.x.position(x).map(|position| self.x_pixel(position)) else {
            return;
        };
        if ends.iter().all(|end| end.is_finite()) {
            // Nothing under zero has a place on a logarithmic axis: it is cut off below.
            let [low, high] = ends.map(|end| self.y_pixel(self.y.position(end).unwrap_or(0.0).clamp(0.0, 1.0)));
            put!(self.marks, "<path class=\"series interval {class}\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>");
        }
    }

    /// A label beside the right end of a line that ends at the value `y`.
    pub(super) fn end_label(&mut self, class: &str, y: f64, text: &str) {
        if let Some(position) = self.y.position(y) {
            self.end_labels.push(EndLabel {
                y: self.y_pixel(position),
                text: text.to_owned(),
                class: class.to_owned(),
            });
        }
    }

    /// The finished SVG element.
    pub(super) fn finish(mut self) -> String {
        let mut out = String::new();
        put!(
            out,
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
            self.width,
            self.height,
            escape(&self.description)
        );
        let right = self.width - self.right;
        for (value, text) in &self.y.ticks {
            let Some(y) = self.y.position(*value).map(|position| self.y_pixel(position)) else {
                continue;
            };
            put!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                escape(text)
            );
        }
        let bottom = self.height - BOTTOM;
        for (value, text) in &self.x.ticks {
            let Some(x) = self.x.position(*value).map(|position| self.x_pixel(position)) else {
                continue;
            };
            put!(
                out,
                "<path class=\"base\" d=\"M{x:.1} {bottom:.1}v4\"/>\
                 <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 17.0,
                escape(text)
            );
        }
        put!(
            out,
            "<path class=\"base\" d=\"M{LEFT} {bottom:.1}H{right:.1}\"/>\
             <text class=\"axis\" x=\"0\" y=\"13\">{}</text>\
             <text class=\"axis\" x=\"{right:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            escape(&self.y.label),
            self.height - 5.0,
            escape(&self.x.label)
        );
        out.push_str(&self.marks);
        self.spread_labels();
        for label in &self.end_labels {
            put!(
                out,
                "<text class=\"series end {}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                label.class,
                right + 9.0,
                label.y + 4.0,
                escape(&label.text)
            );
        }
        out.push_str("</svg>");
        out
    }

    /// Moves labels apart until none covers another, each as little as it can.
    fn spread_labels(&mut self) {
        const GAP: f64 = 14.5;
        self.end_labels.sort_by(|a, b| a.y.total_cmp(&b.y));
        // Neighbours too close share their overlap, which may push the next ones; a few
        // rounds settle it. The last pass makes it exact.
        for _ in 0..50 {
            for index in 1..self.end_labels.len() {
                let overlap = self.end_labels[index - 1].y + GAP - self.end_labels[index].y;
                if overlap > 0.0 {
                    self.end_labels[index - 1].y -= overlap / 2.0;
                    self.end_labels[index].y += overlap / 2.0;
                }
            }
        }
        let mut ceiling = self.height - BOTTOM;
        for label in self.end_labels.iter_mut().rev() {
            label.y = label.y.min(ceiling);
            ceiling = label.y - GAP;
        }
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        let mut pen: Option<(f64, f64)> = None;
        for (index, point) in points.iter().enumerate() {
            let Some((x, y)) = self.place(*point) else {
                pen = None;
                continue;
            };
            match pen {
                None => put!(path, "M{x:.1} {y:.1}"),
                Some((last_x, last_y)) => {
                    let is_last = points.get(index + 1).is_none_or(|next| self.place(*next).is_none());
                    if (x - last_x).hypot(y - last_y) < RESOLUTION && !is_last {
                        continue;
                    }
                    put!(path, "L{x:.1} {y:.1}");
                }
            }
            pen = Some((x, y));
        }
        path
    }

    fn place(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        Some((self.x_pixel(self.x.position(x)?), self.y_pixel(self.y.position(y)?)))
    }

    fn x_pixel(&self, position: f64) -> f64 {
        LEFT + position * (self.width - self.right - LEFT)
    }

    fn y_pixel(&self, position: f64) -> f64 {
        let bottom = self.height - BOTTOM;
        bottom - position * (bottom - TOP)
    }
}

/// At most `limit` indices out of `count`: from each stretch the one whose value is the
/// farthest from the stretch's mean, so that peaks survive.
pub(super) fn thin(count: usize, limit: usize, value: impl Fn(usize) -> f64) -> Vec<usize> {
    if count <= limit {
        return (0..count).collect();
    }
    (0..limit)
        .map(|bucket| bucket * count / limit..(bucket + 1) * count / limit)
        .filter_map(|stretch| {
            let known = stretch.clone().map(&value).filter(|value| value.is_finite());
            let (sum, known_count) = known.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
            let mean = sum / f64::from(known_count);
            let distance = |index: &usize| {
                let distance = (value(*index) - mean).abs();
                if distance.is_finite() { distance } else { -1.0 }
            };
            stretch.max_by(|a, b| distance(a).total_cmp(&distance(b)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::number;

    fn chart() -> Chart {
        let axis = |values: [f64; 2]| Axis::linear("a", values, number::significant);
        Chart::new([300.0, 200.0], axis([0.0, 10.0]), axis([0.0, 1.0]), "d")
    }

    #[test]
    fn a_missing_value_breaks_the_line() {
        let chart = chart();
        let path = chart.path(&[(0.0, 0.0), (1.0, 1.0), (2.0, f64::NAN), (3.0, 0.5), (4.0, 0.5)]);
        assert_eq!(path.matches('M').count(), 2);
        assert_eq!(path.matches('L').count(), 2);
    }

    #[test]
    fn points_closer_than_a_pixel_are_merged() {
        let chart = chart();
        let points: Vec<_> = (0..100_000).map(|index| (index as f64 * 1e-4, 0.5)).collect();
        assert!(chart.path(&points).matches('L').count() < 600);
    }

    #[test]
    fn labels_do_not_overlap() {
        let mut chart = chart().with_end_labels(80.0);
        for index in 0..6 {
            chart.end_label("s0", 0.01 * f64::from(index), "name");
        }
        chart.spread_labels();
        let pairs = chart.end_labels.windows(2);
        assert!(pairs.into_iter().all(|pair| pair[1].y - pair[0].y >= 14.4));
    }

    #[test]
    fn thinning_keeps_the_peak() {
        let value = |index: usize| {
            if index == 777 { 9.0 } else { (index % 3) as f64 }
        };
        let kept = thin(5000, 100, value);
        assert_eq!(kept.len(), 100);
        assert!(kept.contains(&777));
        assert!(kept.is_sorted());
    }
}
