//! Explanations as C reads them: frozen records, canonical JSON.

use std::ffi::c_char;
use std::ptr;
use std::sync::OnceLock;

use super::args::{self, Text, array, lend, put};
use super::guard::guard;
use super::result::lend_array;
use crate::Explanation;
use crate::explain::{Evidence, Method};

/// Why one decision was made. Immutable: may be read by many threads.
///
/// Owns all it returns and points into no engine, result, options or text: free them in any order.
pub struct bie_explanation {
    summary: bie_summary,
    words: Box<[bie_word]>,
    evidence_for: Box<[bie_evidence]>,
    evidence_against: Box<[bie_evidence]>,
    explanation: Explanation,
    json: OnceLock<Text>,
}

/// How words were weighed; the names are those of the option `method`. Numbers are never changed or reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum bie_method {
    /// Never in a result: the method that `auto` chose is.
    BIE_METHOD_AUTO = 0,
    /// Attention: of a relation the pair's, of an entity the last layer's.
    BIE_METHOD_ATTENTION = 1,
    /// Attention through all layers: a view, known to explain little.
    BIE_METHOD_ATTENTION_ROLLOUT = 2,
    /// Gradient at the embedding times the embedding.
    BIE_METHOD_INPUT_X_GRADIENT = 3,
    /// Attention times input times gradient.
    BIE_METHOD_ATTENTION_X_GRADIENT = 4,
    /// Integrated gradients.
    BIE_METHOD_INTEGRATED_GRADIENTS = 5,
    /// The score lost when a word is deleted.
    BIE_METHOD_OCCLUSION = 6,
    /// Shapley values.
    BIE_METHOD_SHAP = 7,
    /// A linear model of sampled deletions.
    BIE_METHOD_LIME = 8,
    /// The gradient half way to the baseline proposes words, deleting them disposes. What `auto` takes for words.
    BIE_METHOD_GUIDED_OCCLUSION = 9,
}

impl From<Method> for bie_method {
    fn from(method: Method) -> bie_method {
        match method {
            Method::Auto => bie_method::BIE_METHOD_AUTO,
            Method::Attention => bie_method::BIE_METHOD_ATTENTION,
            Method::AttentionRollout => bie_method::BIE_METHOD_ATTENTION_ROLLOUT,
            Method::InputXGradient => bie_method::BIE_METHOD_INPUT_X_GRADIENT,
            Method::AttentionXGradient => bie_method::BIE_METHOD_ATTENTION_X_GRADIENT,
            Method::IntegratedGradients => bie_method::BIE_METHOD_INTEGRATED_GRADIENTS,
            Method::Occlusion => bie_method::BIE_METHOD_OCCLUSION,
            Method::Shap => bie_method::BIE_METHOD_SHAP,
            Method::Lime => bie_method::BIE_METHOD_LIME,
            Method::GuidedOcclusion => bie_method::BIE_METHOD_GUIDED_OCCLUSION,
        }
    }
}

/// The figures of an explanation. This record never changes.
///
/// "Value" is the score, or the score minus the rival's where a rival was named. What was not asked for or does not
/// apply is NaN.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct bie_summary {
    /// The method that was used.
    pub method: bie_method,
    /// 1 if `auto` chose it, else 0.
    pub chosen: u32,
    /// 1 if deleting the evidence moves the value by less than a tenth of it: do not show this as a reason. Else 0.
    pub unreliable: u32,
    /// 1 if the time budget ended the work early, so that an equal call may give other weights. Else 0.
    pub cut_short: u32,
    /// Probability of the decision, as `bie_extract` reports it, 0 to 1.
    pub score: f32,
    /// Probability of the rival, or NaN.
    pub rival_score: f32,
    /// The value with every word deleted.
    pub baseline_score: f32,
    /// The value without the evidence that speaks for the decision.
    pub without_evidence: f32,
    /// How far the sum of all weights is from the value minus its baseline, as a share of that; NaN for methods that
    /// do not claim it.
    pub completeness_error: f32,
    /// Of LIME: R² of its linear model, at most 1; else NaN.
    pub fit: f32,
    /// Mean loss of value when the heaviest words are deleted, higher is better; NaN without the option `faithfulness`.
    pub comprehensiveness: f32,
    /// Mean loss of value when only they are kept, lower is better; NaN without the option `faithfulness`.
    pub sufficiency: f32,
    /// `comprehensiveness` of as many random words, or NaN.
    pub random_comprehensiveness: f32,
    /// `sufficiency` of as many random words, or NaN.
    pub random_sufficiency: f32,
    /// What it cost, in forward passes of the window.
    pub evaluations: u32,
    /// 0.
    pub reserved: [u32; 5],
}

