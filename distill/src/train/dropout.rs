//! Dropout masks (Srivastava et al. 2014), derived from seed and window alone: a resumed run draws what the unbroken one would, and a step
//! that is computed in parts what it would draw as a whole.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Which masks are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// Masks of one window.
    pub count: usize,
    /// Windows in the batch.
    pub batch: usize,
    /// Tokens of a window.
    pub length: usize,
    /// Units of a token.
    pub width: usize,
    /// Probability of 0 (to 1/256).
    pub p: f32,
    /// Of the run.
    pub seed: u64,
    /// Number of the batch's first window among all that the run reads.
    pub window: u64,
}

/// Fills `masks` with [`Draw::count`] masks `[length, batch, width]`: 0 with probability p, else 1/(1−p). What a window gets depends neither on the
/// windows beside it nor, up to its length, on how far it is padded.
pub fn fill(masks: &mut Vec<f32>, draw: Draw, threads: usize) {
    let (row, length) = (draw.batch * draw.width, draw.length);
    masks.resize(draw.count * length * row, 0.0);
    if masks.is_empty() {
        return;
    }
    let dropped = (draw.p * 256.0).round().clamp(0.0, 255.0) as u8;
    let kept = 256.0 / (256.0 - f32::from(dropped));
    let mut each: Vec<(u64, &mut [f32])> = (0..).zip(masks.chunks_mut(length * row)).collect();
    let fill = |some: &mut [(u64, &mut [f32])]| {
        let mut bytes = vec![0u8; draw.width];
        for (index, mask) in some {
            for b in 0..draw.batch {
                let mut random = ChaCha8Rng::seed_from_u64(draw.seed);
                let window = draw.window + b as u64;
                random.set_stream(window * draw.count as u64 + *index);
                let tokens = mask.chunks_mut(draw.width).skip(b).step_by(draw.batch);
                for token in tokens {
                    random.fill_bytes(&mut bytes);
                    for (x, &byte) in token.iter_mut().zip(&bytes) {
                        *x = if byte < dropped { 0.0 } else { kept };
                    }
                }
            }
        }
    };
    if threads <= 1 {
        return fill(&mut each);
    }
    let share = each.len().div_ceil(threads);
    std::thread::scope(|scope| {
        for some in each.chunks_mut(share) {
            scope.spawn(|| fill(some));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAW: Draw = Draw {
        count: 3,
        batch: 2,
        length: 50,
        width: 100,
        p: 0.1,
        seed: 1,
        window: 10,
    };

    fn drawn(draw: Draw, threads: usize) -> Vec<f32> {
        let mut masks = vec![7.0; 5];
        fill(&mut masks, draw, threads);
        masks
    }

    #[test]
    fn masks_keep_the_mean_and_depend_on_seed_and_window_alone() {
        let a = drawn(DRAW, 1);
        assert_eq!(a.len(), 30_000);
        let zeros = a.iter().filter(|&&x| x == 0.0).count();
        assert!((2700..3400).contains(&zeros), "{zeros} of 30000 dropped");
        let mean = a.iter().sum::<f32>() / a.len() as f32;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert_eq!(a, drawn(DRAW, 2), "threads do not matter");
        assert_ne!(a, drawn(Draw { window: 11, ..DRAW }, 1));
        assert_ne!(a, drawn(Draw { seed: 2, ..DRAW }, 1));
        assert_ne!(a[..10_000], a[10_000..20_000], "masks of one step differ");
        assert_ne!(a[..100], a[100..200], "masks of two windows differ");
    }

    #[test]
    fn a_window_has_its_mask_wherever_it_is_read() {
        let whole = drawn(DRAW, 1);
        let shorter = Draw {
            batch: 1,
            length: 40,
            window: 11,
            ..DRAW
        };
        for (alone, both) in drawn(shorter, 1)
            .chunks(40 * 100)
            .zip(whole.chunks(50 * 200))
        {
            let second = both.chunks(100).skip(1).step_by(2).take(40);
            assert!(alone.chunks(100).eq(second));
        }
    }
}
