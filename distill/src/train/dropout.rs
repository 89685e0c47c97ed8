//! Dropout masks (Srivastava et al. 2014), derived from seed and step alone: a resumed run draws what the unbroken one would.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Fills `masks` with `count` masks of equal length: 0 with probability `p` (to 1/256), else 1/(1−p).
pub fn fill(
    masks: &mut Vec<f32>,
    count: usize,
    length: usize,
    p: f32,
    seed: u64,
    step: u64,
    threads: usize,
) {
    masks.clear();
    masks.resize(count * length, 0.0);
    if masks.is_empty() {
        return;
    }
    let dropped = (p * 256.0).round().clamp(0.0, 255.0) as u8;
    let kept = 256.0 / (256.0 - f32::from(dropped));
    let mut each: Vec<(u64, &mut [f32])> = (0..).zip(masks.chunks_mut(length)).collect();
    let share = each.len().div_ceil(threads.max(1));
    std::thread::scope(|scope| {
        for some in each.chunks_mut(share) {
            scope.spawn(move || {
                for (index, mask) in some {
                    let mut random = ChaCha8Rng::seed_from_u64(seed);
                    random.set_stream(step * count as u64 + *index);
                    let mut bytes = [0u8; 4096];
                    for block in mask.chunks_mut(bytes.len()) {
                        random.fill_bytes(&mut bytes);
                        for (x, &byte) in block.iter_mut().zip(&bytes) {
                            *x = if byte < dropped { 0.0 } else { kept };
                        }
                    }
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_the_mean_and_depend_on_seed_and_step_alone() {
        let draw = |seed, step, threads| {
            let mut m = Vec::new();
            fill(&mut m, 3, 10_000, 0.1, seed, step, threads);
            m
        };
        let a = draw(1, 5, 1);
        let zeros = a.iter().filter(|&&x| x == 0.0).count();
        assert!((2700..3400).contains(&zeros), "{zeros} of 30000 dropped");
        let mean = a.iter().sum::<f32>() / a.len() as f32;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert_eq!(a, draw(1, 5, 2), "threads do not matter");
        assert_ne!(a, draw(1, 6, 1));
        assert_ne!(a, draw(2, 5, 1));
        assert_ne!(a[..10_000], a[10_000..20_000], "masks of one step differ");
    }
}