/// What one word has to do with a decision. This record never changes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct bie_word {
    /// First position, in the unit of the result that was explained.
    pub start: u32,
    /// One past the last position.
    pub end: u32,
    /// How much the word speaks for the decision (positive) or against it (negative), in the method's own scale.
    pub weight: f32,
    /// Standard error of the weight where the method samples, else 0.
    pub standard_error: f32,
    /// 1 if the word belongs to the entity, or to a mention of either end of the relation; else 0.
    pub in_target: u32,
    /// 0.
    pub reserved: [u32; 3],
}

/// A piece of the text that speaks for or against a decision. This record never changes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct bie_evidence {
    /// First position, in the unit of the result that was explained.
    pub start: u32,
    /// One past the last position.
    pub end: u32,
    /// Sum of the weights of its words.
    pub weight: f32,
    /// 0.
    pub reserved: u32,
}

// The records are frozen; the C side asserts the same in tests/c/layout.c.
const _: () = assert!(size_of::<bie_summary>() == 80 && align_of::<bie_summary>() == 4);
const _: () = assert!(size_of::<bie_word>() == 32 && align_of::<bie_word>() == 4);
const _: () = assert!(size_of::<bie_evidence>() == 16 && align_of::<bie_evidence>() == 4);

impl bie_explanation {
    pub(super) fn new(explanation: Explanation) -> bie_explanation {
        let word = |word: &crate::explain::Word| bie_word {
            start: word.start,
            end: word.end,
            weight: word.weight,
            standard_error: word.standard_error,
            in_target: word.in_target.into(),
            reserved: [0; 3],
        };
        let evidence = |evidence: &Evidence| bie_evidence {
            start: evidence.start,
            end: evidence.end,
            weight: evidence.weight,
            reserved: 0,
        };
        let or_nan = |value: Option<f32>| value.unwrap_or(f32::NAN);
        let measured = explanation.faithfulness;
        bie_explanation {
            summary: bie_summary {
                method: explanation.method.into(),
                chosen: explanation.chosen.into(),
                unreliable: explanation.unreliable.into(),
                cut_short: explanation.cut_short.into(),
                score: explanation.score,
                rival_score: or_nan(explanation.rival_score),
                baseline_score: explanation.baseline_score,
                without_evidence: explanation.without_evidence,
                completeness_error: or_nan(explanation.completeness_error),
                fit: or_nan(explanation.fit),
                comprehensiveness: or_nan(measured.map(|m| m.comprehensiveness)),
                sufficiency: or_nan(measured.map(|m| m.sufficiency)),
                random_comprehensiveness: or_nan(measured.map(|m| m.random_comprehensiveness)),
                random_sufficiency: or_nan(measured.map(|m| m.random_sufficiency)),
                evaluations: explanation.evaluations,
                reserved: [0; 5],
            },
            words: explanation.words.iter().map(word).collect(),
            evidence_for: explanation.evidence_for.iter().map(evidence).collect(),
            evidence_against: explanation.evidence_against.iter().map(evidence).collect(),
            json: OnceLock::new(),
            explanation,
        }
    }
}

