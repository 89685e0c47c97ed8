// wrapper BUNDLE: bie.hpp owns, moves, throws and reads as it says. other.cpp includes the header a second time.
#include "bie.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#define CHECK(condition)                                                                                   \
    do {                                                                                                   \
        if (!(condition)) {                                                                                \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                           \
            std::exit(1);                                                                                  \
        }                                                                                                  \
    } while (0)

std::size_t mentions_elsewhere(const bie::Result &result);

static const std::string_view text = "Aspirin caused heart failure (HF) \xF0\x9F\x98\x80 in two patients.";

template <typename Call> static bie_status status_of(Call call) {
    try {
        call();
    } catch (const bie::Error &error) {
        CHECK(std::strlen(error.what()) > 10);
        return error.status();
    }
    return BIE_OK;
}

static_assert(!std::is_copy_constructible_v<bie::Engine> && std::is_nothrow_move_constructible_v<bie::Engine>);
static_assert(!std::is_copy_constructible_v<bie::Result> && std::is_nothrow_move_constructible_v<bie::Result>);
static_assert(!std::is_copy_constructible_v<bie::Explanation> && std::is_nothrow_move_constructible_v<bie::Explanation>);
static_assert(!std::is_copy_constructible_v<bie::Cancel> && std::is_nothrow_move_constructible_v<bie::Cancel>);
static_assert(std::is_trivially_copyable_v<bie::Target>);

static void targets() {
    const bie_target entity = bie::Target::entity(3).get();
    CHECK(entity.kind == BIE_TARGET_ENTITY && entity.index == 3 && entity.has_rival == 0 && entity.reserved[2] == 0);
    const bie_target span = bie::Target::span(4, 9, 1).rather_than(0).get();
    CHECK(span.kind == BIE_TARGET_SPAN && span.start == 4 && span.end == 9 && span.label == 1);
    CHECK(span.has_rival == 1 && span.rival == 0);
    const bie_target pair = bie::Target::pair(5, 6, 2).get();
    CHECK(pair.kind == BIE_TARGET_PAIR && pair.head == 5 && pair.tail == 6 && pair.label == 2);
    const bie::Target relation = bie::Target::relation(7);
    CHECK(relation.rather_than(2).get().rival == 2 && relation.get().has_rival == 0); // a copy was changed
}

static void explanations(const bie::Engine &engine, const bie::Options &all) {
    const bie::Result result = engine.extract(text, all);
    bie::Options options;
    options.set("method", "occlusion").set("attention_heads", "on").set("faithfulness", "on");
    bie::Explanation first = engine.explain(text, result, bie::Target::relation(0), options);
    const bie::Explanation why = std::move(first);
    CHECK(why.summary().method == BIE_METHOD_OCCLUSION && why.summary().chosen == 0);
    CHECK(why.summary().comprehensiveness == why.summary().comprehensiveness); // measured: not NaN
    CHECK(!why.words().empty() && why.evidence_for().size() <= 3 && why.evidence_against().size() <= 3);
    for (const bie_word &word : why.words()) CHECK(word.start < word.end && word.end <= result.length());
    const auto heads = why.heads();
    CHECK(!heads.empty() && heads.back().size() == why.words().size() && heads.back()[0] >= 0.0f);
    CHECK(why.json().find("\"occlusion\"") != std::string_view::npos);

    const bie::Explanation plain = engine.explain(text, result, bie::Target::entity(0));
    CHECK(plain.heads().empty() && plain.summary().chosen == 1);
    const std::vector<bie::Target> both = {bie::Target::entity(0), bie::Target::relation(0)};
    CHECK(engine.explain(text, result, both).size() == 2);
    CHECK(engine.explain(text, result, both, options)[1].summary().score == why.summary().score);
    CHECK(engine.explain(text, result, std::vector<bie::Target>()).empty());
    CHECK(status_of([&] { engine.explain(text, result, bie::Target::entity(9999)); }) == BIE_ERR_INVALID_ARGUMENT);
    CHECK(status_of([&] { engine.explain("other text", result, both); }) == BIE_ERR_INVALID_ARGUMENT);

    const bie::Cancel cancel;
    CHECK(engine.explain(text, result, both, options, cancel).size() == 2);
    options.set("method", "shap").set("evaluations", 1000000).set("faithfulness", "off");
    std::thread raises([&] { cancel.raise(); });
    CHECK(status_of([&] { engine.explain(text, result, both, options, cancel); }) == BIE_ERR_CANCELLED);
    CHECK(status_of([&] { engine.explain(text, result, both[0], options, cancel); }) == BIE_ERR_CANCELLED);
    raises.join();
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    bie::Options options;
    options.set("min_score", 0.0).set("offset_unit", "utf16").set("threads", 2).set("sessions", 1u);
    CHECK(status_of([&] { options.set("threads", 0); }) == BIE_ERR_INVALID_ARGUMENT);
    CHECK(status_of([&] { options.set("min_score", 2.0f); }) == BIE_ERR_INVALID_ARGUMENT);
    CHECK(status_of([&] { options.set(std::string("nothing"), std::string("x")); }) == BIE_ERR_UNKNOWN_OPTION);
    CHECK(status_of([] { bie::Engine("no/such/bundle"); }) == BIE_ERR_IO);

    bie::Engine first(argv[1], options);
    bie::Engine engine = std::move(first);
    CHECK(!engine.model_id().empty() && engine.bundle_hash().size() == 64);
    CHECK(!engine.label(0).empty() && !engine.relation_label(0).empty());
    CHECK(engine.label(UINT32_MAX).empty() && engine.relation_label(UINT32_MAX).empty());

    bie::Result result = engine.extract(text);
    CHECK(result.length() == text.size() - 2 && result.windows() == 1 && result.unread().empty());
    CHECK(!result.mentions().empty() && mentions_elsewhere(result) == result.mentions().size());
    for (const bie_mention &mention : result.mentions()) CHECK(mention.end <= result.length());
    for (const bie_relation &relation : result.relations()) CHECK(result.mentions()[relation.head].label < 1000);
    CHECK(result.json().find(engine.model_id()) != std::string_view::npos);

    bie::Options bytes;
    bytes.set("min_score", 0.0);
    CHECK(engine.extract(text, bytes).length() == text.size());
    CHECK(engine.extract(std::string_view()).mentions().empty());
    CHECK(status_of([&] { engine.extract("\xFF"); }) == BIE_ERR_INVALID_UTF8);

    const std::vector<std::string_view> texts = {text, "", text};
    std::vector<bie::Result> results = engine.extract(texts);
    CHECK(results.size() == 3 && results[0].json() == result.json() && results[2].json() == result.json());
    CHECK(engine.extract(texts, bytes)[0].length() == text.size());
    CHECK(status_of([&] { engine.extract({text, "\xFF"}); }) == BIE_ERR_INVALID_UTF8);
    CHECK(engine.extract(std::vector<std::string_view>()).empty());

    std::string json;
    std::thread([&] { json = engine.extract(text).json(); }).join();
    CHECK(json == result.json());

    targets();
    explanations(engine, options);
    return 0;
}
