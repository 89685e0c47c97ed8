//! The order in which an epoch visits the items.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::Item;

/// Items are sorted by length within so many batches: batches of similar length, and still a fresh order every epoch.
const BUCKET: usize = 8;

/// The batches of one epoch: exactly `batch` items of similar length each (one may be short), as indices into `items`.
///
/// The order depends on nothing but the arguments, so a resumed run sees the same batches.
pub fn epoch_batches(items: &[Item], batch: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let lengths: Vec<usize> = items.iter().map(|item| item.ids.len()).collect();
    batches(&lengths, batch.max(1), seed, epoch)
}

pub(crate) fn batches(lengths: &[usize], batch: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(epoch);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.shuffle(&mut random);
    for bucket in order.chunks_mut(batch * BUCKET) {
        bucket.sort_by_key(|item| lengths.get(*item));
    }
    let mut batches: Vec<Vec<usize>> = order.chunks(batch).map(<[usize]>::to_vec).collect();
    batches.shuffle(&mut random);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn batches_hold_items_of_similar_length() {
        let lengths: Vec<usize> = (0..800).map(|n| n * 7919 % 500).collect();
        let spread = |batch: &Vec<usize>| {
            batch.iter().map(|i| lengths[*i]).max().unwrap()
                - batch.iter().map(|i| lengths[*i]).min().unwrap()
        };
        let order = batches(&lengths, 8, 1, 0);
        let mean = order.iter().map(spread).sum::<usize>() / order.len();
        assert!(
            mean < 100,
            "unsorted batches of 8 spread over some 390: {mean}"
        );
    }

    proptest! {
        #[test]
        fn an_epoch_holds_every_item_once_and_depends_on_seed_and_epoch_alone(
            lengths in prop::collection::vec(3usize..512, 0..200), batch in 1usize..9, seed in any::<u64>(), epoch in 0u64..9
        ) {
            let order = batches(&lengths, batch, seed, epoch);
            let mut all: Vec<usize> = order.concat();
            all.sort();
            prop_assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
            prop_assert!(order.iter().filter(|b| b.len() != batch).count() <= 1);
            prop_assert_eq!(&order, &batches(&lengths, batch, seed, epoch));
            if lengths.len() > 50 {
                prop_assert_ne!(order, batches(&lengths, batch, seed, epoch + 1));
            }
        }
    }
}
