/* explain BUNDLE OTHER: everything that an explanation holds, every target that is refused, cancellation, threads.
   OTHER is a bundle with another hash. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <math.h>
#include <pthread.h>
#include <time.h>

static const char *const METHODS[] = {
    "auto",      "attention", "attention_rollout", "input_x_gradient", "attention_x_gradient", "integrated_gradients",
    "occlusion", "shap",      "lime", "guided_occlusion",
};
enum { METHOD_COUNT = sizeof METHODS / sizeof *METHODS };

static const bie_engine *engine;
static const bie_result *result; /* of SAMPLE, in bytes, everything reported */

/* The first mention, and the first relation of a chemical and a disease: causes (0) or treats (1), not interacts (2). */
static const bie_target ENTITY = {.kind = BIE_TARGET_ENTITY, .index = 0};
static bie_target RELATION = {.kind = BIE_TARGET_RELATION};

static const bie_relation *relation(void) {
    size_t count;
    return &bie_result_relations(result, &count)[RELATION.index];
}

static bie_options *with_method(const char *method) {
    bie_options *options = bie_options_new();
    CHECK(options != NULL && bie_options_set_str(options, STR("method"), STR(method), NULL) == BIE_OK);
    return options;
}

static bie_explanation *explain_in(const bie_result *of, const bie_target *target, const bie_options *options) {
    bie_explanation *explanation;
    bie_error *error;
    if (bie_explain(engine, STR(SAMPLE), of, target, options, NULL, &explanation, &error) != BIE_OK) {
        fprintf(stderr, "explain: %s\n", bie_error_message(error, NULL));
        exit(1);
    }
    CHECK(explanation != NULL && error == NULL);
    return explanation;
}

static bie_explanation *explain(const bie_target *target, const bie_options *options) {
    return explain_in(result, target, options);
}

/* The same bytes: the JSON holds everything. */
static void expect_equal(const bie_explanation *one, const bie_explanation *other) {
    if (strcmp(bie_explanation_json(one, NULL), bie_explanation_json(other, NULL)) != 0) {
        fprintf(stderr, "differ:\n%s\n%s\n", bie_explanation_json(one, NULL), bie_explanation_json(other, NULL));
        exit(1);
    }
}

static void check_evidence(const bie_evidence *evidence, size_t count, float sign) {
    CHECK(count <= 3 && (evidence == NULL) == (count == 0));
    for (size_t i = 0; i < count; i++) {
        CHECK(evidence[i].start < evidence[i].end && evidence[i].end <= strlen(SAMPLE));
        CHECK(evidence[i].weight * sign > 0.0f && evidence[i].reserved == 0);
        if (i > 0) CHECK(evidence[i].weight * sign <= evidence[i - 1].weight * sign);
    }
}

/* What holds of every explanation of SAMPLE in bytes. */
static void check_records(const bie_explanation *explanation) {
    const bie_summary *s = bie_explanation_summary(explanation);
    CHECK(s != NULL && s == bie_explanation_summary(explanation));
    CHECK(s->method > BIE_METHOD_AUTO && s->method < METHOD_COUNT);
    CHECK(s->chosen <= 1 && s->unreliable <= 1 && s->cut_short == 0);
    CHECK(s->score >= 0.0f && s->score <= 1.0f && s->evaluations > 0);
    CHECK(isfinite(s->baseline_score) && isfinite(s->without_evidence));
    CHECK(isnan(s->fit) == (s->method != BIE_METHOD_LIME));
    CHECK(isnan(s->completeness_error) ==
          (s->method != BIE_METHOD_INTEGRATED_GRADIENTS && s->method != BIE_METHOD_SHAP));
    for (size_t i = 0; i < 5; i++) CHECK(s->reserved[i] == 0);

    size_t count, in_target = 0;
    const bie_word *words = bie_explanation_words(explanation, &count);
    CHECK(words != NULL && count > 0);
    for (size_t i = 0; i < count; i++) {
        CHECK(words[i].start < words[i].end && words[i].end <= strlen(SAMPLE));
        CHECK(i == 0 || words[i - 1].end <= words[i].start);
        CHECK(isfinite(words[i].weight) && words[i].standard_error >= 0.0f && words[i].in_target <= 1);
        CHECK(words[i].reserved[0] == 0 && words[i].reserved[1] == 0 && words[i].reserved[2] == 0);
        in_target += words[i].in_target;
    }
    CHECK(in_target > 0 && in_target < count);
    CHECK(bie_explanation_words(explanation, NULL) == NULL);

    const bie_evidence *evidence = bie_explanation_evidence_for(explanation, &count);
    check_evidence(evidence, count, 1.0f);
    evidence = bie_explanation_evidence_against(explanation, &count);
    check_evidence(evidence, count, -1.0f);
    CHECK(bie_explanation_evidence_for(explanation, NULL) == NULL);
    CHECK(bie_explanation_evidence_against(explanation, NULL) == NULL);

    size_t len;
    const char *json = bie_explanation_json(explanation, &len);
    CHECK(json != NULL && len == strlen(json) && json[0] == '{' && json[len - 1] == '}');
    CHECK(bie_explanation_json(explanation, NULL) == json);
    CHECK(strstr(json, METHODS[s->method]) != NULL && strstr(json, bie_engine_bundle_hash(engine, NULL)) != NULL);
}

