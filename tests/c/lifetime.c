/* lifetime BUNDLE: objects are independent. Whatever is freed first, the others keep what they hold.
   Meant to run under valgrind as well, which sees what this program cannot. */
#include "check.h"

int main(int argc, char **argv) {
    CHECK(argc == 2);
    for (int order = 0; order < 6; order++) {
        /* Everything is copied out of memory that is gone before the objects are used. */
        char *path = malloc(strlen(argv[1]) + 1);
        char *text = malloc(strlen(SAMPLE));
        CHECK(path != NULL && text != NULL);
        strcpy(path, argv[1]);
        memcpy(text, SAMPLE, strlen(SAMPLE));

        bie_options *options = all_scores("utf8");
        bie_engine *engine;
        bie_result *result;
        bie_error *error;
        CHECK(bie_engine_open(STR(path), options, &engine, NULL) == BIE_OK);
        memset(path, 'x', strlen(path));
        free(path);
        CHECK(bie_options_set_f64(options, STR("min_score"), 1.0, NULL) == BIE_OK); /* the engine has its own copy */
        CHECK(bie_extract(engine, text, strlen(SAMPLE), NULL, &result, NULL) == BIE_OK);
        bie_target target = {.kind = BIE_TARGET_RELATION, .index = 0};
        bie_cancel *cancel = bie_cancel_new();
        bie_explanation *why;
        CHECK(bie_options_set_str(options, STR("method"), STR("input_x_gradient"), NULL) == BIE_OK);
        CHECK(bie_explain(engine, text, strlen(SAMPLE), result, &target, options, cancel, &why, NULL) == BIE_OK);
        memset(&target, 'x', sizeof target);
        bie_cancel_free(cancel);
        memset(text, 'x', strlen(SAMPLE));
        free(text);
        CHECK(bie_extract(engine, "\xFF", 1, options, &(bie_result *){NULL}, &error) == BIE_ERR_INVALID_UTF8);

        const char *message = bie_error_message(error, NULL);
        size_t count;
        const bie_mention *mentions = bie_result_mentions(result, &count);
        CHECK(count > 0);
        for (int step = 0; step < 3; step++) {
            switch ((order + step * (order < 3 ? 1 : 2)) % 3) {
            case 0: bie_options_free(options); break;
            case 1: bie_engine_free(engine); break;
            default:
                CHECK(strstr(message, "byte 0") != NULL);
                bie_error_free(error);
            }
            CHECK(mentions[count - 1].end <= strlen(SAMPLE));
        }
        CHECK(strstr(bie_result_json(result, NULL), "spirin") != NULL);
        bie_result_free(result);
        size_t words;
        CHECK(bie_explanation_words(why, &words) != NULL && words > 1);
        CHECK(strstr(bie_explanation_json(why, NULL), "\"input_x_gradient\"") != NULL);
        bie_explanation_free(why);
    }
    return 0;
}
