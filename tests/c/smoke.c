/* smoke BUNDLE: opens, extracts, and reads everything that a result holds. */
#include "check.h"

static void check_records(const bie_engine *engine, const bie_result *result, uint32_t length) {
    size_t mention_count, relation_count, unread_count;
    const bie_mention *mentions = bie_result_mentions(result, &mention_count);
    const bie_relation *relations = bie_result_relations(result, &relation_count);
    CHECK(mention_count > 0 && mentions != NULL);
    CHECK(relation_count > 0 && relations != NULL);
    for (size_t i = 0; i < mention_count; i++) {
        const bie_mention *m = &mentions[i];
        CHECK(m->start < m->end && m->end <= length);
        CHECK(m->score >= 0.0f && m->score <= 1.0f);
        CHECK(m->group < mention_count);
        CHECK(bie_engine_label(engine, m->label, NULL) != NULL);
        CHECK(m->reserved[0] == 0 && m->reserved[1] == 0 && m->reserved[2] == 0);
        if (i > 0) CHECK(m[-1].start < m->start || (m[-1].start == m->start && m[-1].end <= m->end));
    }
    for (size_t i = 0; i < relation_count; i++) {
        const bie_relation *r = &relations[i];
        CHECK(r->head < mention_count && r->tail < mention_count);
        CHECK(mentions[r->head].group != mentions[r->tail].group);
        CHECK(r->score >= 0.0f && r->score <= 1.0f);
        CHECK(bie_engine_relation_label(engine, r->label, NULL) != NULL);
        for (size_t k = 0; k < 4; k++) CHECK(r->reserved[k] == 0);
    }

    uint32_t covered, windows;
    const bie_range *unread = bie_result_coverage(result, &covered, &windows, &unread_count);
    CHECK(covered == length && windows > 0);
    CHECK(unread == NULL && unread_count == 0);
    CHECK(bie_result_coverage(result, NULL, NULL, NULL) == NULL);
}

static void check_json(const bie_engine *engine, const bie_result *result) {
    size_t len;
    const char *json = bie_result_json(result, &len);
    CHECK(json != NULL && len == strlen(json));
    CHECK(bie_result_json(result, NULL) == json);
    CHECK(json[0] == '{' && json[len - 1] == '}');
    CHECK(strstr(json, bie_engine_model_id(engine, NULL)) != NULL);
    CHECK(strstr(json, bie_engine_bundle_hash(engine, NULL)) != NULL);
    CHECK(strstr(json, bie_engine_label(engine, 0, NULL)) != NULL);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    CHECK(bie_abi_version() == ((uint32_t)BIE_ABI_MAJOR << 16 | BIE_ABI_MINOR));
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d (", BIE_VERSION_MAJOR, BIE_VERSION_MINOR, BIE_VERSION_PATCH);
    CHECK(strncmp(bie_version(), version, strlen(version)) == 0);
    CHECK(bie_has_feature(STR("relations")) == 1 && bie_has_feature(STR("none such")) == 0);

    bie_engine *engine = open_engine(argv[1]);
    size_t len;
    CHECK(strlen(bie_engine_bundle_hash(engine, &len)) == 64 && len == 64);
    CHECK(strlen(bie_engine_model_id(engine, &len)) == len && len > 0);
    uint32_t labels = 0, relation_labels = 0;
    while (bie_engine_label(engine, labels, &len) != NULL) {
        CHECK(len > 0 && strlen(bie_engine_label(engine, labels, NULL)) == len);
        labels++;
    }
    CHECK(labels > 0 && len == 0 && bie_engine_label(engine, UINT32_MAX, NULL) == NULL);
    while (bie_engine_relation_label(engine, relation_labels, &len) != NULL) relation_labels++;
    CHECK(relation_labels > 0 && len == 0);

    bie_options *utf8 = all_scores("utf8");
    bie_result *bytes = extract(engine, STR(SAMPLE), utf8);
    check_records(engine, bytes, (uint32_t)strlen(SAMPLE));
    check_json(engine, bytes);

    const char *const units[] = {"utf16", "utf32"};
    for (size_t u = 0; u < 2; u++) {
        bie_options *options = all_scores(units[u]);
        bie_result *other = extract(engine, STR(SAMPLE), options);
        bie_options_free(options);
        check_records(engine, other, convert(SAMPLE, (uint32_t)strlen(SAMPLE), units[u]));
        CHECK(strstr(bie_result_json(other, NULL), units[u]) != NULL);
        size_t count, same;
        const bie_mention *a = bie_result_mentions(bytes, &count);
        const bie_mention *b = bie_result_mentions(other, &same);
        CHECK(count == same);
        for (size_t i = 0; i < count; i++) {
            CHECK(b[i].start == convert(SAMPLE, a[i].start, units[u]));
            CHECK(b[i].end == convert(SAMPLE, a[i].end, units[u]));
            CHECK(b[i].label == a[i].label && b[i].score == a[i].score && b[i].group == a[i].group);
        }
        bie_result_free(other);
    }

    /* Options given at open serve every call that brings none. */
    bie_engine *wide;
    CHECK(bie_engine_open(STR(argv[1]), utf8, &wide, NULL) == BIE_OK);
    bie_result *same = extract(wide, STR(SAMPLE), NULL);
    CHECK(strcmp(bie_result_json(same, NULL), bie_result_json(bytes, NULL)) == 0);

    bie_result_free(same);
    bie_engine_free(wide);
    bie_result_free(bytes);
    bie_options_free(utf8);
    bie_engine_free(engine);
    return 0;
}
