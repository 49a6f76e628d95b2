//! The parts of a run as a bar.

use k8s_openapi::jiff::Timestamp;
use maud::{Markup, html};

use crate::cli::view::{
    duration::exact,
    parts::{Part, PartName},
};

/// The width of the bar in its own units, and the least that a part has.
const WIDTH: i64 = 1000;
const LEAST: i64 = 4;

/// The parts of a run, each as wide as it took.
pub(in crate::cli::ui) fn timeline(parts: &[Part], now: Timestamp) -> Markup {
    let took: Vec<i64> = parts
        .iter()
        .map(|part| i64::try_from(part.took(now).as_millis()).unwrap_or(i64::MAX / 1024).max(1))
        .collect();
    let widths = widths(&took);
    let words: Vec<String> =
        parts.iter().map(|part| format!("{} {}", part.name.words().0, told(part, now))).collect();
    let lefts = widths.iter().scan(0, |left, width| Some(std::mem::replace(left, *left + width)));
    html! {
        @if !parts.is_empty() {
            svg.timeline viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label=(words.join(", ")) {
                @for ((part, width), left) in parts.iter().zip(&widths).zip(lefts) {
                    rect class=(class(part.name)) x=(left) y="0" width=(width) height="20" {
                        title { (part.name.words().0) " " (told(part, now)) }
                    }
                }
            }
            ul.legend {
                @for part in parts {
                    li {
                        span.key.(class(part.name)) aria-hidden="true" {}
                        b { (part.name.words().0) } " " (told(part, now)) " "
                        span.quiet { (part.name.words().1) }
                    }
                }
            }
        }
    }
}

fn told(part: &Part, now: Timestamp) -> String {
    let so_far = if part.end.is_none() { " so far" } else { "" };
    format!("{}{so_far}", exact(part.took(now)))
}

const fn class(name: PartName) -> &'static str {
    match name {
        PartName::Queue => "part-queue",
        PartName::Resolve => "part-resolve",
        PartName::Schedule => "part-schedule",
        PartName::Pull | PartName::Start => "part-pull",
        PartName::Run => "part-run",
    }
}

/// How wide each part is. Short ones can still be seen.
fn widths(took: &[i64]) -> Vec<i64> {
    let all = took.iter().map(|took| i128::from(*took)).sum::<i128>().max(1);
    let share = |took: i64| i64::try_from(i128::from(took) * i128::from(WIDTH) / all).unwrap_or(WIDTH);
    let mut widths: Vec<i64> = took.iter().map(|took| share(*took).max(LEAST)).collect();
    // What the short ones have more than their share is taken from the longest.
    let over = widths.iter().sum::<i64>() - WIDTH;
    if let Some(longest) = widths.iter_mut().max() {
        *longest = (*longest - over).max(LEAST);
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_fill_the_bar_and_short_ones_can_be_seen() {
        assert_eq!(widths(&[500, 500]), [500, 500]);
        assert_eq!(widths(&[1, 1, 100_000]), [4, 4, 992]);
        assert_eq!(widths(&[7]), [1000]);
        assert!(widths(&[]).is_empty());
        for took in [[1, 2, 3], [i64::MAX / 4, 1, 1], [3, 3, 3]] {
            assert_eq!(widths(&took).iter().sum::<i64>(), WIDTH, "{took:?}");
        }
    }
}
