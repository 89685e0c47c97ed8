/*
 * extreme BUNDLE: texts that no one writes but some machine sends. Each is read to its end or says what was left out; none takes
 * long, much memory, or another status than BIE_OK. The lengths are those that a test can wait for; time and memory are linear.
 */
#include "check.h"

#include <sys/resource.h>

enum { SIZE = 1 << 20, PEAK_KB = 400 * 1024 };

static char text[SIZE + 1];

static size_t repeated(const char *unit, size_t unit_len, size_t size) {
    size_t len = 0;
    for (; len + unit_len <= size; len += unit_len) memcpy(text + len, unit, unit_len);
    return len;
}

/* Characters of the alphabet in an order without a pattern. */
static size_t scattered(const char *alphabet, size_t size) {
    uint64_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        text[i] = alphabet[(state >> 33) % strlen(alphabet)];
    }
    return size;
}

/* Ideographs in an order without a pattern. */
static size_t ideographs(size_t size) {
    uint64_t state = 1;
    size_t len = 0;
    for (; len + 3 <= size; len += 3) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint32_t point = 0x4E00 + (uint32_t)(state >> 33) % 0x5000;
        text[len] = (char)(0xE0 | point >> 12);
        text[len + 1] = (char)(0x80 | (point >> 6 & 0x3F));
        text[len + 2] = (char)(0x80 | (point & 0x3F));
    }
    return len;
}

static void read_text(const bie_engine *engine, size_t len, const char *unit) {
    bie_options *options = all_scores(unit);
    bie_result *result = extract(engine, text, len, options);
    uint32_t length, windows;
    size_t unread, mentions;
    const bie_range *range = bie_result_coverage(result, &length, &windows, &unread);
    CHECK(strcmp(unit, "utf8") != 0 || length == len);
    CHECK(windows <= 600);
    for (size_t i = 0; i < unread; i++) {
        CHECK(range[i].start < range[i].end && range[i].end <= length);
        CHECK(i == 0 || range[i - 1].end <= range[i].start);
    }
    const bie_mention *mention = bie_result_mentions(result, &mentions);
    for (size_t i = 0; i < mentions; i++) CHECK(mention[i].start < mention[i].end && mention[i].end <= length);
    CHECK(bie_result_json(result, NULL) != NULL);
    bie_result_free(result);
    bie_options_free(options);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    bie_engine *engine = open_engine(argv[1]);

    /* One character: a letter, a mark, white space, NUL, of three bytes, of four, combining, invisible. */
    static const char *const units[] = {"a", "-", " ", "\n", "\t", "\xE6\xBC\xA2", "\xF0\x9F\x98\x80", "\xCC\x81", "\xC2\x85", "\xE2\x80\x8B"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        read_text(engine, repeated(units[i], strlen(units[i]), SIZE), i % 2 ? "utf16" : "utf8");
    }
    read_text(engine, repeated("\0", 1, SIZE), "utf32");

    /* Without a space: letters, digits, marks that end sentences and words, an embedded file, a sequence. */
    static const char *const alphabets[] = {
        "abcdefghijklmnopqrstuvwxyz", "0123456789", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "ACGT",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    };
    for (size_t i = 0; i < sizeof alphabets / sizeof *alphabets; i++) read_text(engine, scattered(alphabets[i], SIZE), "utf8");
    read_text(engine, ideographs(SIZE), "utf8");

    /* What stands behind an embedded file is read. */
    size_t len = scattered(alphabets[4], SIZE / 2);
    memcpy(text + len, " aspirin", 8);
    bie_result *result = extract(engine, text, len + 8, NULL);
    size_t count;
    const bie_mention *mention = bie_result_mentions(result, &count);
    CHECK(count > 0 && mention[count - 1].start == len + 1 && mention[count - 1].end == len + 8);
    bie_result_free(result);

    bie_engine_free(engine);
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    CHECK(usage.ru_maxrss < PEAK_KB);
    return 0;
}
