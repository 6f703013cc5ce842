//! Plots as SVG: text stays text, so no font of this machine is needed.

use plotters::{
    coord::Shift,
    prelude::*,
    style::full_palette::{GREY_600, ORANGE_700},
};

use crate::{
    metrics::{finish::GoldenTrack, latency::Latencies, units},
    time::Time,
};

const SIZE: (u32, u32) = (960, 480);
/// Points of a curve over time: one a bin.
const BINS: usize = 240;

pub(super) type Drawn<T> = Result<T, DrawingAreaErrorKind<std::io::Error>>;

/// How time is written on an axis that is this long.
#[derive(Clone, Copy, Debug)]
struct Axis {
    unit: &'static str,
    ns: f64,
}

impl Axis {
    fn for_length(length: Time) -> Self {
        const S: f64 = 1e9;
        match length.0 as f64 {
            long if long >= 3.0 * 3600.0 * S => Self {
                unit: "h",
                ns: 3600.0 * S,
            },
            middle if middle >= 180.0 * S => Self {
                unit: "min",
                ns: 60.0 * S,
            },
            _ => Self { unit: "s", ns: S },
        }
    }

    fn of(self, at: Time) -> f64 {
        at.0 as f64 / self.ns
    }

    fn title(self) -> String {
        format!("virtual time ({})", self.unit)
    }
}

/// Latency over time, by the instant that a transaction was due: median and slowest of each bin.
pub fn latency_over_time(title: &str, latencies: &Latencies, end: Time) -> String {
    let axis = Axis::for_length(end);
    let bins = binned(latencies, end);
    let top = bins.iter().map(|bin| bin.slowest_ms).fold(1.0, f64::max);
    let mut svg = String::new();
    draw(&mut svg, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 22))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d(0.0..axis.of(end), 0.0..top * 1.05)?;
        chart
            .configure_mesh()
            .x_desc(axis.title())
            .y_desc("due to final (ms)")
            .light_line_style(TRANSPARENT)
            .draw()?;
        let curve = |of: fn(&Bin) -> f64| {
            bins.iter()
                .map(move |bin| (axis.of(bin.at), of(bin)))
                .collect::<Vec<_>>()
        };
        chart
            .draw_series(LineSeries::new(curve(|bin| bin.slowest_ms), &ORANGE_700))?
            .label("slowest")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], ORANGE_700));
        chart
            .draw_series(LineSeries::new(curve(|bin| bin.median_ms), &BLUE))?
            .label("median")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLUE));
        chart
            .configure_series_labels()
            .border_style(GREY_600)
            .background_style(WHITE.mix(0.8))
            .draw()
    });
    svg
}

struct Bin {
    at: Time,
    median_ms: f64,
    slowest_ms: f64,
}

fn binned(latencies: &Latencies, end: Time) -> Vec<Bin> {
    let width = (end.0 / BINS as u64).max(1);
    let mut bins: Vec<Vec<u64>> = vec![Vec::new(); BINS + 1];
    for (due, us) in &latencies.points {
        bins[((due.0 / width) as usize).min(BINS)].push(*us);
    }
    bins.into_iter()
        .enumerate()
        .filter(|(_, values)| !values.is_empty())
        .map(|(number, mut values)| {
            values.sort_unstable();
            Bin {
                at: Time(number as u64 * width + width / 2),
                median_ms: values[values.len() / 2] as f64 / 1000.0,
                slowest_ms: values[values.len() - 1] as f64 / 1000.0,
            }
        })
        .collect()
}

/// The golden package's temperature as the ledger has it, with the limits of its contract.
pub fn golden_temperature(track: &GoldenTrack, end: Time) -> String {
    let axis = Axis::for_length(end);
    let degrees = |tenths: i64| tenths as f64 / 10.0;
    let (min, max) = (
        degrees(track.terms.min_temperature_dc),
        degrees(track.terms.max_temperature_dc),
    );
    let points: Vec<(f64, f64)> = track
        .readings
        .iter()
        .map(|(due, temperature_dc, _)| (axis.of(*due), degrees(*temperature_dc)))
        .collect();
    let low = points.iter().map(|(_, c)| *c).fold(min, f64::min) - 1.0;
    let high = points.iter().map(|(_, c)| *c).fold(max, f64::max) + 1.0;
    let title = format!("{}: temperature on the ledger", track.package);
    let limits = format!(
        "limits {} and {} °C",
        units::tenths(track.terms.min_temperature_dc),
        units::tenths(track.terms.max_temperature_dc)
    );
    let mut svg = String::new();
    draw(&mut svg, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(&title, ("sans-serif", 22))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..axis.of(end), low..high)?;
        chart
            .configure_mesh()
            .x_desc(axis.title())
            .y_desc("temperature (°C)")
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (number, limit) in [max, min].into_iter().enumerate() {
            let line = [(0.0, limit), (axis.of(end), limit)];
            let series = chart.draw_series(LineSeries::new(line, &RED))?;
            if number == 0 {
                series
                    .label(&limits)
                    .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], RED));
            }
        }
        chart
            .draw_series(LineSeries::new(points.clone(), &BLUE).point_size(2))?
            .label("executed reading")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLUE));
        chart
            .configure_series_labels()
            .border_style(GREY_600)
            .background_style(WHITE.mix(0.8))
            .draw()
    });
    svg
}

pub(super) fn draw<'a>(
    svg: &'a mut String,
    paint: impl FnOnce(&DrawingArea<SVGBackend<'a>, Shift>) -> Drawn<()>,
) {
    draw_sized(svg, SIZE, paint);
}

/// Draws an SVG of so many pixels.
pub(super) fn draw_sized<'a>(
    svg: &'a mut String,
    size: (u32, u32),
    paint: impl FnOnce(&DrawingArea<SVGBackend<'a>, Shift>) -> Drawn<()>,
) {
    let area = SVGBackend::with_string(svg, size).into_drawing_area();
    area.fill(&WHITE)
        .and_then(|()| paint(&area))
        .and_then(|()| area.present())
        .expect("drawing into a string does not fail");
}
