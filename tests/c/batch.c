/* batch BUNDLE: a batch gives what single calls give, in order, or nothing. */
#include "check.h"

enum { COUNT = 12 };

int main(int argc, char **argv) {
    CHECK(argc == 2);
    bie_engine *engine = open_engine(argv[1]);
    bie_options *options = all_scores("utf16");
    bie_error *error;

    /* Different texts: the sample, begun later each time at a character's edge. */
    bie_str texts[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        texts[i].data = SAMPLE + 3 * i;
        texts[i].len = strlen(texts[i].data);
    }
    texts[5].data = NULL;
    texts[5].len = 0;

    bie_result *results[COUNT];
    memset(results, 0xA5, sizeof results);
    CHECK(bie_extract_batch(engine, texts, COUNT, options, results, &error) == BIE_OK && error == NULL);
    for (size_t i = 0; i < COUNT; i++) {
        bie_result *single = extract(engine, texts[i].data, texts[i].len, options);
        CHECK(results[i] != NULL);
        CHECK(strcmp(bie_result_json(results[i], NULL), bie_result_json(single, NULL)) == 0);
        bie_result_free(single);
    }
    CHECK(strcmp(bie_result_json(results[0], NULL), bie_result_json(results[1], NULL)) != 0);
    for (size_t i = COUNT; i-- > 0;) bie_result_free(results[i]);

    /* All or nothing; the message says which text. */
    texts[7].data = "ab\xFF";
    texts[7].len = 3;
    memset(results, 0xA5, sizeof results);
    CHECK(bie_extract_batch(engine, texts, COUNT, options, results, &error) == BIE_ERR_INVALID_UTF8);
    CHECK(strncmp(bie_error_message(error, NULL), "text 7: ", 8) == 0);
    expect_error(bie_error_status(error), BIE_ERR_INVALID_UTF8, &error);
    for (size_t i = 0; i < COUNT; i++) CHECK(results[i] == NULL);

    /* No texts is no work. */
    CHECK(bie_extract_batch(engine, NULL, 0, NULL, NULL, &error) == BIE_OK && error == NULL);

    bie_options_free(options);
    bie_engine_free(engine);
    return 0;
}
