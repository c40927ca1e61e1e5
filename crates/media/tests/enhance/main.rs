//! Echo, noise and gain in simulated rooms: the chain by itself, and in calls whose threads are played in virtual time.

mod call;
mod echo;
mod howling;

/// RMS level in dBFS; -120 at least.
fn level(sound: &[f32]) -> f64 {
    let power =
        sound.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / sound.len().max(1) as f64;
    10.0 * power.max(1e-12).log10()
}
