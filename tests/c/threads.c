/* threads BUNDLE: eight threads on one engine, each with its own order of texts, get what one thread gets. */
#include "check.h"

#include <pthread.h>

enum { THREADS = 8, TEXTS = 6, ROUNDS = 4 };

static const bie_engine *engine;
static const bie_options *options;
static char *texts[TEXTS];
static bie_result *expected[TEXTS];

static void *work(void *argument) {
    size_t thread = *(const size_t *)argument;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < TEXTS; i++) {
            size_t k = (i * (thread % 2 ? 5 : 1) + thread + round) % TEXTS;
            bie_result *result = extract(engine, STR(texts[k]), options);
            /* The expected result is read by all threads at once; its JSON is built by the first. */
            CHECK(strcmp(bie_result_json(result, NULL), bie_result_json(expected[k], NULL)) == 0);
            bie_result_free(result);
            bie_error *error;
            expect_error(bie_extract(engine, "\xFF", 1, options, &result, &error), BIE_ERR_INVALID_UTF8, &error);
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    bie_options *open = bie_options_new();
    CHECK(bie_options_set_i64(open, STR("sessions"), 2, NULL) == BIE_OK);
    bie_engine *own;
    CHECK(bie_engine_open(STR(argv[1]), open, &own, NULL) == BIE_OK);
    bie_options_free(open);
    engine = own;
    bie_options *all = all_scores("utf32");
    CHECK(bie_options_set_i64(all, STR("threads"), 2, NULL) == BIE_OK);
    options = all;

    for (size_t k = 0; k < TEXTS; k++) {
        size_t copies = k + 1, len = strlen(SAMPLE);
        texts[k] = malloc(copies * len + 1);
        CHECK(texts[k] != NULL);
        for (size_t c = 0; c < copies; c++) memcpy(texts[k] + c * len, SAMPLE, len);
        texts[k][copies * len] = '\0';
        expected[k] = extract(engine, STR(texts[k]), options);
    }

    pthread_t threads[THREADS];
    size_t numbers[THREADS];
    for (size_t t = 0; t < THREADS; t++) {
        numbers[t] = t;
        CHECK(pthread_create(&threads[t], NULL, work, &numbers[t]) == 0);
    }
    for (size_t t = 0; t < THREADS; t++) CHECK(pthread_join(threads[t], NULL) == 0);

    for (size_t k = 0; k < TEXTS; k++) {
        bie_result_free(expected[k]);
        free(texts[k]);
    }
    bie_options_free(all);
    bie_engine_free(own);
    return 0;
}
