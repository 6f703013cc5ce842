//! Latency over offered load, up to where it breaks.

use plotters::{
    prelude::*,
    style::full_palette::{GREY_600, ORANGE_700},
};

use super::plot::draw;
use crate::{
    knee::{Knee, Probe},
    metrics::units,
};

/// Median and 99th percentile of each probe, with the bound and the knee. What never ended is not drawn:
/// its curve leaves through the top.
pub(super) fn latency_over_load(knee: &Knee) -> String {
    let bound_ms = knee.p99_bound_ms as f64;
    let rates = || knee.probes.iter().map(|probe| probe.offered_per_s);
    let low = rates().fold(f64::MAX, f64::min) / 1.3;
    let high = rates().fold(1.0, f64::max) * 1.3;
    let top = bound_ms * 1.5;
    let curve = |of: fn(&Probe) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = knee.probes.iter().map(move |probe| {
            let ms = of(probe).unwrap_or(f64::MAX);
            (probe.offered_per_s, ms.min(top))
        });
        points.collect()
    };
    let title = format!(
        "{} with {}, {}: latency over load",
        knee.scenario,
        knee.protocol,
        units::counted(knee.validators as u64, "validator")
    );
    let mut svg = String::new();
    draw(&mut svg, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(&title, ("sans-serif", 22))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d((low..high).log_scale(), 0.0..top)?;
        chart
            .configure_mesh()
            .x_desc("offered transactions a second (logarithmic)")
            .y_desc("due to final (ms)")
            .light_line_style(TRANSPARENT)
            .draw()?;
        let lines = [
            ("99th percentile", curve(|probe| probe.p99_ms), ORANGE_700),
            ("median", curve(|probe| probe.p50_ms), BLUE),
        ];
        for (label, points, colour) in lines {
            chart
                .draw_series(LineSeries::new(points, &colour).point_size(3))?
                .label(label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
        }
        chart
            .draw_series(LineSeries::new([(low, bound_ms), (high, bound_ms)], &RED))?
            .label("bound")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], RED));
        if let Some(knee) = knee.knee_per_s {
            chart
                .draw_series(LineSeries::new([(knee, 0.0), (knee, top)], &GREY_600))?
                .label(format!("knee: {}/s", units::amount(knee)))
                .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], GREY_600));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .border_style(GREY_600)
            .background_style(WHITE.mix(0.8))
            .draw()
    });
    svg
}