static void methods(void) {
    size_t count;
    const float scores[] = {bie_result_mentions(result, &count)[0].score, relation()->score};
    const bie_target targets[] = {ENTITY, RELATION};
    for (int m = 0; m < METHOD_COUNT; m++) {
        bie_options *options = with_method(METHODS[m]);
        for (size_t t = 0; t < 2; t++) {
            bie_explanation *explanation = explain(&targets[t], options);
            check_records(explanation);
            const bie_summary *s = bie_explanation_summary(explanation);
            CHECK((s->chosen == 1) == (m == BIE_METHOD_AUTO));
            CHECK(m == BIE_METHOD_AUTO || s->method == (bie_method)m);
            CHECK(fabsf(s->score - scores[t]) <= 1e-3f); /* what was reported is what is explained */
            CHECK(isnan(s->rival_score));
            CHECK(isnan(s->comprehensiveness) && isnan(s->sufficiency));
            CHECK(isnan(s->random_comprehensiveness) && isnan(s->random_sufficiency));
            size_t heads = 1, words = 1;
            CHECK(bie_explanation_heads(explanation, &heads, &words) == NULL && heads == 0 && words == 0);
            bie_explanation *again = explain(&targets[t], options);
            expect_equal(explanation, again);
            bie_explanation_free(again);
            bie_explanation_free(explanation);
        }
        bie_options_free(options);
    }
    /* NULL: the options of the engine, whose method is "auto". */
    bie_options *automatic = with_method("auto");
    bie_explanation *one = explain(&RELATION, NULL), *other = explain(&RELATION, automatic);
    expect_equal(one, other);
    bie_explanation_free(one);
    bie_explanation_free(other);
    bie_options_free(automatic);
}

static void requests(void) {
    bie_options *options = with_method("occlusion");
    CHECK(bie_options_set_str(options, STR("faithfulness"), STR("on"), NULL) == BIE_OK);
    CHECK(bie_options_set_str(options, STR("attention_heads"), STR("on"), NULL) == BIE_OK);
    bie_explanation *explanation = explain(&RELATION, options);
    const bie_summary *s = bie_explanation_summary(explanation);
    CHECK(isfinite(s->comprehensiveness) && isfinite(s->sufficiency));
    CHECK(isfinite(s->random_comprehensiveness) && isfinite(s->random_sufficiency));
    size_t heads, words, count;
    const float *weights = bie_explanation_heads(explanation, &heads, &words);
    CHECK(bie_explanation_words(explanation, &count) != NULL);
    CHECK(weights != NULL && heads == 4 && words == count); /* the tiny bundle has 4 heads */
    for (size_t h = 0; h < heads; h++) {
        float sum = 0.0f;
        for (size_t w = 0; w < words; w++) {
            CHECK(weights[h * words + w] >= 0.0f);
            sum += weights[h * words + w];
        }
        CHECK(sum > 0.0f && sum <= 1.001f);
    }
    CHECK(bie_explanation_heads(explanation, NULL, NULL) == weights);
    bie_explanation_free(explanation);
    bie_options_free(options);
}

