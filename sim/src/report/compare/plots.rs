//! The figures of a comparison as SVG: latency and messages as bars, latency as a distribution, tolerance
//! as a map.

use plotters::{
    prelude::*,
    style::full_palette::{GREY_300, GREY_600, ORANGE_700},
};

use crate::{
    compare::{
        Comparison, Curve, Row,
        row::name,
        tolerance::{Cell, Trouble},
    },
    report::plot::draw_sized,
};

const WIDTH: u32 = 960;
/// Height of a row of bars, in pixels.
const ROW: u32 = 34;
/// Height of title and axes.
const FRAME: u32 = 120;
/// Shares beyond this would stretch the axis of a distribution to the slowest of all.
const SHOWN_SHARE: f64 = 0.99;

/// One bar of a row: its figure, its name in the legend, its colour.
pub(in crate::report) type Bar = (&'static str, &'static str, RGBColor);

/// Sent → final of every row: median and 99th percentile, on a logarithmic axis.
pub fn latency(comparison: &Comparison) -> String {
    let bars = [
        (name::FINAL_P99, "p99", ORANGE_700),
        (name::FINAL_P50, "p50", BLUE),
    ];
    let title = format!("{}: sent to final", comparison.scenario);
    bars_of(&title, &comparison.rows, "ms (logarithmic)", &bars)
}

/// Messages a reading of every row, on a logarithmic axis.
pub fn messages(comparison: &Comparison) -> String {
    let bars = [(name::MESSAGES, "messages", BLUE)];
    let title = format!("{}: messages a reading", comparison.scenario);
    bars_of(&title, &comparison.rows, "messages (logarithmic)", &bars)
}

/// Some figures of every row, on a logarithmic axis. What is zero has no bar.
pub(in crate::report) fn bars_of(title: &str, rows: &[Row], unit: &str, bars: &[Bar]) -> String {
    let values = rows.iter().flat_map(|row| {
        let of_row = bars.iter().filter_map(|(figure, ..)| row.median(figure));
        of_row.filter(|value| *value > 0.0)
    });
    let (least, most) = values.fold((f64::MAX, 0.0_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    // A decade below the shortest bar, so that it can be seen.
    let (from, to) = if most > 0.0 {
        (least / 10.0, most * 1.6)
    } else {
        (0.1, 10.0)
    };
    // The axis goes up, and tables go down.
    let labels: Vec<String> = rows.iter().rev().map(Row::label).collect();
    let count = rows.len();
    let mut svg = String::new();
    draw_sized(&mut svg, (WIDTH, FRAME + ROW * rows.len() as u32), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 22))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(190)
            .build_cartesian_2d((from..to).log_scale(), (0..count).into_segmented())?;
        let label = |at: &SegmentValue<usize>| match at {
            SegmentValue::CenterOf(row) => labels.get(*row).cloned().unwrap_or_default(),
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .x_desc(unit)
            .y_label_formatter(&label)
            .y_labels(rows.len())
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (figure, legend, colour) in bars {
            let boxes = rows.iter().rev().enumerate().filter_map(|(row, of)| {
                let value = of.median(figure).filter(|value| *value > 0.0)?;
                let corners = [
                    (from, SegmentValue::Exact(row)),
                    (value, SegmentValue::Exact(row + 1)),
                ];
                let mut bar = Rectangle::new(corners, colour.mix(0.75).filled());
                bar.set_margin(6, 6, 0, 0);
                Some(bar)
            });
            let colour = *colour;
            chart
                .draw_series(boxes)?
                .label(*legend)
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 5), (x + 18, y + 5)], colour.mix(0.75).filled())
                });
        }
        chart
            .configure_series_labels()
            .border_style(GREY_600)
            .background_style(WHITE.mix(0.8))
            .draw()
    });
    svg
}

