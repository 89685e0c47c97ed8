//! Another vocabulary for a base: which rows of its word table the rows of the new one are made of.

use bie::encode::Encoder;

/// The tokens of BERT with a role; they are matched by role, whatever their ids.
const ROLES: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// An exchange of vocabularies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exchange {
    /// For each new id the old ids whose mean its row is; all of them if there is none.
    pub rows: Vec<Vec<u32>>,
    /// New pieces that the old vocabulary has, special tokens included.
    pub shared: usize,
    /// New pieces that are made of old ones.
    pub composed: usize,
    /// New pieces of which the old vocabulary knows nothing.
    pub unknown: usize,
}

impl Exchange {
    /// A piece that both have keeps its row. Another is read by the old vocabulary as it would read that word or end of a word, longest
    /// piece first; its row will be the mean of these (as they are, else in lower case).
    pub fn new(old: &Encoder, new: &Encoder) -> Exchange {
        let mut exchange = Exchange::default();
        for id in 0..new.vocabulary_size() {
            let piece = u32::try_from(id).ok().and_then(|id| new.piece(id));
            let (from, count) = match piece.as_deref().map(|piece| (piece, old.special(piece))) {
                Some((_, Some(same))) => (vec![same], &mut exchange.shared),
                Some((piece, None)) if !ROLES.contains(&piece) => {
                    let parts =
                        decompose(piece, old).or_else(|| decompose(&piece.to_lowercase(), old));
                    match parts {
                        Some(parts) => (parts, &mut exchange.composed),
                        None => (Vec::new(), &mut exchange.unknown),
                    }
                }
                _ => (Vec::new(), &mut exchange.unknown),
            };
            *count += 1;
            exchange.rows.push(from);
        }
        exchange
    }

    /// The new table, of a table of rows of `width` values.
    pub fn apply(&self, table: &[f32], width: usize) -> Vec<f32> {
        let row = |id: &u32| table.chunks(width).nth(*id as usize);
        let centre = mean(table.chunks(width), width);
        self.rows
            .iter()
            .flat_map(|from| match from.as_slice() {
                [] => centre.clone(),
                [one] => row(one).map_or_else(|| centre.clone(), <[f32]>::to_vec),
                several => mean(several.iter().filter_map(row), width),
            })
            .collect()
    }
}

fn mean<'a>(rows: impl Iterator<Item = &'a [f32]>, width: usize) -> Vec<f32> {
    let (mut sum, mut count) = (vec![0f64; width], 0);
    for row in rows {
        count += 1;
        sum.iter_mut()
            .zip(row)
            .for_each(|(s, x)| *s += f64::from(*x));
    }
    let count = f64::from(count.max(1));
    sum.into_iter().map(|s| (s / count) as f32).collect()
}

/// The old pieces of a new one, if they cover it.
fn decompose(piece: &str, old: &Encoder) -> Option<Vec<u32>> {
    let (mut rest, mut continues) = match piece.strip_prefix("##") {
        Some(rest) if !rest.is_empty() => (rest, true),
        _ => (piece, false),
    };
    let mut ids = Vec::new();
    while !rest.is_empty() {
        let ends: Vec<usize> = rest
            .char_indices()
            .map(|(at, c)| at + c.len_utf8())
            .collect();
        let (id, end) = ends.into_iter().rev().find_map(|end| {
            let head = rest.get(..end)?;
            let id = if continues {
                old.special(&format!("##{head}"))
            } else {
                old.special(head)
            };
            Some((id?, end))
        })?;
        ids.push(id);
        rest = rest.get(end..)?;
        continues = true;
    }
    (!ids.is_empty()).then_some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(pieces: &str) -> Encoder {
        Encoder::from_vocab(&pieces.replace(' ', "\n"), true).unwrap()
    }

    #[test]
    fn rows_are_copied_composed_or_the_mean_of_all() {
        let old = encoder("[PAD] [UNK] x [CLS] [SEP] [MASK] clon ##idine ##id ##ine na");
        let new =
            encoder("[MASK] [SEP] [CLS] [UNK] [PAD] clonidine ##idine ##ineid na 漢 x clonx Na");
        let exchange = Exchange::new(&old, &new);
        assert_eq!(
            exchange.rows,
            [
                vec![5],
                vec![4],
                vec![3],
                vec![1],
                vec![0],
                vec![6, 7],
                vec![7],
                vec![9, 8],
                vec![10],
                vec![],
                vec![2],
                vec![],
                vec![10],
            ]
        );
        assert_eq!(
            (exchange.shared, exchange.composed, exchange.unknown),
            (8, 3, 2)
        );
        let table: Vec<f32> = (0..22u8).map(f32::from).collect();
        let applied = exchange.apply(&table, 2);
        assert_eq!(applied[..4], [10.0, 11.0, 8.0, 9.0]);
        assert_eq!(applied[10..12], [13.0, 14.0], "the mean of rows 6 and 7");
        assert_eq!(applied[18..20], [10.0, 11.0], "the mean of all rows");
    }

    #[test]
    fn the_same_vocabulary_changes_nothing() {
        let old = encoder("[PAD] [UNK] [CLS] [SEP] [MASK] a ##b c");
        let exchange = Exchange::new(&old, &old);
        let table: Vec<f32> = (0..24u8).map(f32::from).collect();
        assert_eq!(exchange.apply(&table, 3), table);
        assert_eq!(
            (exchange.shared, exchange.composed, exchange.unknown),
            (8, 0, 0)
        );
    }
}
