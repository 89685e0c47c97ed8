//! Why a decision was made: the evidence of its words, measured.
//!
//! The data flows one way: [`Target`] → its place in a window → a method's weights, one a word → evidence spans → what deleting them does.

mod auto;
pub mod cancel;
pub mod evidence;
pub mod faithfulness;
pub mod game;
mod gradient;
pub(crate) mod json;
pub mod lime;
pub(crate) mod memo;
pub mod occlusion;
mod place;
pub mod quadrature;
pub mod random;
pub mod rollout;
mod run;
pub mod shapley;
pub mod units;
mod weights;
mod window_game;

use std::sync::Arc;

use crate::text::OffsetUnit;

pub use cancel::Cancel;
pub use game::Game;
pub use weights::Weights;
pub use window_game::WindowGame;

/// The decision to be explained. It need not have been reported: any span and type, any pair of reported mentions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A span and a type.
    Entity {
        /// First position, in the extraction's unit.
        start: u32,
        /// One past the last position.
        end: u32,
        /// Index of the entity type.
        label: u32,
        /// "Why `label` rather than this type?"
        rival: Option<u32>,
    },
    /// A relation between the entities of two reported mentions.
    Relation {
        /// A mention of the head: index into [`crate::Extraction::entities`].
        head: u32,
        /// A mention of the tail.
        tail: u32,
        /// Index of the relation type.
        label: u32,
        /// "Why `label` rather than this relation?"
        rival: Option<u32>,
    },
}

/// How words are weighed. Names are those of the option `method`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// The most faithful one that the budget admits.
    #[default]
    Auto,
    /// A relation: the pair's pooled attention. An entity: the last layer's attention of its tokens, mean of the heads.
    Attention,
    /// Attention through all layers (Abnar and Zuidema 2020). A view, known to explain little.
    AttentionRollout,
    /// Gradient at the embedding times the embedding.
    InputXGradient,
    /// [`Method::Attention`] times [`Method::InputXGradient`].
    AttentionXGradient,
    /// Integrated gradients (Sundararajan, Taly and Yan 2017).
    IntegratedGradients,
    /// The score lost when one player is deleted.
    Occlusion,
    /// Shapley values (Shapley 1953): exact up to 12 players, else antithetic permutation sampling.
    Shap,
    /// Ridge regression on sampled deletions (Ribeiro, Singh and Guestrin 2016).
    Lime,
    /// The gradient half way to the baseline proposes words, deleting them one by one disposes. What [`Method::Auto`] takes for words.
    GuidedOcclusion,
}

impl Method {
    /// Every method, in the order of the documentation.
    pub const ALL: [Method; 10] = [
        Method::Auto,
        Method::Attention,
        Method::AttentionRollout,
        Method::InputXGradient,
        Method::AttentionXGradient,
        Method::IntegratedGradients,
        Method::Occlusion,
        Method::Shap,
        Method::Lime,
        Method::GuidedOcclusion,
    ];

    /// The name, as in options and results.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Auto => "auto",
            Method::Attention => "attention",
            Method::AttentionRollout => "attention_rollout",
            Method::InputXGradient => "input_x_gradient",
            Method::AttentionXGradient => "attention_x_gradient",
            Method::IntegratedGradients => "integrated_gradients",
            Method::Occlusion => "occlusion",
            Method::Shap => "shap",
            Method::Lime => "lime",
            Method::GuidedOcclusion => "guided_occlusion",
        }
    }
}

/// What the methods that delete take away at once: the players of their game.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Players {
    /// Single words.
    #[default]
    Words,
    /// Whole entities, and the clauses between them.
    Units,
}

impl Players {
    pub(crate) const ALL: [Players; 2] = [Players::Words, Players::Units];

    /// The name, as in options and results.
    pub fn as_str(self) -> &'static str {
        match self {
            Players::Words => "words",
            Players::Units => "units",
        }
    }
}

/// What stands in for a deleted token. Neither is the text without the word, which has other positions; docs/explain.md compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletion {
    /// `[PAD]`: keeps the level of scores.
    #[default]
    Pad,
    /// `[MASK]`: lowers scores beyond what removal does, the more words are deleted.
    Mask,
}

impl Deletion {
    pub(crate) const ALL: [Deletion; 2] = [Deletion::Pad, Deletion::Mask];

