/* What is frozen: sizes, offsets and numbers. Compiled, never run: as C99, C11, C17, C++17, and for 32 bits without a
   C library. The header comes twice on purpose. */
#include "bie.h"
#include "bie.h"

#define ASSERT(name, condition) typedef char name[(condition) ? 1 : -1]
#define FIELD(type, field, at) ASSERT(type##_##field##_is_at_##at, offsetof(type, field) == at)

ASSERT(status_has_4_bytes, sizeof(bie_status) == 4);

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