/// The share of readings that are final after so long, for every row.
pub fn distribution(comparison: &Comparison) -> String {
    let rows = || {
        comparison
            .rows
            .iter()
            .filter(|row| !row.final_ms.is_empty())
    };
    let shown = |row: &Row| {
        let points = row
            .final_ms
            .iter()
            .filter(|(share, _)| *share <= SHOWN_SHARE);
        points
            .map(|(share, ms)| (ms.max(0.01), *share))
            .collect::<Vec<_>>()
    };
    let times = || rows().flat_map(shown).map(|(ms, _)| ms);
    let (least, most) = (
        times().fold(f64::MAX, f64::min),
        times().fold(1.0, f64::max),
    );
    let from = (least / 1.5).min(most / 2.0);
    let title = format!("{}: sent to final, distribution", comparison.scenario);
    let mut svg = String::new();
    draw_sized(&mut svg, (WIDTH, 480), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(&title, ("sans-serif", 22))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(60)
            .build_cartesian_2d((from..most * 1.5).log_scale(), 0.0..1.0)?;
        chart
            .configure_mesh()
            .x_desc("ms (logarithmic)")
            .y_desc("share of readings")
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (number, row) in rows().enumerate() {
            let colour = Palette99::pick(number).to_rgba();
            let line = LineSeries::new(shown(row), colour.stroke_width(2));
            chart
                .draw_series(line)?
                .label(row.label())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .border_style(GREY_600)
            .background_style(WHITE.mix(0.8))
            .draw()
    });
    svg
}

/// What happened with k = 0, 1, … failing members, one panel a way to fail.
pub fn tolerance(comparison: &Comparison) -> String {
    let of = |trouble: Trouble| -> Vec<&Curve> {
        let curves = comparison.tolerance.iter();
        curves.filter(|curve| curve.trouble == trouble).collect()
    };
    let rows = of(Trouble::Crashed).len() as u32;
    let panels = Trouble::ALL.len() as u32;
    let mut svg = String::new();
    draw_sized(&mut svg, (WIDTH, panels * (FRAME + ROW * rows)), |area| {
        let parts = area.split_evenly((Trouble::ALL.len(), 1));
        for (part, trouble) in parts.iter().zip(Trouble::ALL) {
            let curves = of(trouble);
            let title = format!(
                "{}: members {} (blue: safe and live, grey: stalled, red: forked, white: no evidence)",
                comparison.scenario,
                trouble.name()
            );
            panel(part, &title, &curves)?;
        }
        Ok(())
    });
    svg
}

type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn panel(area: &Panel<'_>, title: &str, curves: &[&Curve]) -> Drawn {
    let most = curves
        .iter()
        .map(|curve| curve.cells.len())
        .max()
        .unwrap_or(1);
    // The axis goes up, and tables go down.
    let upwards = || curves.iter().rev();
    let labels: Vec<&str> = upwards().map(|curve| curve.protocol.as_str()).collect();
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(190)
        .build_cartesian_2d(
            (0..most - 1).into_segmented(),
            (0..curves.len()).into_segmented(),
        )?;
    let label = |at: &SegmentValue<usize>| match at {
        SegmentValue::CenterOf(row) => {
            let label = labels.get(*row).copied();
            label.unwrap_or_default().to_owned()
        }
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .x_desc("failing members (k)")
        .y_label_formatter(&label)
        .y_labels(curves.len())
        .disable_mesh()
        .draw()?;
    let cells = upwards().enumerate().flat_map(|(row, curve)| {
        let cells = curve.cells.iter().enumerate();
        cells.filter_map(move |(k, cell)| Some((row, k, colour(*cell)?)))
    });
    chart.draw_series(cells.map(|(row, k, colour)| {
        let corners = [
            (SegmentValue::Exact(k), SegmentValue::Exact(row)),
            (SegmentValue::Exact(k + 1), SegmentValue::Exact(row + 1)),
        ];
        let mut rectangle = Rectangle::new(corners, colour.filled());
        rectangle.set_margin(2, 2, 2, 2);
        rectangle
    }))?;
    Ok(())
}

fn colour(cell: Cell) -> Option<RGBColor> {
    match cell {
        Cell::Good => Some(BLUE),
        Cell::Stalled => Some(GREY_300),
        Cell::Forked | Cell::ForkedAndStalled => Some(RED),
        Cell::Idle | Cell::NobodyHonest => None,
    }
}