/* A decision is the same however it is named, and need not have been reported. */
static void targets(void) {
    size_t count;
    const bie_mention *m = bie_result_mentions(result, &count);
    const bie_relation *r = relation();
    bie_options *options = with_method("occlusion");

    bie_target span = {.kind = BIE_TARGET_SPAN, .start = m->start, .end = m->end, .label = m->label};
    bie_explanation *one = explain(&ENTITY, options), *other = explain(&span, options);
    expect_equal(one, other);
    bie_explanation_free(one);
    bie_explanation_free(other);

    bie_target pair = {.kind = BIE_TARGET_PAIR, .head = r->head, .tail = r->tail, .label = r->label};
    one = explain(&RELATION, options);
    other = explain(&pair, options);
    expect_equal(one, other);
    bie_explanation_free(one);
    bie_explanation_free(other);

    /* The other type of the same span, and the question between the two. */
    bie_target type = span;
    type.label = 1 - m->label; /* Chemical and Disease */
    other = explain(&type, options);
    float score = bie_explanation_summary(other)->score;
    bie_explanation_free(other);
    span.has_rival = 1;
    span.rival = type.label;
    one = explain(&span, options);
    CHECK(fabsf(bie_explanation_summary(one)->rival_score - score) < 1e-6f);
    CHECK(strstr(bie_explanation_json(one, NULL), bie_engine_label(engine, span.rival, NULL)) != NULL);
    bie_explanation_free(one);

    /* Why causes and not treats? */
    bie_target rival = RELATION;
    rival.has_rival = 1;
    rival.rival = 1 - r->label;
    one = explain(&rival, options);
    const bie_summary *s = bie_explanation_summary(one);
    CHECK(s->rival_score >= 0.0f && s->rival_score <= 1.0f);
    bie_explanation_free(one);
    bie_options_free(options);
}

/* Offsets are in the unit of the result, whatever the options of the call say. */
static void units(void) {
    bie_options *options = with_method("occlusion");
    bie_explanation *bytes = explain(&RELATION, options);
    size_t count, same;
    const bie_word *a = bie_explanation_words(bytes, &count);
    const char *const names[] = {"utf16", "utf32"};
    for (size_t u = 0; u < 2; u++) {
        bie_options *all = all_scores(names[u]);
        bie_result *of = extract(engine, STR(SAMPLE), all);
        bie_options_free(all);
        bie_explanation *other = explain_in(of, &RELATION, options);
        const bie_word *b = bie_explanation_words(other, &same);
        CHECK(count == same);
        for (size_t i = 0; i < count; i++) {
            CHECK(b[i].start == convert(SAMPLE, a[i].start, names[u]) && b[i].end == convert(SAMPLE, a[i].end, names[u]));
            CHECK(b[i].weight == a[i].weight);
        }
        CHECK(strstr(bie_explanation_json(other, NULL), names[u]) != NULL);

        /* The last mention, behind characters of every length, named as a span in this unit. */
        size_t mentions;
        const bie_mention *last = bie_result_mentions(of, &mentions);
        last += mentions - 1;
        bie_target span = {.kind = BIE_TARGET_SPAN, .start = last->start, .end = last->end, .label = last->label};
        bie_explanation *end = explain_in(of, &span, options);
        CHECK(fabsf(bie_explanation_summary(end)->score - last->score) <= 1e-3f);
        bie_explanation_free(end);
        bie_explanation_free(other);
        bie_result_free(of);
    }
    bie_explanation_free(bytes);
    bie_options_free(options);
}

static void refused(const bie_target *target, const bie_result *of, const char *what) {
    bie_target targets[] = {ENTITY, *target};
    bie_explanation *outs[2];
    bie_error *error;
    bie_options *options = with_method("occlusion");
    bie_status status = bie_explain_batch(engine, STR(SAMPLE), of, targets, 2, options, NULL, outs, &error);
    if (status != BIE_ERR_INVALID_ARGUMENT || strncmp(bie_error_message(error, NULL), "target 1: ", 10) != 0) {
        fprintf(stderr, "%s: %s, %s\n", what, bie_status_name(status), bie_error_message(error, NULL));
        exit(1);
    }
    expect_error(status, BIE_ERR_INVALID_ARGUMENT, &error);
    CHECK(outs[0] == NULL && outs[1] == NULL);
    CHECK(bie_explain(engine, STR(SAMPLE), of, target, options, NULL, outs, &error) == BIE_ERR_INVALID_ARGUMENT);
    expect_error(bie_error_status(error), BIE_ERR_INVALID_ARGUMENT, &error);
    bie_options_free(options);
}

