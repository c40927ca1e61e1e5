//! Normalised cross-correlation of a short window against a longer stretch.

use std::collections::HashMap;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// Heard windows quieter than this share of the spoken window's energy are not scaled up further, so that silence
/// correlates with nothing.
const ENERGY_FLOOR: f64 = 1e-3;

/// Finds windows in stretches; keeps the transforms it has planned.
pub(super) struct Correlator {
    planner: RealFftPlanner<f32>,
    planned: HashMap<usize, Transforms>,
}

#[derive(Clone)]
struct Transforms {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

/// Where a window fits best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Match {
    /// Samples from the stretch's beginning, with a fraction (parabola through the peak).
    pub(super) shift: f64,
    /// Normalised correlation at the peak, -1..=1.
    pub(super) ncc: f64,
}

impl Correlator {
    pub(super) fn new() -> Self {
        Self { planner: RealFftPlanner::new(), planned: HashMap::new() }
    }

    /// The best place of `window` within `stretch`; `None` when the stretch is shorter or the window silent.
    pub(super) fn best_match(&mut self, window: &[f32], stretch: &[f32]) -> Option<Match> {
        let energy = energy(window);
        if stretch.len() < window.len() || energy <= 0.0 {
            return None;
        }
        let raw = self.correlate(window, stretch);
        let mut under = self::energy(&stretch[..window.len()]);
        let mut ncc = Vec::with_capacity(raw.len());
        for (shift, value) in raw.iter().enumerate() {
            ncc.push(f64::from(*value) / (energy * under.max(energy * ENERGY_FLOOR)).sqrt());
            if let Some(entering) = stretch.get(shift + window.len()) {
                under += f64::from(*entering).powi(2) - f64::from(stretch[shift]).powi(2);
            }
        }
        let peak = (0..ncc.len()).max_by(|&a, &b| ncc[a].total_cmp(&ncc[b]))?;
        let (offset, height) = vertex(&ncc, peak);
        Some(Match { shift: peak as f64 + offset, ncc: height.clamp(-1.0, 1.0) })
    }

    /// Inner product of the window with the stretch at every shift.
    fn correlate(&mut self, window: &[f32], stretch: &[f32]) -> Vec<f32> {
        let size = stretch.len().next_power_of_two().max(2);
        let planner = &mut self.planner;
        let transforms = self.planned.entry(size).or_insert_with(|| Transforms {
            forward: planner.plan_fft_forward(size),
            inverse: planner.plan_fft_inverse(size),
        });
        let window_spectrum = transforms.spectrum(window, size);
        let mut product = transforms.spectrum(stretch, size);
        for (bin, window_bin) in product.iter_mut().zip(&window_spectrum) {
            *bin *= window_bin.conj();
        }
        let mut result = transforms.inverted(&mut product, size);
        // Shifts beyond these wrap around; the transform is as long as the stretch, so those kept do not.
        result.truncate(stretch.len() - window.len() + 1);
        result
    }
}

impl Transforms {
    fn spectrum(&self, samples: &[f32], size: usize) -> Vec<Complex<f32>> {
        let mut padded = vec![0.0; size];
        padded[..samples.len()].copy_from_slice(samples);
        let mut spectrum = self.forward.make_output_vec();
        // Cannot fail: both buffers were made for this transform.
        let _ = self.forward.process(&mut padded, &mut spectrum);
        spectrum
    }

    fn inverted(&self, spectrum: &mut [Complex<f32>], size: usize) -> Vec<f32> {
        let mut samples = self.inverse.make_output_vec();
        for edge in [0, spectrum.len() - 1] {
            spectrum[edge].im = 0.0;
        }
        // Cannot fail: the buffers were made for this transform and the edge bins are real.
        let _ = self.inverse.process(spectrum, &mut samples);
        samples.iter().map(|sample| sample / size as f32).collect()
    }
}

pub(super) fn energy(samples: &[f32]) -> f64 {
    samples.iter().map(|sample| f64::from(*sample).powi(2)).sum()
}

/// Offset of the true peak from sample `peak`, in -0.5..=0.5, and its height: the vertex of a parabola.
fn vertex(values: &[f64], peak: usize) -> (f64, f64) {
    let middle = values[peak];
    if peak == 0 || peak + 1 >= values.len() {
        return (0.0, middle);
    }
    let (left, right) = (values[peak - 1], values[peak + 1]);
    let curvature = left - 2.0 * middle + right;
    if curvature >= 0.0 {
        return (0.0, middle);
    }
    let offset = (0.5 * (left - right) / curvature).clamp(-0.5, 0.5);
    (offset, middle - 0.25 * (left - right) * offset)
}
