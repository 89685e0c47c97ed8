/* misuse BUNDLE: every wrong use that can be seen from the call has its status and a message, and harms nothing. */
#include "check.h"

static const bie_engine *engine;

static void options(void) {
    bie_options *o = bie_options_new();
    bie_error *e;

    expect_error(bie_options_set_str(NULL, STR("offset_unit"), STR("utf8"), &e), BIE_ERR_NULL, &e);
    expect_error(bie_options_set_str(o, NULL, 3, STR("utf8"), &e), BIE_ERR_NULL, &e);
    expect_error(bie_options_set_str(o, STR("offset_unit"), NULL, 3, &e), BIE_ERR_NULL, &e);
    expect_error(bie_options_set_i64(NULL, STR("threads"), 1, &e), BIE_ERR_NULL, &e);
    expect_error(bie_options_set_i64(o, NULL, 3, 1, &e), BIE_ERR_NULL, &e);
    expect_error(bie_options_set_f64(NULL, STR("min_score"), 1, &e), BIE_ERR_NULL, &e);
    expect_error(bie_options_set_f64(o, NULL, 3, 1, &e), BIE_ERR_NULL, &e);

    expect_error(bie_options_set_str(o, STR("no_such_key"), STR("x"), &e), BIE_ERR_UNKNOWN_OPTION, &e);
    expect_error(bie_options_set_i64(o, NULL, 0, 1, &e), BIE_ERR_UNKNOWN_OPTION, &e);
    expect_error(bie_options_set_i64(o, "thr\0eads", 8, 1, &e), BIE_ERR_UNKNOWN_OPTION, &e);
    expect_error(bie_options_set_f64(o, STR("a\nb"), 1, &e), BIE_ERR_UNKNOWN_OPTION, &e);
    expect_error(bie_options_set_str(o, STR("\xFF"), STR("x"), &e), BIE_ERR_INVALID_ARGUMENT, &e);
    expect_error(bie_options_set_str(o, STR("offset_unit"), STR("\xC3"), &e), BIE_ERR_INVALID_ARGUMENT, &e);

    expect_error(bie_options_set_str(o, STR("offset_unit"), STR("utf7"), &e), BIE_ERR_INVALID_ARGUMENT, &e);
    expect_error(bie_options_set_str(o, STR("threads"), STR("1"), &e), BIE_ERR_INVALID_ARGUMENT, &e);
    expect_error(bie_options_set_i64(o, STR("threads"), 0, &e), BIE_ERR_INVALID_ARGUMENT, &e);
    expect_error(bie_options_set_i64(o, STR("threads"), INT64_MIN, &e), BIE_ERR_INVALID_ARGUMENT, &e);
    expect_error(bie_options_set_i64(o, STR("min_score"), 1, &e), BIE_ERR_INVALID_ARGUMENT, &e);
    expect_error(bie_options_set_f64(o, STR("min_score"), -0.1, &e), BIE_ERR_INVALID_ARGUMENT, &e);
    expect_error(bie_options_set_f64(o, STR("min_score"), 0.0 / (double)(o == NULL), &e), BIE_ERR_INVALID_ARGUMENT, &e);
    expect_error(bie_options_set_str(o, STR("offset_unit"), "utf8", SIZE_MAX, &e), BIE_ERR_INVALID_ARGUMENT, &e);

    /* Without a place for the error the status is all there is. */
    CHECK(bie_options_set_i64(o, STR("threads"), 0, NULL) == BIE_ERR_INVALID_ARGUMENT);
    CHECK(bie_options_set_i64(NULL, NULL, 0, 0, NULL) == BIE_ERR_NULL);
    bie_options_free(o);
    bie_options_free(NULL);
}

