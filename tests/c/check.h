/* What the C tests share: a check that says where it failed, and the shortest way to call the library. */
#ifndef CHECK_H
#define CHECK_H

#include "bie.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                   \
    do {                                                                                                   \
        if (!(condition)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                \
            exit(1);                                                                                       \
        }                                                                                                  \
    } while (0)

/* The arguments that a string literal or a C string stands for. */
#define STR(text) (text), strlen(text)

/* Words that the tiny bundle knows, an abbreviation, characters of 2, 3 and 4 bytes, several windows. */
#define SAMPLE                                                                                             \
    "Aspirin and ibuprofen may cause nausea in patients with heart failure (HF). \xCE\xB2-blockers "       \
    "\xE4\xB8\xAD\xE6\x96\x87 \xF0\x9F\x98\x80 and warfarin cause headache; metformin treats diabetes "    \
    "mellitus.\n\nThe HF went after aspirin was stopped, and ibuprofen caused headache.\n"

static inline bie_engine *open_engine(const char *bundle) {
    bie_engine *engine;
    bie_error *error;
    if (bie_engine_open(STR(bundle), NULL, &engine, &error) != BIE_OK) {
        fprintf(stderr, "%s: %s\n", bundle, bie_error_message(error, NULL));
        exit(1);
    }
    CHECK(engine != NULL && error == NULL);
    return engine;
}

/* Options that report everything, so that a small random model has something to say. */
static inline bie_options *all_scores(const char *unit) {
    bie_options *options = bie_options_new();
    CHECK(options != NULL);
    CHECK(bie_options_set_f64(options, STR("min_score"), 0.0, NULL) == BIE_OK);
    CHECK(bie_options_set_str(options, STR("offset_unit"), STR(unit), NULL) == BIE_OK);
    return options;
}

/* Converts a position in bytes to UTF-16 units or code points: a second, simple implementation to compare with. */
static inline uint32_t convert(const char *text, uint32_t bytes, const char *unit) {
    uint32_t units = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)text[i];
        if ((byte & 0xC0) != 0x80) units++;
        if (byte >= 0xF0 && strcmp(unit, "utf16") == 0) units++;
    }
    return units;
}

static inline bie_result *extract(const bie_engine *engine, const char *text, size_t len, const bie_options *options) {
    bie_result *result;
    bie_error *error;
    if (bie_extract(engine, text, len, options, &result, &error) != BIE_OK) {
        fprintf(stderr, "extract: %s\n", bie_error_message(error, NULL));
        exit(1);
    }
    CHECK(result != NULL && error == NULL);
    return result;
}

/* A failure that left nothing behind but one line of explanation. The error by its address: C may evaluate the
   arguments of one call in any order, and the first of them is the call that sets it. */
static inline void expect_error(bie_status got, bie_status expected, bie_error **place) {
    bie_error *error = *place;
    size_t len;
    const char *message = bie_error_message(error, &len);
    if (got != expected) {
        fprintf(stderr, "expected %s, got %s: %s\n", bie_status_name(expected), bie_status_name(got), message);
        exit(1);
    }
    CHECK(error != NULL);
    CHECK(bie_error_status(error) == expected);
    CHECK(len > 10 && len == strlen(message));
    CHECK(strpbrk(message, "\r\n\t") == NULL);
    bie_error_free(error);
}

#endif
