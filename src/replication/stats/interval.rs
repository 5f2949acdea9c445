//! Confidence intervals of rates of rare events.

/// Bounds of a sum of weights of events, each of which happens by itself, at 95 % (Fay and Feuer, 1997).
///
/// With equal weights they are the exact bounds of a Poisson count. With none seen the upper one is that of a count of
/// zero, of which each may have weighed `largest`, one-sided.
pub(super) fn of_weights(sum: f64, squares: f64, largest: f64) -> (f64, f64) {
    if sum <= 0.0 {
        return (0.0, largest * ZERO_SEEN);
    }
    let low = squares / sum * gamma_quantile(sum * sum / squares, 0.025);
    let (more, more_squares) = (sum + largest, squares + largest * largest);
    (low, more_squares / more * gamma_quantile(more * more / more_squares, 0.975))
}

/// Events that are expected where none is seen in one of twenty cases: `-ln 0.05`.
const ZERO_SEEN: f64 = 2.995_732_273_553_991;

/// Quantile of the gamma distribution with this shape and scale 1; `part` is 0.025 or 0.975.
fn gamma_quantile(shape: f64, part: f64) -> f64 {
    /// Where the normal distribution has 97.5 % below it.
    const NORMAL: f64 = 1.959_963_984_540_054;
    if shape > 200.0 {
        // Wilson and Hilferty; off by less than 1e-5 of the quantile here.
        let normal = if part < 0.5 { -NORMAL } else { NORMAL };
        let root = 1.0 - 1.0 / (9.0 * shape) + normal / (3.0 * libm::sqrt(shape));
        return shape * root * root * root;
    }
    let (mut low, mut high) = (0.0, 2.0 * shape + 20.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if gamma_below(shape, middle) < part { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// Regularised lower incomplete gamma function, by its series.
fn gamma_below(shape: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let mut term = 1.0 / shape;
    let mut sum = term;
    let mut next = shape;
    while term > sum * 1e-15 {
        next += 1.0;
        term *= x / next;
        sum += term;
    }
    (sum * libm::exp(shape * libm::log(x) - x - libm::lgamma(shape))).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_bounds_of_the_tables() {
        // Garwood's exact bounds of Poisson counts.
        let table = [(1.0, 0.0253, 5.572), (3.0, 0.6187, 8.767), (10.0, 4.795, 18.390), (100.0, 81.364, 121.627)];
        for (count, low, high) in table {
            let (found_low, found_high) = of_weights(count, count, 1.0);
            assert!((found_low / low - 1.0).abs() < 1e-3, "{count}: {found_low}");
            assert!((found_high / high - 1.0).abs() < 1e-3, "{count}: {found_high}");
        }
    }

    #[test]
    fn both_ways_to_the_quantile_agree() {
        for part in [0.025, 0.975] {
            let (below, above) = (gamma_quantile(200.0, part), gamma_quantile(200.0 + 1e-6, part));
            assert!((below / above - 1.0).abs() < 1e-5, "{part}: {below} {above}");
        }
    }

    #[test]
    fn weights_scale() {
        let (low, high) = of_weights(10.0, 10.0, 1.0);
        let (small_low, small_high) = of_weights(10.0 * 1e-6, 10.0 * 1e-12, 1e-6);
        assert!((small_low / low / 1e-6 - 1.0).abs() < 1e-9 && (small_high / high / 1e-6 - 1.0).abs() < 1e-9);
        assert!((of_weights(0.0, 0.0, 1.0).1 - 2.9957).abs() < 1e-4);
    }
}
