//! Leave-one-out: the score that is lost when one player is deleted (Zeiler and Fergus 2014; Li, Monroe and Jurafsky 2016).

use super::memo::Memo;
use super::{Game, Weights};
use crate::error::Result;

/// Each player's weight: the value of all players less the value of all others. Costs one evaluation a player and two more, for all decisions.
///
/// # Errors
/// Those of [`Game::values`].
pub fn weights<G: Game + ?Sized>(game: &mut G) -> Result<Weights> {
    let mut memo = Memo::new(game);
    let n = memo.players();
    let mut coalitions = vec![vec![true; n], vec![false; n]];
    coalitions.extend((0..n).map(|player| (0..n).map(|p| p != player).collect()));
    let mut rows = memo.rows(&coalitions)?.into_iter();
    let full = rows.next().unwrap_or_default();
    let empty = rows.next().unwrap_or_default();
    let mut weights = vec![Vec::with_capacity(n); memo.decisions()];
    for without in rows {
        for ((weights, full), without) in weights.iter_mut().zip(&full).zip(without) {
            weights.push(full - without);
        }
    }
    Ok(Weights::measured(weights, full, empty, memo.evaluations()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::game::tests::Fn;

    #[test]
    fn the_weight_is_what_is_lost() {
        // Decision 0: 0 and 1 are only worth something together, 2 harms. Decision 1: all players equal.
        let mut game = Fn::new(3, 2, |c: &[bool]| match c {
            [a, b, c] => {
                let on = |p: bool| f64::from(u8::from(p));
                vec![on(*a && *b) * 0.8 - on(*c) * 0.1, on(*a) + on(*b) + on(*c)]
            }
            _ => unreachable!(),
        });
        let found = weights(&mut game).unwrap();
        let expected = [[0.8, 0.8, -0.1], [1.0, 1.0, 1.0]];
        for (row, expected) in found.weights.iter().zip(expected) {
            assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
        }
        assert_eq!(found.full, [0.8 - 0.1, 3.0]);
        assert_eq!(found.empty, [0.0, 0.0]);
        assert_eq!((found.evaluations, found.cut_short), (5, false));
    }

    #[test]
    fn a_lone_player_costs_two() {
        let mut game = Fn::new(1, 1, |c: &[bool]| vec![if c == [true] { 0.9 } else { 0.2 }]);
        let found = weights(&mut game).unwrap();
        assert!((found.weights[0][0] - 0.7).abs() < 1e-12);
        assert_eq!(found.evaluations, 2);
        let mut nobody = Fn::new(0, 1, |_: &[bool]| vec![0.4]);
        let found = weights(&mut nobody).unwrap();
        assert_eq!(found.weights, [[0.0; 0]]);
        assert_eq!((found.full, found.empty), (vec![0.4], vec![0.4]));
    }
}