static void opening(const char *bundle) {
    bie_engine *out = (bie_engine *)&engine; /* no pointer to an engine: it has to be replaced by NULL */
    bie_error *e;
    expect_error(bie_engine_open(NULL, 3, NULL, &out, &e), BIE_ERR_NULL, &e);
    CHECK(out == NULL);
    expect_error(bie_engine_open(STR(bundle), NULL, NULL, &e), BIE_ERR_NULL, &e);
    CHECK(bie_engine_open(STR(bundle), NULL, NULL, NULL) == BIE_ERR_NULL);
    expect_error(bie_engine_open("\xC3(", 2, NULL, &out, &e), BIE_ERR_INVALID_ARGUMENT, &e);
    expect_error(bie_engine_open(NULL, 0, NULL, &out, &e), BIE_ERR_IO, &e);
    expect_error(bie_engine_open(STR("no/such/bundle"), NULL, &out, &e), BIE_ERR_IO, &e);
    expect_error(bie_engine_open(STR("line\nfeed"), NULL, &out, &e), BIE_ERR_IO, &e);
    expect_error(bie_engine_open("nul\0byte", 8, NULL, &out, &e), BIE_ERR_IO, &e);
    CHECK(out == NULL);

    size_t len = 1;
    CHECK(bie_engine_label(NULL, 0, &len) == NULL && len == 0);
    len = 1;
    CHECK(bie_engine_relation_label(NULL, 0, &len) == NULL && len == 0);
    len = 1;
    CHECK(bie_engine_model_id(NULL, &len) == NULL && len == 0);
    len = 1;
    CHECK(bie_engine_bundle_hash(NULL, &len) == NULL && len == 0);
    CHECK(bie_engine_bundle_hash(NULL, NULL) == NULL);
    bie_engine_free(NULL);
}

static void extracting(void) {
    bie_result *out = (bie_result *)&engine;
    bie_error *e;
    expect_error(bie_extract(NULL, STR("text"), NULL, &out, &e), BIE_ERR_NULL, &e);
    CHECK(out == NULL);
    expect_error(bie_extract(engine, NULL, 4, NULL, &out, &e), BIE_ERR_NULL, &e);
    expect_error(bie_extract(engine, STR("text"), NULL, NULL, &e), BIE_ERR_NULL, &e);
    CHECK(bie_extract(NULL, NULL, 0, NULL, NULL, NULL) == BIE_ERR_NULL);
    expect_error(bie_extract(engine, "text", SIZE_MAX, NULL, &out, &e), BIE_ERR_INVALID_ARGUMENT, &e);

    bie_options *o = bie_options_new();
    CHECK(bie_options_set_i64(o, STR("max_text_bytes"), 3, NULL) == BIE_OK);
    expect_error(bie_extract(engine, STR("text"), o, &out, &e), BIE_ERR_TEXT_TOO_LONG, &e);
    bie_options_free(o);

    bie_result *outs[2] = {out, out};
    bie_str texts[2] = {{"text", 4}, {NULL, 1}};
    expect_error(bie_extract_batch(NULL, texts, 1, NULL, outs, &e), BIE_ERR_NULL, &e);
    expect_error(bie_extract_batch(engine, NULL, 1, NULL, outs, &e), BIE_ERR_NULL, &e);
    expect_error(bie_extract_batch(engine, texts, 1, NULL, NULL, &e), BIE_ERR_NULL, &e);
    expect_error(bie_extract_batch(engine, texts, 2, NULL, outs, &e), BIE_ERR_NULL, &e);
    CHECK(outs[0] == NULL && outs[1] == NULL);
    CHECK(bie_extract_batch(engine, texts, 2, NULL, outs, NULL) == BIE_ERR_NULL);
    expect_error(bie_extract_batch(engine, texts, SIZE_MAX, NULL, outs, &e), BIE_ERR_INVALID_ARGUMENT, &e);
}

/* The message of a text that is not UTF-8 names the first wrong byte. */
static void not_utf8(const char *text, size_t len, const char *position) {
    bie_result *out;
    bie_error *e;
    CHECK(bie_extract(engine, text, len, NULL, &out, &e) == BIE_ERR_INVALID_UTF8);
    CHECK(out == NULL && strstr(bie_error_message(e, NULL), position) != NULL);
    expect_error(bie_error_status(e), BIE_ERR_INVALID_UTF8, &e);
}

/* Texts that are allowed, whatever they hold. */
static void odd_text(const char *text, size_t len) {
    bie_options *o = all_scores("utf8");
    bie_result *result = extract(engine, text, len, o);
    uint32_t length;
    size_t count;
    bie_result_coverage(result, &length, NULL, NULL);
    CHECK(length == len);
    const bie_mention *m = bie_result_mentions(result, &count);
    for (size_t i = 0; i < count; i++) CHECK(m[i].start < m[i].end && m[i].end <= len);
    size_t json_len;
    const char *json = bie_result_json(result, &json_len);
    CHECK(json != NULL && strlen(json) == json_len);
    bie_result_free(result);
    bie_options_free(o);
}

