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

/* Entities of both kinds, an abbreviation, characters of 2, 3 and 4 bytes, a second paragraph. */
#define SAMPLE                                                                                             \
    "Naloxone reverses the antihypertensive effect of clonidine. \xCE\xB2-Blockers (BB) and "              \
    "\xE4\xB8\xAD\xE6\x96\x87 \xF0\x9F\x98\x80 may cause bradycardia; cisplatin caused acute renal "       \
    "failure (ARF) in two patients.\n\nThe ARF resolved after cisplatin was stopped.\n"

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

/* A failure that left nothing behind but one line of explanation. */
static inline void expect_error(bie_status got, bie_status expected, bie_error *error) {
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
