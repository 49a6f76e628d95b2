//! One object's time, and figures of many.

/// In seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// From its own creation to the end that the watching client saw.
    pub(crate) took: f64,
    /// To what is seen before the end, where something is.
    pub(crate) before: Option<f64>,
    /// The end, from when the first of its batch was created.
    pub(crate) ended: f64,
}

/// Sorted.
pub(crate) struct Values(Vec<f64>);

impl Values {
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn took(samples: &[Sample]) -> Self {
        Self::new(samples.iter().map(|sample| sample.took))
    }

    /// NaN where there is no value, which tables show as it is.
    pub(crate) fn quantile(&self, percent: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last * percent).div_ceil(100)).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(50)
    }

    pub(crate) fn max(&self) -> f64 {
        self.quantile(100)
    }

    pub(crate) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / count(self.0.len())
    }

    pub(crate) fn sorted(&self) -> &[f64] {
        &self.0
    }
}

/// How many ended in a second, from the first creation to the last end.
pub(crate) fn rate(samples: &[Sample]) -> f64 {
    count(samples.len()) / Values::new(samples.iter().map(|sample| sample.ended)).max()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark fit")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}
