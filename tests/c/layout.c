/* What is frozen: sizes, offsets and numbers. Compiled, never run: as C99, C11, C17, C++17, and for 32 bits without a
   C library. The header comes twice on purpose. */
#include "bie.h"
#include "bie.h"

#define ASSERT(name, condition) typedef char name[(condition) ? 1 : -1]
#define FIELD(type, field, at) ASSERT(type##_##field##_is_at_##at, offsetof(type, field) == at)

ASSERT(status_has_4_bytes, sizeof(bie_status) == 4);
ASSERT(target_kind_has_4_bytes, sizeof(bie_target_kind) == 4);
ASSERT(method_has_4_bytes, sizeof(bie_method) == 4);

ASSERT(mention_has_32_bytes, sizeof(bie_mention) == 32);
FIELD(bie_mention, start, 0);
FIELD(bie_mention, end, 4);
FIELD(bie_mention, label, 8);
FIELD(bie_mention, score, 12);
FIELD(bie_mention, group, 16);
FIELD(bie_mention, reserved, 20);

ASSERT(relation_has_32_bytes, sizeof(bie_relation) == 32);
FIELD(bie_relation, head, 0);
FIELD(bie_relation, tail, 4);
FIELD(bie_relation, label, 8);
FIELD(bie_relation, score, 12);
FIELD(bie_relation, reserved, 16);

ASSERT(range_has_8_bytes, sizeof(bie_range) == 8);
FIELD(bie_range, start, 0);
FIELD(bie_range, end, 4);

ASSERT(target_has_48_bytes, sizeof(bie_target) == 48);
FIELD(bie_target, kind, 0);
FIELD(bie_target, index, 4);
FIELD(bie_target, start, 8);
FIELD(bie_target, end, 12);
FIELD(bie_target, head, 16);
FIELD(bie_target, tail, 20);
FIELD(bie_target, label, 24);
FIELD(bie_target, has_rival, 28);
FIELD(bie_target, rival, 32);
FIELD(bie_target, reserved, 36);

ASSERT(summary_has_80_bytes, sizeof(bie_summary) == 80);
FIELD(bie_summary, method, 0);
FIELD(bie_summary, chosen, 4);
FIELD(bie_summary, unreliable, 8);
FIELD(bie_summary, cut_short, 12);
FIELD(bie_summary, score, 16);
FIELD(bie_summary, rival_score, 20);
FIELD(bie_summary, baseline_score, 24);
FIELD(bie_summary, without_evidence, 28);
FIELD(bie_summary, completeness_error, 32);
FIELD(bie_summary, fit, 36);
FIELD(bie_summary, comprehensiveness, 40);
FIELD(bie_summary, sufficiency, 44);
FIELD(bie_summary, random_comprehensiveness, 48);
FIELD(bie_summary, random_sufficiency, 52);
FIELD(bie_summary, evaluations, 56);
FIELD(bie_summary, reserved, 60);

ASSERT(word_has_32_bytes, sizeof(bie_word) == 32);
FIELD(bie_word, start, 0);
FIELD(bie_word, end, 4);
FIELD(bie_word, weight, 8);
FIELD(bie_word, standard_error, 12);
FIELD(bie_word, in_target, 16);
FIELD(bie_word, reserved, 20);

ASSERT(evidence_has_16_bytes, sizeof(bie_evidence) == 16);
FIELD(bie_evidence, start, 0);
FIELD(bie_evidence, end, 4);
FIELD(bie_evidence, weight, 8);
FIELD(bie_evidence, reserved, 12);

ASSERT(str_is_two_words, sizeof(bie_str) == sizeof(char *) + sizeof(size_t));
FIELD(bie_str, data, 0);
ASSERT(str_len_follows, offsetof(bie_str, len) == sizeof(char *));

/* Never changed, never reused. A new number is added here with the version that brings it. */
ASSERT(ok_is_0, BIE_OK == 0);
ASSERT(null_is_1, BIE_ERR_NULL == 1);
ASSERT(invalid_argument_is_2, BIE_ERR_INVALID_ARGUMENT == 2);
ASSERT(unknown_option_is_3, BIE_ERR_UNKNOWN_OPTION == 3);
ASSERT(invalid_utf8_is_4, BIE_ERR_INVALID_UTF8 == 4);
ASSERT(text_too_long_is_5, BIE_ERR_TEXT_TOO_LONG == 5);
ASSERT(cancelled_is_6, BIE_ERR_CANCELLED == 6);
ASSERT(io_is_100, BIE_ERR_IO == 100);
ASSERT(bundle_format_is_101, BIE_ERR_BUNDLE_FORMAT == 101);
ASSERT(bundle_version_is_102, BIE_ERR_BUNDLE_VERSION == 102);
ASSERT(checksum_is_103, BIE_ERR_CHECKSUM == 103);
ASSERT(model_shape_is_104, BIE_ERR_MODEL_SHAPE == 104);
ASSERT(tokenizer_is_105, BIE_ERR_TOKENIZER == 105);
ASSERT(cpu_is_200, BIE_ERR_CPU == 200);
ASSERT(runtime_is_201, BIE_ERR_RUNTIME == 201);
ASSERT(out_of_memory_is_202, BIE_ERR_OUT_OF_MEMORY == 202);
ASSERT(panic_is_900, BIE_ERR_PANIC == 900);
ASSERT(poisoned_is_901, BIE_ERR_POISONED == 901);

ASSERT(target_entity_is_1, BIE_TARGET_ENTITY == 1);
ASSERT(target_relation_is_2, BIE_TARGET_RELATION == 2);
ASSERT(target_span_is_3, BIE_TARGET_SPAN == 3);
ASSERT(target_pair_is_4, BIE_TARGET_PAIR == 4);

ASSERT(method_auto_is_0, BIE_METHOD_AUTO == 0);
ASSERT(method_attention_is_1, BIE_METHOD_ATTENTION == 1);
ASSERT(method_attention_rollout_is_2, BIE_METHOD_ATTENTION_ROLLOUT == 2);
ASSERT(method_input_x_gradient_is_3, BIE_METHOD_INPUT_X_GRADIENT == 3);
ASSERT(method_attention_x_gradient_is_4, BIE_METHOD_ATTENTION_X_GRADIENT == 4);
ASSERT(method_integrated_gradients_is_5, BIE_METHOD_INTEGRATED_GRADIENTS == 5);
ASSERT(method_occlusion_is_6, BIE_METHOD_OCCLUSION == 6);
ASSERT(method_shap_is_7, BIE_METHOD_SHAP == 7);
ASSERT(method_lime_is_8, BIE_METHOD_LIME == 8);
ASSERT(method_guided_occlusion_is_9, BIE_METHOD_GUIDED_OCCLUSION == 9);
