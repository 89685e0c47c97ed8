// bie for C++17: owning classes and exceptions over bie.h, which holds the full documentation. Header only.
//
//     bie::Engine engine("models/default");
//     bie::Result result = engine.extract(text);
//     for (const bie_mention &m : result.mentions())
//         std::cout << engine.label(m.label) << ' ' << text.substr(m.start, m.end - m.start) << '\n';
//     bie::Explanation why = engine.explain(text, result, bie::Target::relation(0));
//     for (const bie_evidence &e : why.evidence_for())
//         std::cout << "because of: " << text.substr(e.start, e.end - e.start) << '\n';
//
// Objects are moved, not copied. What a member function returns as a view, a span or a reference belongs to the object
// and lives as long as it. Threads: as in bie.h; one Engine serves any number of them.
#ifndef BIE_HPP
#define BIE_HPP

#include "bie.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace bie {

// A call that failed: what() is the library's message.
class Error : public std::runtime_error {
public:
    Error(bie_status status, const std::string &message) : std::runtime_error(message), status_(status) {}

    bie_status status() const noexcept { return status_; }

private:
    bie_status status_;
};

// A read-only array that belongs to a Result or an Explanation.
template <typename T> class Span {
public:
    Span() noexcept = default;
    Span(const T *data, std::size_t size) noexcept : data_(data), size_(size) {}

    const T *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const T *begin() const noexcept { return data_; }
    const T *end() const noexcept { return data_ + size_; }
    const T &operator[](std::size_t index) const noexcept { return data_[index]; }

private:
    const T *data_ = nullptr;
    std::size_t size_ = 0;
};

namespace detail {

struct Free {
    void operator()(bie_cancel *cancel) const noexcept { bie_cancel_free(cancel); }
    void operator()(bie_engine *engine) const noexcept { bie_engine_free(engine); }
    void operator()(bie_error *error) const noexcept { bie_error_free(error); }
    void operator()(bie_explanation *explanation) const noexcept { bie_explanation_free(explanation); }
    void operator()(bie_options *options) const noexcept { bie_options_free(options); }
    void operator()(bie_result *result) const noexcept { bie_result_free(result); }
};

template <typename T> using Handle = std::unique_ptr<T, Free>;

inline void check(bie_status status, bie_error *error) {
    if (status != BIE_OK) {
        Handle<bie_error> owned(error);
        throw Error(status, bie_error_message(owned.get(), nullptr));
    }
}

// Before anything else: a library of another version would be called with the wrong idea of its functions.
inline void check_abi() {
    const std::uint32_t found = bie_abi_version();
    if (found != (static_cast<std::uint32_t>(BIE_ABI_MAJOR) << 16 | BIE_ABI_MINOR)) {
        throw Error(BIE_ERR_RUNTIME, "libbie has the binary interface " + std::to_string(found >> 16) + "." +
                                         std::to_string(found & 0xFFFF) + ", this program was compiled for " +
                                         std::to_string(BIE_ABI_MAJOR) + "." + std::to_string(BIE_ABI_MINOR) +
                                         "; install the matching library or compile again");
    }
}

} // namespace detail

// Settings by key; the keys are listed in bie.h.
class Options {
public:
    Options() : handle_(bie_options_new()) {
        if (!handle_) throw Error(BIE_ERR_PANIC, "bie_options_new failed");
    }

    // Text or a word: set("offset_unit", "utf32").
    Options &set(std::string_view key, std::string_view value) {
        bie_error *error;
        const bie_status status =
            bie_options_set_str(handle_.get(), key.data(), key.size(), value.data(), value.size(), &error);
        detail::check(status, error);
        return *this;
    }

    // A number: set("threads", 4), set("min_score", 0.5). Its C++ type says which of the two kinds it is.
    template <typename Number, typename = std::enable_if_t<std::is_arithmetic_v<Number> && !std::is_same_v<Number, bool>>>
    Options &set(std::string_view key, Number value) {
        bie_error *error;
        bie_status status;
        if constexpr (std::is_integral_v<Number>) {
            status = bie_options_set_i64(handle_.get(), key.data(), key.size(), static_cast<std::int64_t>(value), &error);
        } else {
            status = bie_options_set_f64(handle_.get(), key.data(), key.size(), static_cast<double>(value), &error);
        }
        detail::check(status, error);
        return *this;
    }

    const bie_options *get() const noexcept { return handle_.get(); }

private:
    detail::Handle<bie_options> handle_;
};

// What was found in one text. Needs neither the engine nor the text.
class Result {
public:
    // Takes over what bie_extract returned.
    explicit Result(bie_result *result) noexcept : handle_(result) {}

    Span<bie_mention> mentions() const noexcept {
        std::size_t count = 0;
        const bie_mention *data = bie_result_mentions(get(), &count);
        return {data, count};
    }

    Span<bie_relation> relations() const noexcept {
        std::size_t count = 0;
        const bie_relation *data = bie_result_relations(get(), &count);
        return {data, count};
    }

