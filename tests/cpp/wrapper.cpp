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
    return 0;
}