/// The figures: method, scores, what deleting the evidence does, and how far to trust it.
///
/// Returns memory of the explanation; NULL when `explanation` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_explanation_summary(
    explanation: *const bie_explanation,
) -> *const bie_summary {
    unsafe { explanation.as_ref() }
        .map_or(ptr::null(), |explanation| &raw const explanation.summary)
}

/// Every word of the window that the decision was made in, in the order of the text.
///
/// - `count`: gets their number.
///
/// Returns memory of the explanation; NULL when there are none, or when `explanation` or `count` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_explanation_words(
    explanation: *const bie_explanation,
    count: *mut usize,
) -> *const bie_word {
    let words = unsafe { explanation.as_ref() }.map_or(&[][..], |explanation| &explanation.words);
    unsafe { lend_array(words, count) }
}

/// The pieces of the text that speak for the decision, at most three, heaviest first.
///
/// - `count`: gets their number.
///
/// Returns memory of the explanation; NULL when there are none, or when `explanation` or `count` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_explanation_evidence_for(
    explanation: *const bie_explanation,
    count: *mut usize,
) -> *const bie_evidence {
    let evidence =
        unsafe { explanation.as_ref() }.map_or(&[][..], |explanation| &explanation.evidence_for);
    unsafe { lend_array(evidence, count) }
}

/// The pieces of the text that speak against the decision, at most three, heaviest first.
///
/// - `count`: gets their number.
///
/// Returns memory of the explanation; NULL when there are none, or when `explanation` or `count` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_explanation_evidence_against(
    explanation: *const bie_explanation,
    count: *mut usize,
) -> *const bie_evidence {
    let evidence = unsafe { explanation.as_ref() }
        .map_or(&[][..], |explanation| &explanation.evidence_against);
    unsafe { lend_array(evidence, count) }
}

/// The last layer's attention, head by head: a view of the model, not a reason. With the option `attention_heads` only.
///
/// - `heads`: gets the number of heads, 0 without the option; may be NULL.
/// - `words`: gets the number of words, those of `bie_explanation_words`, 0 without the option; may be NULL.
///
/// Returns `heads` rows of `words` numbers, what the target's tokens pay to each word, in memory of the explanation;
/// NULL without the option or when `explanation` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_explanation_heads(
    explanation: *const bie_explanation,
    heads: *mut usize,
    words: *mut usize,
) -> *const f32 {
    let found = unsafe { explanation.as_ref() }.and_then(|explanation| {
        let view = explanation.explanation.heads.as_ref()?;
        let (heads, words) = (view.heads as usize, explanation.words.len());
        // Numbers that the array does not have would be read out of bounds.
        (heads.checked_mul(words) == Some(view.weights.len()) && !view.weights.is_empty())
            .then_some((heads, words, view.weights.as_slice()))
    });
    let (head_count, word_count, weights) = found.unwrap_or_default();
    unsafe {
        put(heads, head_count);
        put(words, word_count);
    }
    array(weights)
}

/// The whole explanation as canonical JSON, one line without a line feed: equal explanations give equal bytes. It quotes
/// the evidence's text. Built at the first call and kept.
///
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns UTF-8 in memory of the explanation; NULL when `explanation` is NULL, or after a defect of the library.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_explanation_json(
    explanation: *const bie_explanation,
    len: *mut usize,
) -> *const c_char {
    let json = unsafe { explanation.as_ref() }.and_then(|explanation| {
        guard(|| {
            Ok(explanation
                .json
                .get_or_init(|| Text::new(&explanation.explanation.to_json())))
        })
        .ok()
    });
    unsafe { lend(json, len) }
}