    // Ranges that were not read; empty when all was.
    Span<bie_range> unread() const noexcept {
        std::size_t count = 0;
        const bie_range *data = bie_result_coverage(get(), nullptr, nullptr, &count);
        return {data, count};
    }

    // Length of the text in the unit of the offsets.
    std::uint32_t length() const noexcept {
        std::uint32_t length = 0;
        bie_result_coverage(get(), &length, nullptr, nullptr);
        return length;
    }

    // Number of windows that the text was read in.
    std::uint32_t windows() const noexcept {
        std::uint32_t windows = 0;
        bie_result_coverage(get(), nullptr, &windows, nullptr);
        return windows;
    }

    // The whole result as canonical JSON.
    std::string_view json() const {
        std::size_t length = 0;
        const char *data = bie_result_json(get(), &length);
        if (data == nullptr) throw Error(BIE_ERR_PANIC, "bie_result_json failed");
        return {data, length};
    }

    const bie_result *get() const noexcept { return handle_.get(); }

private:
    detail::Handle<bie_result> handle_;
};

// A decision to be explained, and on request what it is to be compared with: "why this type rather than that one?".
class Target {
public:
    // A mention or relation that was reported, by its index in the Result.
    static Target entity(std::uint32_t index) noexcept { return of_index(BIE_TARGET_ENTITY, index); }
    static Target relation(std::uint32_t index) noexcept { return of_index(BIE_TARGET_RELATION, index); }

    // Any span and entity type.
    static Target span(std::uint32_t start, std::uint32_t end, std::uint32_t label) noexcept {
        Target target(BIE_TARGET_SPAN);
        target.target_.start = start;
        target.target_.end = end;
        target.target_.label = label;
        return target;
    }

    // Any relation type between the entities of two mentions, by their indices in the Result.
    static Target pair(std::uint32_t head, std::uint32_t tail, std::uint32_t label) noexcept {
        Target target(BIE_TARGET_PAIR);
        target.target_.head = head;
        target.target_.tail = tail;
        target.target_.label = label;
        return target;
    }

    // The same decision against another type: Target::relation(0).rather_than(1).
    Target rather_than(std::uint32_t rival) const noexcept {
        Target target = *this;
        target.target_.has_rival = 1;
        target.target_.rival = rival;
        return target;
    }

    const bie_target &get() const noexcept { return target_; }

private:
    explicit Target(bie_target_kind kind) noexcept { target_.kind = kind; }

    static Target of_index(bie_target_kind kind, std::uint32_t index) noexcept {
        Target target(kind);
        target.target_.index = index;
        return target;
    }

    bie_target target_{};
};

// Ends calls from another thread: they throw an Error whose status is BIE_ERR_CANCELLED.
class Cancel {
public:
    Cancel() : handle_(bie_cancel_new()) {
        if (!handle_) throw Error(BIE_ERR_PANIC, "bie_cancel_new failed");
    }

    // From any thread, while this object lives. It stays up.
    void raise() const noexcept { bie_cancel_raise(get()); }

    const bie_cancel *get() const noexcept { return handle_.get(); }

private:
    detail::Handle<bie_cancel> handle_;
};

// Why one decision was made. Needs neither the engine nor the result nor the text.
class Explanation {
public:
    // Takes over what bie_explain returned.
    explicit Explanation(bie_explanation *explanation) noexcept : handle_(explanation) {}

    // Method, scores, what deleting the evidence does, and how far to trust it; NaN where absent.
    const bie_summary &summary() const noexcept { return *bie_explanation_summary(get()); }

    Span<bie_word> words() const noexcept { return span<bie_word>(bie_explanation_words); }
    Span<bie_evidence> evidence_for() const noexcept { return span<bie_evidence>(bie_explanation_evidence_for); }
    Span<bie_evidence> evidence_against() const noexcept { return span<bie_evidence>(bie_explanation_evidence_against); }

    // With the option "attention_heads" one row a head, with a number for each word; otherwise none.
    std::vector<Span<float>> heads() const {
        std::size_t heads = 0, words = 0;
        const float *data = bie_explanation_heads(get(), &heads, &words);
        std::vector<Span<float>> rows;
        rows.reserve(heads);
        for (std::size_t head = 0; head < heads; head++) rows.emplace_back(data + head * words, words);
        return rows;
    }

    // The whole explanation as canonical JSON.
    std::string_view json() const {
        std::size_t length = 0;
        const char *data = bie_explanation_json(get(), &length);
        if (data == nullptr) throw Error(BIE_ERR_PANIC, "bie_explanation_json failed");
        return {data, length};
    }

    const bie_explanation *get() const noexcept { return handle_.get(); }

private:
    template <typename T> Span<T> span(const T *(*lend)(const bie_explanation *, std::size_t *)) const noexcept {
        std::size_t count = 0;
        const T *data = lend(get(), &count);
        return {data, count};
    }

    detail::Handle<bie_explanation> handle_;
};

// A model bundle, ready to read texts.
class Engine {
public:
    // Opens the bundle in the folder `path` (UTF-8).
    explicit Engine(std::string_view path) : Engine(path, nullptr) {}
    Engine(std::string_view path, const Options &options) : Engine(path, options.get()) {}