static void texts(void) {
    not_utf8("\xFF", 1, "byte 0");
    not_utf8("ab\x80", 3, "byte 2");
    not_utf8("abc\xED\xA0\xBD\xED\xB8\x80", 9, "byte 3"); /* CESU-8: an emoji as two surrogates */
    not_utf8("a\xC0\x80", 3, "byte 1");                   /* "modified UTF-8": NUL in two bytes */
    not_utf8("abcd\xF0\x9F\x98", 7, "byte 4");            /* a character cut off */
    not_utf8("\xF5\x80\x80\x80", 4, "byte 0");            /* beyond U+10FFFF */

    odd_text(NULL, 0);
    odd_text("", 0);
    odd_text(" \t\r\n\xC2\xA0\xE2\x80\xA8 ", 10);
    odd_text("aspirin\0caused\0headache", 23);
    odd_text("\0", 1);
    odd_text("\xEF\xBB\xBF" "aspirin", 10);               /* byte order mark */
    odd_text("e\xCC\x81\xCC\x81\xCC\x81 \xE2\x80\x8D\xF0\x9F\x91\xA9", 15);
    odd_text("\xF4\x8F\xBF\xBF\xEF\xBF\xBF", 7);          /* non-characters are characters */
}

static void results(void) {
    bie_result *result = extract(engine, STR(SAMPLE), NULL);
    size_t n = 1;
    uint32_t length = 1, windows = 1;
    CHECK(bie_result_mentions(NULL, &n) == NULL && n == 0);
    n = 1;
    CHECK(bie_result_relations(NULL, &n) == NULL && n == 0);
    CHECK(bie_result_mentions(result, NULL) == NULL && bie_result_relations(result, NULL) == NULL);
    CHECK(bie_result_mentions(NULL, NULL) == NULL && bie_result_relations(NULL, NULL) == NULL);
    n = 1;
    CHECK(bie_result_coverage(NULL, &length, &windows, &n) == NULL && n == 0 && length == 0 && windows == 0);
    n = 1;
    CHECK(bie_result_json(NULL, &n) == NULL && n == 0);
    CHECK(bie_result_json(NULL, NULL) == NULL);
    bie_result_free(result);
    bie_result_free(NULL);
}

