/*
 * identity BUNDLE FILE: the result depends on the text alone. Threads 1 and 4, sessions 1 and 4, documents in any order, by
 * single calls or as a batch: the same bytes of JSON. FILE gives the text of which the documents are made.
 */
#include "check.h"

enum { DOCUMENTS = 12, ENGINES = 2 };

static char *documents[DOCUMENTS];
static char *expected[DOCUMENTS];

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0);
    long len = ftell(file);
    CHECK(len > 0 && fseek(file, 0, SEEK_SET) == 0);
    char *text = malloc((size_t)len + 1);
    CHECK(text != NULL && fread(text, 1, (size_t)len, file) == (size_t)len);
    text[len] = '\0';
    fclose(file);
    return text;
}

/* Documents of very different length: from a third of the text to three times the text and the shared sample. */
static void make_documents(const char *text) {
    size_t len = strlen(text);
    for (size_t k = 0; k < DOCUMENTS; k++) {
        size_t copies = k % 4 == 3 ? 3 : 1, from = k % 4 == 3 ? 0 : k % 3 * len / 3;
        while (from > 0 && text[from - 1] != ' ') from--;
        documents[k] = malloc(copies * len + strlen(SAMPLE) + 1);
        CHECK(documents[k] != NULL);
        documents[k][0] = '\0';
        for (size_t c = 0; c < copies; c++) strcat(documents[k], text + from);
        if (k >= DOCUMENTS / 2) strcat(documents[k], SAMPLE);
    }
}

static void same(const bie_result *result, size_t k) {
    size_t len;
    const char *json = bie_result_json(result, &len);
    CHECK(json != NULL && len == strlen(expected[k]) && memcmp(json, expected[k], len) == 0);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    char *text = read_file(argv[2]);
    make_documents(text);
    static const int sessions[ENGINES] = {1, 4};
    static const int threads[] = {1, 4};
    size_t relations = 0, mentions = 0;

    for (size_t e = 0; e < ENGINES; e++) {
        bie_options *open = bie_options_new();
        CHECK(bie_options_set_i64(open, STR("sessions"), sessions[e], NULL) == BIE_OK);
        bie_engine *engine;
        CHECK(bie_engine_open(STR(argv[1]), open, &engine, NULL) == BIE_OK);
        bie_options_free(open);
        for (size_t t = 0; t < 2; t++) {
            bie_options *options = bie_options_new();
            CHECK(bie_options_set_i64(options, STR("threads"), threads[t], NULL) == BIE_OK);
            CHECK(bie_options_set_f64(options, STR("min_score"), 0.2, NULL) == BIE_OK);
            for (size_t i = 0; i < DOCUMENTS; i++) {
                /* Forwards, backwards, and two ways of jumping: 5 and 7 share no factor with 12. */
                static const size_t step[] = {1, DOCUMENTS - 1, 5, 7};
                size_t k = i * step[2 * e + t] % DOCUMENTS, count;
                bie_result *result = extract(engine, STR(documents[k]), options);
                if (e == 0 && t == 0) {
                    expected[k] = malloc(strlen(bie_result_json(result, NULL)) + 1);
                    CHECK(expected[k] != NULL);
                    strcpy(expected[k], bie_result_json(result, NULL));
                    bie_result_mentions(result, &count);
                    mentions += count;
                    bie_result_relations(result, &count);
                    relations += count;
                }
                same(result, k);
                bie_result_free(result);
            }
            bie_str batch[DOCUMENTS];
            bie_result *results[DOCUMENTS];
            for (size_t k = 0; k < DOCUMENTS; k++) {
                batch[k].data = documents[DOCUMENTS - 1 - k];
                batch[k].len = strlen(batch[k].data);
            }
            CHECK(bie_extract_batch(engine, batch, DOCUMENTS, options, results, NULL) == BIE_OK);
            for (size_t k = 0; k < DOCUMENTS; k++) {
                same(results[k], DOCUMENTS - 1 - k);
                bie_result_free(results[k]);
            }
            bie_options_free(options);
        }
        bie_engine_free(engine);
    }
    CHECK(mentions > DOCUMENTS && relations > 0); /* there was something to compare */
    for (size_t k = 0; k < DOCUMENTS; k++) {
        free(documents[k]);
        free(expected[k]);
    }
    free(text);
    return 0;
}
