//! HdrHistogram's percentile text format, which its plotter and most dashboards read.

use std::fmt::Write as _;

use crate::metrics::latency::Latency;

/// Lines for each halving of the distance to 100 %.
const TICKS_PER_HALF_DISTANCE: u32 = 5;
/// Values are stored in microseconds and written in milliseconds.
const US_PER_MS: f64 = 1000.0;

/// The distribution in milliseconds.
pub fn render(latency: &Latency) -> String {
    let histogram = latency.histogram();
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / US_PER_MS;
        let quantile = step.quantile_iterated_to();
        write!(text, "{value:12.3} {quantile:2.12} {total:10}").expect("a string takes it");
        if quantile < 1.0 {
            write!(text, " {:14.2}", 1.0 / (1.0 - quantile)).expect("a string takes it");
        }
        text.push('\n');
    }
    let (mean, deviation) = (histogram.mean() / US_PER_MS, histogram.stdev() / US_PER_MS);
    let max = histogram.max() as f64 / US_PER_MS;
    writeln!(
        text,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]\n\
         #[Max     = {max:12.3}, Total count    = {:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.len(),
        histogram.buckets(),
        // Twice the range of the significant digits, rounded up to a power of two.
        (2 * 10u64.pow(u32::from(histogram.sigfig()))).next_power_of_two()
    )
    .expect("a string takes it");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    #[test]
    fn the_last_line_is_the_maximum_at_one_hundred_per_cent() {
        let mut latency = Latency::default();
        for ms in 1..=1000 {
            latency.record(Time(0), Time(ms * 1_000_000));
        }
        let text = render(&latency);
        let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        let last = lines.last().expect("lines");
        let cells: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(cells.len(), 3, "no 1/(1-p) at one hundred per cent: {last}");
        assert_eq!(cells[1..], ["1.000000000000", "1000"]);
        assert!((cells[0].parse::<f64>().expect("a number") - 1000.0).abs() < 1.0);
        let median = lines
            .iter()
            .find(|line| line.contains("0.500000000000"))
            .expect("the median has a line");
        assert!(median.trim_start().starts_with("500."), "{median}");
    }
}