/* What the boundary sees before the engine is asked. Targets that the engine refuses: explain.c. */
static void explaining(void) {
    bie_options *all = all_scores("utf8");
    bie_result *result = extract(engine, STR(SAMPLE), all);
    const bie_target target = {.kind = BIE_TARGET_ENTITY, .index = 0};
    bie_explanation *out = (bie_explanation *)&engine;
    bie_error *e;
    expect_error(bie_explain(NULL, STR(SAMPLE), result, &target, NULL, NULL, &out, &e), BIE_ERR_NULL, &e);
    CHECK(out == NULL);
    expect_error(bie_explain(engine, NULL, 4, result, &target, NULL, NULL, &out, &e), BIE_ERR_NULL, &e);
    expect_error(bie_explain(engine, STR(SAMPLE), NULL, &target, NULL, NULL, &out, &e), BIE_ERR_NULL, &e);
    expect_error(bie_explain(engine, STR(SAMPLE), result, NULL, NULL, NULL, &out, &e), BIE_ERR_NULL, &e);
    expect_error(bie_explain(engine, STR(SAMPLE), result, &target, NULL, NULL, NULL, &e), BIE_ERR_NULL, &e);
    CHECK(bie_explain(NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL) == BIE_ERR_NULL);
    expect_error(bie_explain(engine, "\xFF", 1, result, &target, NULL, NULL, &out, &e), BIE_ERR_INVALID_UTF8, &e);
    expect_error(bie_explain(engine, "x", SIZE_MAX, result, &target, NULL, NULL, &out, &e), BIE_ERR_INVALID_ARGUMENT, &e);
    CHECK(out == NULL);

    size_t mentions, relations;
    bie_result_mentions(result, &mentions);
    bie_result_relations(result, &relations);
    const bie_target bad[] = {
        {.kind = 0},
        {.kind = 5},
        {.kind = INT32_MIN},
        {.kind = BIE_TARGET_ENTITY, .index = (uint32_t)mentions},
        {.kind = BIE_TARGET_RELATION, .index = (uint32_t)relations},
        {.kind = BIE_TARGET_RELATION, .index = UINT32_MAX},
        {.kind = BIE_TARGET_ENTITY, .has_rival = 2},
        {.kind = BIE_TARGET_ENTITY, .reserved = {0, 0, 1}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        out = (bie_explanation *)&engine;
        expect_error(bie_explain(engine, STR(SAMPLE), result, &bad[i], NULL, NULL, &out, &e), BIE_ERR_INVALID_ARGUMENT, &e);
        CHECK(out == NULL);

        bie_target targets[2] = {target, bad[i]};
        bie_explanation *outs[2] = {(bie_explanation *)&engine, (bie_explanation *)&engine};
        CHECK(bie_explain_batch(engine, STR(SAMPLE), result, targets, 2, NULL, NULL, outs, &e) == BIE_ERR_INVALID_ARGUMENT);
        CHECK(strncmp(bie_error_message(e, NULL), "target 1: ", 10) == 0);
        expect_error(bie_error_status(e), BIE_ERR_INVALID_ARGUMENT, &e);
        CHECK(outs[0] == NULL && outs[1] == NULL);
    }

    bie_explanation *outs[1] = {(bie_explanation *)&engine};
    expect_error(bie_explain_batch(NULL, STR(SAMPLE), result, &target, 1, NULL, NULL, outs, &e), BIE_ERR_NULL, &e);
    CHECK(outs[0] == NULL);
    expect_error(bie_explain_batch(engine, NULL, 1, result, &target, 1, NULL, NULL, outs, &e), BIE_ERR_NULL, &e);
    expect_error(bie_explain_batch(engine, STR(SAMPLE), NULL, &target, 1, NULL, NULL, outs, &e), BIE_ERR_NULL, &e);
    expect_error(bie_explain_batch(engine, STR(SAMPLE), result, NULL, 1, NULL, NULL, outs, &e), BIE_ERR_NULL, &e);
    expect_error(bie_explain_batch(engine, STR(SAMPLE), result, &target, 1, NULL, NULL, NULL, &e), BIE_ERR_NULL, &e);
    expect_error(bie_explain_batch(engine, STR(SAMPLE), result, &target, SIZE_MAX, NULL, NULL, outs, &e),
                 BIE_ERR_INVALID_ARGUMENT, &e);
    CHECK(bie_explain_batch(NULL, NULL, 0, NULL, NULL, 1, NULL, NULL, NULL, NULL) == BIE_ERR_NULL);
    bie_result_free(result);
    bie_options_free(all);

    size_t n = 1, words = 1;
    CHECK(bie_explanation_summary(NULL) == NULL);
    CHECK(bie_explanation_words(NULL, &n) == NULL && n == 0);
    n = 1;
    CHECK(bie_explanation_evidence_for(NULL, &n) == NULL && n == 0);
    n = 1;
    CHECK(bie_explanation_evidence_against(NULL, &n) == NULL && n == 0);
    n = 1;
    CHECK(bie_explanation_heads(NULL, &n, &words) == NULL && n == 0 && words == 0);
    n = 1;
    CHECK(bie_explanation_json(NULL, &n) == NULL && n == 0);
    CHECK(bie_explanation_words(NULL, NULL) == NULL && bie_explanation_evidence_for(NULL, NULL) == NULL);
    CHECK(bie_explanation_evidence_against(NULL, NULL) == NULL && bie_explanation_heads(NULL, NULL, NULL) == NULL);
    CHECK(bie_explanation_json(NULL, NULL) == NULL);
    bie_explanation_free(NULL);

    bie_cancel *cancel = bie_cancel_new();
    CHECK(cancel != NULL);
    bie_cancel_raise(cancel);
    bie_cancel_raise(cancel);
    bie_cancel_free(cancel);
    bie_cancel_raise(NULL);
    bie_cancel_free(NULL);
}

static void errors(void) {
    size_t n = 1;
    CHECK(bie_error_status(NULL) == BIE_OK);
    CHECK(strcmp(bie_error_message(NULL, &n), "") == 0 && n == 0);
    CHECK(strcmp(bie_error_message(NULL, NULL), "") == 0);
    bie_error_free(NULL);
    CHECK(bie_has_feature(NULL, 4) == 0 && bie_has_feature(NULL, 0) == 0);
    CHECK(strcmp(bie_status_name(BIE_OK), "BIE_OK") == 0);
    CHECK(strcmp(bie_status_name(BIE_ERR_CHECKSUM), "BIE_ERR_CHECKSUM") == 0);
    CHECK(strcmp(bie_status_name(-1), "BIE_ERR_UNKNOWN") == 0);
    CHECK(strcmp(bie_status_name(INT32_MAX), "BIE_ERR_UNKNOWN") == 0);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    bie_engine *own = open_engine(argv[1]);
    engine = own;
    options();
    opening(argv[1]);
    extracting();
    texts();
    results();
    explaining();
    errors();
    bie_engine_free(own);
    return 0;
}