    /// The name, as in options and results.
    pub fn as_str(self) -> &'static str {
        match self {
            Deletion::Mask => "mask",
            Deletion::Pad => "pad",
        }
    }
}

/// Where gradients start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Baseline {
    /// Every token `[PAD]`.
    #[default]
    Pad,
    /// Every token `[MASK]`.
    Mask,
    /// The mean of the window's embeddings.
    Mean,
}

impl Baseline {
    pub(crate) const ALL: [Baseline; 3] = [Baseline::Pad, Baseline::Mask, Baseline::Mean];

    /// The name, as in options and results.
    pub fn as_str(self) -> &'static str {
        match self {
            Baseline::Mask => "mask",
            Baseline::Pad => "pad",
            Baseline::Mean => "mean",
        }
    }
}

/// One word of the window that was explained.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// First position, in the unit of the [`Explanation`].
    pub start: u32,
    /// One past the last position.
    pub end: u32,
    /// How much the word speaks for the decision (positive) or against it (negative), in the method's own scale.
    pub weight: f32,
    /// Standard error of the weight, where the method samples; else 0.
    pub standard_error: f32,
    /// The word belongs to the entity, or to a mention of either end of the relation.
    pub in_target: bool,
}

/// A piece of the document that speaks for or against a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// First position, in the unit of the [`Explanation`].
    pub start: u32,
    /// One past the last position.
    pub end: u32,
    /// Sum of the words' weights.
    pub weight: f32,
    /// The document's own characters in `[start, end)`.
    pub text: String,
}

/// ERASER's metrics (DeYoung et al. 2020): mean over deleting / keeping the heaviest 1, 5, 10, 20 and 50 % of the words (at least one).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faithfulness {
    /// Mean loss of score when the heaviest words are deleted; higher is better.
    pub comprehensiveness: f32,
    /// Mean loss of score when only they are kept; lower is better.
    pub sufficiency: f32,
    /// Comprehensiveness of random words, as many at each step.
    pub random_comprehensiveness: f32,
    /// Sufficiency of random words.
    pub random_sufficiency: f32,
}

/// The last layer's attention, head by head: a view, not an explanation.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Heads {
    /// Number of heads.
    pub heads: u32,
    /// `[heads][words]`: attention that the target's tokens pay to each word, summed over the word's tokens, mean over the target's tokens.
    pub weights: Vec<f32>,
}

/// Why a decision was made. Plain data, independent of engine, options and text.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// What was asked.
    pub target: Target,
    /// The method that was used; never [`Method::Auto`].
    pub method: Method,
    /// Whether [`Method::Auto`] chose it.
    pub chosen: bool,
    /// Unit of every offset here.
    pub offset_unit: OffsetUnit,
    /// The bundle's model id.
    pub model_id: String,
    /// SHA-256 (hex) of the bundle's manifest.
    pub bundle_hash: String,
    /// The target's score, as extraction reports it.
    pub score: f32,
    /// The rival's score, if one was named. Then every other value here is of `score − rival_score`.
    pub rival_score: Option<f32>,
    /// The value with every word deleted.
    pub baseline_score: f32,
    /// The value without the words of `evidence_for`.
    pub without_evidence: f32,
    /// Every word of the window, in the order of the text.
    pub words: Vec<Word>,
    /// At most three pieces that speak for the decision, heaviest first.
    pub evidence_for: Vec<Evidence>,
    /// At most three pieces that speak against it, heaviest first.
    pub evidence_against: Vec<Evidence>,
    /// `|Σ weights − (value − baseline)| / |value − baseline|`, for the methods that claim completeness (integrated gradients, Shapley values).
    pub completeness_error: Option<f32>,
    /// R² of LIME's regression on its samples.
    pub fit: Option<f32>,
    /// On request (option `faithfulness`).
    pub faithfulness: Option<Faithfulness>,
    /// On request (option `attention_heads`).
    pub heads: Option<Heads>,
    /// Cost in forward passes; a gradient counts as what it costs.
    pub evaluations: u32,
    /// The time budget ended the sampling early: the same call may give other weights.
    pub cut_short: bool,
    /// Deleting the evidence moves the value by less than a tenth of it: do not show this as a reason.
    pub unreliable: bool,
    /// Names of the entity types, indexed by the label of [`Target::Entity`].
    pub entity_types: Arc<[String]>,
    /// Names of the relation types, indexed by the label of [`Target::Relation`].
    pub relation_types: Arc<[String]>,
}
