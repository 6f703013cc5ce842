//! The figures of a survey as SVG: a figure of every protocol over the number of validators, and the
//! stall after a leader's crash.

use plotters::{
    prelude::*,
    style::full_palette::{GREY_600, ORANGE_700},
};

use crate::{
    compare::{Row, row::name},
    report::{compare::plots::bars_of, plot::draw_sized},
    scenario::plan::Standing,
    survey::Group,
};

const SIZE: (u32, u32) = (960, 560);

/// A figure of every protocol, on a logarithmic axis, over the number of validators. `groups` are of one
/// place, by size.
pub(super) fn over_sizes(title: &str, unit: &str, groups: &[Group], figure: &str) -> String {
    let values = groups.iter().flat_map(|group| &group.rows);
    let values = values.filter_map(|row| row.median(figure));
    let values = values.filter(|value| *value > 0.0);
    let (least, most) = values.fold((f64::MAX, 0.0_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    let (from, to) = if most > 0.0 {
        (least / 1.5, most * 1.5)
    } else {
        (0.1, 10.0)
    };
    let label = |at: &SegmentValue<usize>| match at {
        SegmentValue::CenterOf(place) => {
            let group = groups.get(*place);
            group.map_or(String::new(), |group| group.validators.to_string())
        }
        _ => String::new(),
    };
    let rows = groups.first().map_or(&[][..], |group| &group.rows);
    let mut svg = String::new();
    draw_sized(&mut svg, SIZE, |area| {
        let (chart, legend) = area.split_horizontally(740);
        let mut chart = ChartBuilder::on(&chart)
            .caption(title, ("sans-serif", 20))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d((0..groups.len()).into_segmented(), (from..to).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("validators (n)")
            .y_desc(unit)
            .x_label_formatter(&label)
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .draw()?;
        for ((number, row), y) in rows.iter().enumerate().zip((60..).step_by(24)) {
            let colour = Palette99::pick(number).to_rgba();
            let points = points(groups, &row.protocol, figure);
            let line = LineSeries::new(points, colour.stroke_width(2)).point_size(4);
            chart.draw_series(line)?;
            legend.draw(&Rectangle::new([(4, y), (22, y + 12)], colour.filled()))?;
            let text = Text::new(row.protocol.clone(), (30, y), ("sans-serif", 16));
            legend.draw(&text)?;
        }
        Ok(())
    });
    svg
}

fn points(groups: &[Group], label: &str, figure: &str) -> Vec<(SegmentValue<usize>, f64)> {
    let points = groups.iter().enumerate().filter_map(|(place, group)| {
        let value = group.row(label)?.median(figure)?;
        (value > 0.0).then_some((SegmentValue::CenterOf(place), value))
    });
    points.collect()
}

/// For how long each protocol stands still after a crash, and how slow the slowest hundredth of readings
/// was; those that go on again only.
pub(super) fn leader_crash(title: &str, group: &Group) -> String {
    let alive = group.rows.iter();
    let alive = alive.filter(|row| row.standing == Standing::Safe);
    let alive: Vec<Row> = alive.cloned().collect();
    let bars = [
        (name::FINAL_P99, "p99, sent to final", ORANGE_700),
        (name::LEADER_CRASH, "longest stall", GREY_600),
    ];
    bars_of(title, &alive, "ms (logarithmic)", &bars)
}