/// Frees an explanation. NULL is allowed.
///
/// Errors: none. Threads: any, once, when no other thread reads the explanation. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_explanation_free(explanation: *mut bie_explanation) {
    unsafe { args::free(explanation) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Heads;
    use crate::explain::json::tests::{bare, full};
    use std::ffi::CStr;

    fn read<T>(
        lend: unsafe extern "C" fn(*const bie_explanation, *mut usize) -> *const T,
        explanation: &bie_explanation,
    ) -> &[T] {
        let mut count = 9;
        let items = unsafe { lend(explanation, &raw mut count) };
        assert_eq!(items.is_null(), count == 0);
        unsafe { super::super::args::slice(items, count, "items") }.unwrap()
    }

    #[test]
    fn records_are_what_the_explanation_says() {
        let source = full();
        let made = bie_explanation::new(source.clone());
        let summary = unsafe { *bie_explanation_summary(&made) };
        let expected = bie_summary {
            method: bie_method::BIE_METHOD_SHAP,
            chosen: 1,
            unreliable: 0,
            cut_short: 1,
            score: source.score,
            rival_score: 0.05,
            baseline_score: source.baseline_score,
            without_evidence: 0.25,
            completeness_error: 0.000_25,
            fit: 0.75,
            comprehensiveness: 0.8,
            sufficiency: 0.1,
            random_comprehensiveness: 0.2,
            random_sufficiency: 0.7,
            evaluations: 640,
            reserved: [0; 5],
        };
        assert_eq!(summary, expected);
        let words = read(bie_explanation_words, &made);
        assert_eq!(words.len(), 3);
        assert_eq!(
            words[2],
            bie_word {
                start: 15,
                end: 18,
                weight: -0.125,
                standard_error: 0.001,
                in_target: 1,
                reserved: [0; 3]
            }
        );
        assert_eq!(words[1].in_target, 0);
        let supporting = read(bie_explanation_evidence_for, &made);
        let opposing = read(bie_explanation_evidence_against, &made);
        assert_eq!(supporting.len(), 1);
        assert_eq!((supporting[0].start, supporting[0].weight), (0, 0.5));
        assert_eq!((opposing[0].end, opposing[0].weight), (18, -0.125));
        let (mut heads, mut count) = (0, 0);
        let weights = unsafe { bie_explanation_heads(&made, &raw mut heads, &raw mut count) };
        assert_eq!((heads, count), (2, 3));
        assert_eq!(unsafe { *weights.add(4) }, 1.0);
        let json = unsafe { CStr::from_ptr(bie_explanation_json(&made, ptr::null_mut())) };
        assert_eq!(json.to_str().unwrap(), source.to_json());
    }

    #[test]
    fn what_is_absent_is_nan_or_null() {
        let made = bie_explanation::new(bare());
        let summary = unsafe { *bie_explanation_summary(&made) };
        let absent = [
            summary.rival_score,
            summary.completeness_error,
            summary.fit,
            summary.comprehensiveness,
            summary.sufficiency,
            summary.random_comprehensiveness,
            summary.random_sufficiency,
        ];
        assert!(absent.iter().all(|value| value.is_nan()));
        assert_eq!((summary.chosen, summary.unreliable), (0, 1));
        assert!(read(bie_explanation_words, &made).is_empty());
        assert!(read(bie_explanation_evidence_for, &made).is_empty());
        assert!(read(bie_explanation_evidence_against, &made).is_empty());
        let (mut heads, mut count) = (9, 9);
        assert!(unsafe { bie_explanation_heads(&made, &raw mut heads, &raw mut count) }.is_null());
        assert_eq!((heads, count), (0, 0));
    }

    #[test]
    fn a_view_of_the_wrong_size_is_none() {
        let mut wrong = full();
        wrong.heads = Some(Heads {
            heads: 3,
            weights: vec![0.0; 8],
        });
        let made = bie_explanation::new(wrong);
        let mut heads = 9;
        assert!(unsafe { bie_explanation_heads(&made, &raw mut heads, ptr::null_mut()) }.is_null());
        assert_eq!(heads, 0);
    }

    /// Numbers follow the order of the documentation, and each method has one.
    #[test]
    fn methods_have_their_numbers() {
        for (number, method) in Method::ALL.into_iter().enumerate() {
            let code = bie_method::from(method);
            assert_eq!(code as usize, number);
            let name = format!("BIE_METHOD_{}", method.as_str().to_uppercase());
            assert_eq!(format!("{code:?}"), name);
        }
    }
}
