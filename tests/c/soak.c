/*
 * A host that runs for long: reads many documents of mixed length with one engine and prints its resident size as it goes.
 *
 *     soak BUNDLE [DOCUMENTS]        prints "documents N resident_kb R entities E" ten times; scripts/soak.sh judges the figures
 *
 * The documents are made here, from a word list and a fixed seed: the same every time, most of them short, a few of 3000 words.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bie.h"

enum { MAX_WORDS = 3000, MAX_WORD = 40 };

static const char *const SUBJECTS[] = {
    "metformin", "ciclosporin", "haloperidol", "amiodarone", "methotrexate", "lithium carbonate", "vancomycin", "propranolol",
    "the patient", "a 54-year-old woman", "naïve rats", "five volunteers", "interleukin-6", "β-blockade", "cisplatin (CDDP)", "CDDP",
};
static const char *const VERBS[] = {
    "caused", "was followed by", "reversed", "did not change", "worsened", "prevented", "was given for", "induced", "denied",
};
static const char *const OBJECTS[] = {
    "acute renal failure (ARF)", "ARF", "lactic acidosis", "torsade de pointes", "parkinsonism", "seizures", "hearing loss", "hypotension",
    "type 2 diabetes mellitus", "hepatic necrosis", "nausea and vomiting", "the dose", "blood pressure", "neutropenia", "Bell’s palsy",
};
static const char *const TAILS[] = {
    "within 3 days.", "after the second dose.", "in 12 of 40 cases (30 %).", "at 5 mg/kg daily.", "(p < 0.05).", "and recovered.", "yesterday.",
};

static uint64_t state = 20240229;

/* A number from 0 to below - 1 (multiplicative generator of Lehmer's kind; quality is of no concern here). */
static uint32_t number(uint32_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

#define PICK(list) list[number(sizeof list / sizeof *list)]

/* Fills `text` with a document of about `words` words; returns its length in bytes. */
static size_t write_document(char *text, size_t words) {
    size_t length = 0;
    for (size_t n = 0; n < words; n += 8) {
        const char *const parts[] = {PICK(SUBJECTS), " ", PICK(VERBS), " ", PICK(OBJECTS), " ", PICK(TAILS), number(12) ? " " : "\r\n\r\n"};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            size_t size = strlen(parts[i]);
            memcpy(text + length, parts[i], size);
            length += size;
        }
    }
    return length;
}

/* Seven of ten documents are notes of at most 200 words, a quarter abstracts, the others whole reports. */
static size_t words(void) {
    uint32_t kind = number(20);
    return kind < 14 ? 10 + number(190) : kind < 19 ? 200 + number(400) : 600 + number(MAX_WORDS - 600);
}

static long resident_kb(void) {
    char line[256];
    long kb = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) {
        if (sscanf(line, "VmRSS: %ld kB", &kb) == 1) break;
    }
    if (status) fclose(status);
    return kb;
}

static void stop_on(bie_status status, bie_error *error) {
    if (status == BIE_OK) return;
    fprintf(stderr, "soak: %s: %s\n", bie_status_name(status), bie_error_message(error, NULL));
    exit(1);
}

int main(int argc, char **argv) {
    static const char *const UNITS[] = {"utf8", "utf16", "utf32"};
    static char text[(MAX_WORDS / 8 + 1) * 8 * MAX_WORD];
    unsigned long documents = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    bie_engine *engine;
    bie_error *error;
    size_t entities = 0;

    if (argc < 2 || argc > 3 || documents < 10) {
        fprintf(stderr, "usage: soak BUNDLE [DOCUMENTS, at least 10]\n");
        return 2;
    }
    stop_on(bie_engine_open(argv[1], strlen(argv[1]), NULL, &engine, &error), error);
    for (unsigned long n = 1; n <= documents; n++) {
        size_t length = write_document(text, words()), count, json;
        bie_options *options = bie_options_new();
        bie_result *result;
        stop_on(bie_options_set_str(options, "offset_unit", 11, UNITS[n % 3], strlen(UNITS[n % 3]), &error), error);
        stop_on(bie_extract(engine, text, length, options, &result, &error), error);
        bie_result_mentions(result, &count);
        entities += count;
        if (!bie_result_json(result, &json) || json == 0) return 1;
        bie_result_free(result);
        bie_options_free(options);
        if (n % (documents / 10) == 0) {
            printf("documents %lu resident_kb %ld entities %zu\n", n, resident_kb(), entities);
            fflush(stdout);
        }
    }
    bie_engine_free(engine);
    return 0;
}