static void bad_targets(void) {
    size_t mentions;
    const bie_mention *m = bie_result_mentions(result, &mentions);
    const bie_relation *r = relation();
    const uint32_t length = (uint32_t)strlen(SAMPLE);
    uint32_t beta = (uint32_t)(strstr(SAMPLE, "\xCE\xB2") - SAMPLE), emoji = (uint32_t)(strstr(SAMPLE, "\xF0") - SAMPLE);
#define SPAN(from, to, type) BIE_TARGET_SPAN, .start = (from), .end = (to), .label = (type)
#define PAIR(from, to, type) BIE_TARGET_PAIR, .head = (from), .tail = (to), .label = (type)
    const struct {
        const char *what;
        bie_target target;
    } bad[] = {
        {"no such type", {.kind = SPAN(m->start, m->end, 2)}},
        {"no type at all", {.kind = SPAN(m->start, m->end, UINT32_MAX)}},
        {"empty span", {.kind = SPAN(m->start, m->start, 0)}},
        {"span from end to start", {.kind = SPAN(m->end, m->start, 0)}},
        {"span beyond the text", {.kind = SPAN(m->start, length + 1, 0)}},
        {"span far beyond the text", {.kind = SPAN(UINT32_MAX - 1, UINT32_MAX, 0)}},
        {"span that begins inside a character", {.kind = SPAN(beta + 1, beta + 10, 0)}},
        {"span that ends inside a character", {.kind = SPAN(beta, emoji + 2, 0)}},
        {"span of the whole text, which no window holds", {.kind = SPAN(0, length, 0)}},
        {"span of white space", {.kind = SPAN(length - 1, length, 0)}},
        {"type as its own rival", {.kind = SPAN(m->start, m->end, 1), .has_rival = 1, .rival = 1}},
        {"entity's type as its own rival", {.kind = BIE_TARGET_ENTITY, .has_rival = 1, .rival = m->label}},
        {"no such rival", {.kind = BIE_TARGET_ENTITY, .has_rival = 1, .rival = UINT32_MAX}},
        {"no such relation", {.kind = PAIR(r->head, r->tail, 3)}},
        {"no such head", {.kind = PAIR((uint32_t)mentions, r->tail, r->label)}},
        {"no such tail", {.kind = PAIR(r->head, UINT32_MAX, r->label)}},
        {"partner of itself", {.kind = PAIR(r->head, r->head, 2)}},
        {"pair that the schema does not admit", {.kind = PAIR(r->tail, r->head, r->label)}},
        {"relation that the pair does not admit", {.kind = PAIR(r->head, r->tail, 2)}},
        {"relation as its own rival", {.kind = BIE_TARGET_RELATION, .has_rival = 1, .rival = r->label}},
        {"rival that the schema does not admit", {.kind = PAIR(r->head, r->tail, r->label), .has_rival = 1, .rival = 2}},
        {"rival that does not exist", {.kind = BIE_TARGET_RELATION, .has_rival = 1, .rival = 9}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refused(&bad[i].target, result, bad[i].what);

    /* Between the two units of a character that UTF-16 writes with two. */
    bie_options *all = all_scores("utf16");
    bie_result *wide = extract(engine, STR(SAMPLE), all);
    uint32_t at = convert(SAMPLE, emoji, "utf16");
    bie_target half = {.kind = SPAN(at + 1, at + 8, 0)};
    refused(&half, wide, "span that begins between surrogates");
    bie_result_free(wide);
    bie_options_free(all);
}

static void expect_stale(const bie_engine *by, const char *text, size_t len, const bie_result *of) {
    bie_explanation *out = (bie_explanation *)&engine;
    bie_error *error;
    expect_error(bie_explain(by, text, len, of, &ENTITY, NULL, NULL, &out, &error), BIE_ERR_INVALID_ARGUMENT, &error);
    CHECK(out == NULL);
}

static void stale_results(const char *other_bundle) {
    char text[] = SAMPLE;
    size_t len = strlen(text), count;
    expect_stale(engine, text, len - 1, result);
    expect_stale(engine, NULL, 0, result);
    const bie_mention *m = bie_result_mentions(result, &count);
    text[m->start]++;
    expect_stale(engine, text, len, result); /* another word in the place of the mention */
    bie_engine *other = open_engine(other_bundle);
    CHECK(strcmp(bie_engine_bundle_hash(other, NULL), bie_engine_bundle_hash(engine, NULL)) != 0);
    expect_stale(other, STR(SAMPLE), result);
    bie_engine_free(other);
}

static int near(float a, float b) { return fabsf(a - b) < 1e-5f; }

/* A batch gives what single calls give, in order, whatever shares a window. */
static void batch(void) {
    enum { MOST = 24 };
    bie_target targets[MOST];
    bie_explanation *made[MOST];
    bie_error *error;
    size_t mentions, relations, count = 0;
    bie_result_mentions(result, &mentions);
    bie_result_relations(result, &relations);
    for (size_t i = 0; i < mentions && count < MOST / 2; i++) {
        targets[count++] = (bie_target){.kind = BIE_TARGET_ENTITY, .index = (uint32_t)(mentions - 1 - i)};
    }
    for (size_t i = 0; i < relations && count < MOST; i++) {
        targets[count++] = (bie_target){.kind = BIE_TARGET_RELATION, .index = (uint32_t)i};
    }
    bie_options *options = with_method("occlusion");
    memset(made, 0xA5, sizeof made);
    CHECK(bie_explain_batch(engine, STR(SAMPLE), result, targets, count, options, NULL, made, &error) == BIE_OK);
    CHECK(error == NULL);
    for (size_t i = 0; i < count; i++) {
        /* All but the cost, which a batch shares; up to the last bits, as pairs of one window are multiplied together. */
        bie_explanation *single = explain(&targets[i], options);
        const bie_summary *a = bie_explanation_summary(made[i]), *b = bie_explanation_summary(single);
        CHECK(near(a->score, b->score) && near(a->without_evidence, b->without_evidence));
        CHECK(near(a->baseline_score, b->baseline_score) && a->unreliable == b->unreliable);
        size_t words, same;
        const bie_word *v = bie_explanation_words(made[i], &words), *w = bie_explanation_words(single, &same);
        CHECK(words == same);
        for (size_t k = 0; k < words; k++) {
            CHECK(v[k].start == w[k].start && v[k].end == w[k].end && v[k].in_target == w[k].in_target);
            CHECK(near(v[k].weight, w[k].weight));
        }
        const bie_evidence *e = bie_explanation_evidence_for(made[i], &words), *f = bie_explanation_evidence_for(single, &same);
        CHECK(words == same);
        for (size_t k = 0; k < words; k++) CHECK(e[k].start == f[k].start && e[k].end == f[k].end && near(e[k].weight, f[k].weight));
        bie_explanation_free(single);
    }
    for (size_t i = count; i-- > 0;) bie_explanation_free(made[i]);

    /* No targets is no work. */
    CHECK(bie_explain_batch(engine, STR(SAMPLE), result, NULL, 0, NULL, NULL, NULL, &error) == BIE_OK && error == NULL);
    bie_options_free(options);
}

static double now(void) {
    struct timespec time;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void *raise_later(void *argument) {
    struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    nanosleep(&pause, NULL);
    double *raised = malloc(sizeof *raised);
    CHECK(raised != NULL);
    *raised = now();
    bie_cancel_raise(argument);
    return raised;
}

/* Work that would take minutes ends within 50 ms of the flag. */
static void cancelled(void) {
    bie_options *endless = with_method("shap");
    CHECK(bie_options_set_i64(endless, STR("evaluations"), 1000000, NULL) == BIE_OK);
    bie_explanation *out = (bie_explanation *)&engine;
    bie_error *error;
    int late = 0;
    for (int round = 0; round < 5; round++) {
        bie_cancel *cancel = bie_cancel_new();
        pthread_t thread;
        void *raised;
        CHECK(pthread_create(&thread, NULL, raise_later, cancel) == 0);
        bie_status status = bie_explain(engine, STR(SAMPLE), result, &RELATION, endless, cancel, &out, &error);
        double ended = now();
        CHECK(pthread_join(thread, &raised) == 0);
        expect_error(status, BIE_ERR_CANCELLED, &error);
        CHECK(out == NULL);
        late += ended - *(double *)raised > 50.0;
        free(raised);

        /* It stays up: at once, for a single call and for a batch. */
        double begun = now();
        expect_error(bie_explain(engine, STR(SAMPLE), result, &RELATION, endless, cancel, &out, &error),
                     BIE_ERR_CANCELLED, &error);
        bie_target two[] = {ENTITY, RELATION};
        bie_explanation *outs[2];
        expect_error(bie_explain_batch(engine, STR(SAMPLE), result, two, 2, endless, cancel, outs, &error),
                     BIE_ERR_CANCELLED, &error);
        CHECK(outs[0] == NULL && outs[1] == NULL);
        late += now() - begun > 50.0;
        bie_cancel_free(cancel);
    }
    CHECK(late <= 1); /* a busy machine may hold one up */
    bie_options_free(endless);

    /* The engine is as it was, and a flag that stays down changes nothing. */
    bie_options *options = with_method("occlusion");
    bie_cancel *down = bie_cancel_new();
    CHECK(bie_explain(engine, STR(SAMPLE), result, &RELATION, options, down, &out, NULL) == BIE_OK);
    bie_explanation *same = explain(&RELATION, options);
    expect_equal(out, same);
    bie_explanation_free(same);
    bie_explanation_free(out);
    bie_cancel_free(down);
    bie_options_free(options);
}

/* A time budget ends the work with what there is, and says so. */
static void budget(void) {
    bie_options *options = with_method("shap");
    CHECK(bie_options_set_i64(options, STR("evaluations"), 1000000, NULL) == BIE_OK);
    CHECK(bie_options_set_i64(options, STR("time_budget_ms"), 30, NULL) == BIE_OK);
    double begun = now();
    bie_explanation *explanation = explain(&RELATION, options);
    CHECK(now() - begun < 1000.0);
    CHECK(bie_explanation_summary(explanation)->cut_short == 1);
    bie_explanation_free(explanation);
    bie_options_free(options);
}

static void *explain_all(void *argument) {
    const char *(*expected)[2] = argument;
    const bie_target targets[] = {ENTITY, RELATION};
    for (int m = METHOD_COUNT - 1; m >= 0; m--) {
        bie_options *options = with_method(METHODS[m]);
        CHECK(bie_options_set_i64(options, STR("threads"), 1 + m % 4, NULL) == BIE_OK);
        for (size_t t = 0; t < 2; t++) {
            bie_explanation *explanation = explain(&targets[t], options);
            CHECK(strcmp(bie_explanation_json(explanation, NULL), expected[m][t]) == 0);
            bie_explanation_free(explanation);
        }
        bie_options_free(options);
    }
    return NULL;
}

/* The same bytes from one thread and from four of the library's, and from several of the host's at once. */
static void threads(void) {
    enum { THREADS = 3 };
    const bie_target targets[] = {ENTITY, RELATION};
    bie_explanation *kept[METHOD_COUNT][2];
    const char *expected[METHOD_COUNT][2];
    for (int m = 0; m < METHOD_COUNT; m++) {
        bie_options *options = with_method(METHODS[m]);
        for (size_t t = 0; t < 2; t++) {
            CHECK(bie_options_set_i64(options, STR("threads"), 1, NULL) == BIE_OK);
            kept[m][t] = explain(&targets[t], options);
            expected[m][t] = bie_explanation_json(kept[m][t], NULL);
            CHECK(bie_options_set_i64(options, STR("threads"), 4, NULL) == BIE_OK);
            bie_explanation *other = explain(&targets[t], options);
            expect_equal(other, kept[m][t]);
            bie_explanation_free(other);
        }
        bie_options_free(options);
    }
    pthread_t workers[THREADS];
    for (size_t t = 0; t < THREADS; t++) CHECK(pthread_create(&workers[t], NULL, explain_all, expected) == 0);
    for (size_t t = 0; t < THREADS; t++) CHECK(pthread_join(workers[t], NULL) == 0);
    for (int m = 0; m < METHOD_COUNT; m++) {
        for (size_t t = 0; t < 2; t++) bie_explanation_free(kept[m][t]);
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    bie_options *open = bie_options_new();
    CHECK(bie_options_set_i64(open, STR("sessions"), 4, NULL) == BIE_OK);
    bie_engine *own;
    CHECK(bie_engine_open(STR(argv[1]), open, &own, NULL) == BIE_OK);
    bie_options_free(open);
    engine = own;
    bie_options *all = all_scores("utf8");
    bie_result *of = extract(engine, STR(SAMPLE), all);
    bie_options_free(all);
    result = of;

    size_t relations;
    const bie_relation *r = bie_result_relations(result, &relations);
    while (RELATION.index < relations && r[RELATION.index].label > 1) RELATION.index++;
    CHECK(RELATION.index < relations);

    methods();
    requests();
    targets();
    units();
    bad_targets();
    stale_results(argv[2]);
    batch();
    cancelled();
    budget();
    threads();

    /* An explanation needs nothing of what it was made from. */
    bie_explanation *last = explain(&ENTITY, NULL);
    bie_result_free(of);
    bie_engine_free(own);
    CHECK(strstr(bie_explanation_json(last, NULL), "\"words\":[{") != NULL);
    bie_explanation_free(last);
    return 0;
}
