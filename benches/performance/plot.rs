//! The plot: how many have ended after how long. Colours that differ in brightness too, on white,
//! since a page may be dark.

use plotters::prelude::*;

use crate::{
    Measured, Result,
    kinds::Kind,
    samples::{Sample, Values, count},
};

const SIZE: (u32, u32) = (960, 380);
/// Its height: within the panels it would cover lines.
const LEGEND: u32 = 30;
const FONT: &str = "sans-serif";

const fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Pod => RGBColor(120, 120, 120),
        Kind::Job => RGBColor(230, 159, 0),
        Kind::Action => RGBColor(0, 90, 170),
    }
}

pub(crate) fn svg(measured: &Measured) -> Result<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (top, bottom) = root.split_vertically(SIZE.1 - LEGEND);
        legend(&bottom)?;
        let panels = top.split_evenly((1, 1 + measured.at_once.len()));
        let mut panels = panels.iter();
        if let Some(area) = panels.next() {
            let title = format!("one at a time, {} each", measured.in_turn.turns);
            let lines = Kind::ALL.map(|kind| (kind, took(&measured.in_turn.samples[&kind])));
            panel(area, &title, "seconds from its creation", &lines)?;
        }
        for (area, measured) in panels.zip(&measured.at_once) {
            let title = format!("{} at once", measured.count);
            let lines = Kind::ALL.map(|kind| (kind, ended(&measured.rounds[&kind])));
            panel(area, &title, "seconds from the first creation", &lines)?;
        }
        root.present()?;
    }
    // The backend ends no line: one long line is no text file.
    Ok(text.replace("/>", "/>\n"))
}

fn took(samples: &[Sample]) -> Values {
    Values::took(samples)
}

/// Of both rounds.
fn ended(rounds: &[Vec<Sample>]) -> Values {
    Values::new(rounds.iter().flatten().map(|sample| sample.ended))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn panel(area: &Area<'_>, title: &str, across: &str, lines: &[(Kind, Values)]) -> Result<()> {
    let longest = lines.iter().map(|(_, values)| values.max()).fold(1.0, f64::max) * 1.05;
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 17))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..longest, 0.0..100.0)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|seconds| {
            if longest < 10.0 { format!("{seconds:.1}") } else { format!("{seconds:.0}") }
        })
        .y_label_formatter(&|percent| format!("{percent:.0} %"))
        .x_desc(across)
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .draw()?;
    for (kind, values) in lines {
        chart.draw_series(LineSeries::new(stairs(values), style(*kind)))?;
    }
    Ok(())
}

fn style(kind: Kind) -> ShapeStyle {
    colour(kind).stroke_width(if kind == Kind::Action { 3 } else { 2 })
}

fn legend(area: &Area<'_>) -> Result<()> {
    let mut left = 60;
    for kind in Kind::ALL {
        area.draw(&PathElement::new([(left, 12), (left + 24, 12)], style(kind)))?;
        let text = format!("{}, {}", kind.name(), kind.end());
        area.draw(&Text::new(text, (left + 32, 5), (FONT, 14)))?;
        left += 270;
    }
    Ok(())
}

/// One step up at each end.
fn stairs(values: &Values) -> Vec<(f64, f64)> {
    let all = values.sorted();
    let mut points = vec![(0.0, 0.0)];
    for (index, &value) in all.iter().enumerate() {
        let percent = |done: usize| count(done) / count(all.len()) * 100.0;
        points.extend([(value, percent(index)), (value, percent(index + 1))]);
    }
    points
}