    // Finds the entities of `text` (UTF-8) and their relations, with the options given here or else when opening.
    Result extract(std::string_view text) const { return extract(text, nullptr); }
    Result extract(std::string_view text, const Options &options) const { return extract(text, options.get()); }

    // Reads several texts; on the first failure none.
    std::vector<Result> extract(const std::vector<std::string_view> &texts) const { return extract(texts, nullptr); }
    std::vector<Result> extract(const std::vector<std::string_view> &texts, const Options &options) const {
        return extract(texts, options.get());
    }

    // Explains a decision on `text`, of which `result` is. Another thread may end the call through `cancel`.
    Explanation explain(std::string_view text, const Result &result, const Target &target) const {
        return explain(text, result, target, nullptr, nullptr);
    }
    Explanation explain(std::string_view text, const Result &result, const Target &target, const Options &options) const {
        return explain(text, result, target, options.get(), nullptr);
    }
    Explanation explain(std::string_view text, const Result &result, const Target &target, const Options &options,
                        const Cancel &cancel) const {
        return explain(text, result, target, options.get(), cancel.get());
    }

    // Explains several decisions, which share their work; on the first failure none.
    std::vector<Explanation> explain(std::string_view text, const Result &result, const std::vector<Target> &targets) const {
        return explain(text, result, targets, nullptr, nullptr);
    }
    std::vector<Explanation> explain(std::string_view text, const Result &result, const std::vector<Target> &targets,
                                     const Options &options) const {
        return explain(text, result, targets, options.get(), nullptr);
    }
    std::vector<Explanation> explain(std::string_view text, const Result &result, const std::vector<Target> &targets,
                                     const Options &options, const Cancel &cancel) const {
        return explain(text, result, targets, options.get(), cancel.get());
    }

    std::string_view model_id() const noexcept { return view(bie_engine_model_id); }
    std::string_view bundle_hash() const noexcept { return view(bie_engine_bundle_hash); }

    // Names of entity and relation types; empty when there is no such type.
    std::string_view label(std::uint32_t label) const noexcept { return view(bie_engine_label, label); }
    std::string_view relation_label(std::uint32_t label) const noexcept { return view(bie_engine_relation_label, label); }

    const bie_engine *get() const noexcept { return handle_.get(); }

private:
    Engine(std::string_view path, const bie_options *options) {
        detail::check_abi();
        bie_engine *engine;
        bie_error *error;
        const bie_status status = bie_engine_open(path.data(), path.size(), options, &engine, &error);
        detail::check(status, error);
        handle_.reset(engine);
    }

    Result extract(std::string_view text, const bie_options *options) const {
        bie_result *result;
        bie_error *error;
        const bie_status status = bie_extract(get(), text.data(), text.size(), options, &result, &error);
        detail::check(status, error);
        return Result(result);
    }

    std::vector<Result> extract(const std::vector<std::string_view> &texts, const bie_options *options) const {
        std::vector<bie_str> inputs;
        inputs.reserve(texts.size());
        for (std::string_view text : texts) inputs.push_back({text.data(), text.size()});
        // All memory is there before the call: nothing can throw between it and the owners of what it returns.
        std::vector<bie_result *> outputs(texts.size());
        std::vector<Result> results;
        results.reserve(texts.size());
        bie_error *error;
        const bie_status status =
            bie_extract_batch(get(), inputs.data(), inputs.size(), options, outputs.data(), &error);
        detail::check(status, error);
        for (bie_result *result : outputs) results.emplace_back(result);
        return results;
    }

    Explanation explain(std::string_view text, const Result &result, const Target &target, const bie_options *options,
                        const bie_cancel *cancel) const {
        bie_explanation *explanation;
        bie_error *error;
        const bie_status status = bie_explain(get(), text.data(), text.size(), result.get(), &target.get(), options, cancel,
                                              &explanation, &error);
        detail::check(status, error);
        return Explanation(explanation);
    }

    std::vector<Explanation> explain(std::string_view text, const Result &result, const std::vector<Target> &targets,
                                     const bie_options *options, const bie_cancel *cancel) const {
        std::vector<bie_target> inputs;
        inputs.reserve(targets.size());
        for (const Target &target : targets) inputs.push_back(target.get());
        // As above: all memory is there before the call.
        std::vector<bie_explanation *> outputs(targets.size());
        std::vector<Explanation> explanations;
        explanations.reserve(targets.size());
        bie_error *error;
        const bie_status status = bie_explain_batch(get(), text.data(), text.size(), result.get(), inputs.data(),
                                                    inputs.size(), options, cancel, outputs.data(), &error);
        detail::check(status, error);
        for (bie_explanation *explanation : outputs) explanations.emplace_back(explanation);
        return explanations;
    }

    template <typename Function, typename... Arguments>
    std::string_view view(Function function, Arguments... arguments) const noexcept {
        std::size_t length = 0;
        const char *data = function(get(), arguments..., &length);
        return data == nullptr ? std::string_view() : std::string_view(data, length);
    }

    detail::Handle<bie_engine> handle_;
};

} // namespace bie

#endif
