/*
 * Prints the first relations of a text file, and why each was found; the first entities if it has no relation.
 *
 *     cc -Iinclude examples/explain.c -Ltarget/release -lbie -Wl,-rpath,target/release -o explain
 *     ./explain models/default abstract.txt
 */
#include <bie.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 3 };

/* Ends the program with the library's own words: they say what is wrong and what to do. */
static void stop(bie_error *error) {
    fprintf(stderr, "explain: %s\n", bie_error_message(error, NULL));
    bie_error_free(error);
    exit(1);
}

/* The whole file in memory; its size goes to *len. */
static char *read_file(const char *path, size_t *len) {
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t size = 0, room = 0;
    *len = 0;
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    do {
        room = room ? 2 * room : 65536;
        text = realloc(text, room);
        if (text == NULL) {
            fprintf(stderr, "explain: out of memory\n");
            exit(1);
        }
        size += fread(text + size, 1, room - size, file);
    } while (size == room);
    if (ferror(file)) {
        perror(path);
        exit(1);
    }
    fclose(file);
    *len = size;
    return text;
}

static void print_evidence(const char *side, const bie_evidence *evidence, size_t count, const char *text) {
    for (size_t i = 0; i < count; i++) {
        printf("    %-8s %+.3f  %.*s\n", side, evidence[i].weight, (int)(evidence[i].end - evidence[i].start),
               text + evidence[i].start);
    }
}

static void print_explanation(const bie_explanation *explanation, const char *text) {
    /* What deleting the words does was measured; where it does little, they are no reason and are not shown as one. */
    const bie_summary *summary = bie_explanation_summary(explanation);
    if (summary->unreliable) {
        printf("    no few words decide this: without the heaviest %.2f -> %.2f\n", summary->score, summary->without_evidence);
        return;
    }
    size_t count;
    const bie_evidence *evidence = bie_explanation_evidence_for(explanation, &count);
    print_evidence("for", evidence, count, text);
    evidence = bie_explanation_evidence_against(explanation, &count);
    print_evidence("against", evidence, count, text);
    printf("    without the words for it %.2f -> %.2f\n", summary->score, summary->without_evidence);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: explain BUNDLE FILE\n");
        return 2;
    }
    size_t len;
    char *text = read_file(argv[2], &len);

    bie_engine *engine;
    bie_error *error;
    bie_result *result;
    if (bie_engine_open(argv[1], strlen(argv[1]), NULL, &engine, &error) != BIE_OK) stop(error);
    if (bie_extract(engine, text, len, NULL, &result, &error) != BIE_OK) stop(error);

    /* A host asks for the decision that a user points at; here it is the first few, which share their work. */
    size_t mention_count, relation_count;
    const bie_mention *mentions = bie_result_mentions(result, &mention_count);
    const bie_relation *relations = bie_result_relations(result, &relation_count);
    int related = relation_count > 0;
    size_t count = related ? relation_count : mention_count;
    if (count > MOST) count = MOST;
    bie_target targets[MOST];
    bie_explanation *explanations[MOST];
    for (size_t i = 0; i < count; i++) {
        targets[i] = (bie_target){.kind = related ? BIE_TARGET_RELATION : BIE_TARGET_ENTITY, .index = (uint32_t)i};
    }
    if (bie_explain_batch(engine, text, len, result, targets, count, NULL, NULL, explanations, &error) != BIE_OK) stop(error);

    for (size_t i = 0; i < count; i++) {
        if (related) {
            const bie_mention *head = &mentions[relations[i].head], *tail = &mentions[relations[i].tail];
            printf("%.*s -> %s -> %.*s  %.2f\n", (int)(head->end - head->start), text + head->start,
                   bie_engine_relation_label(engine, relations[i].label, NULL), (int)(tail->end - tail->start), text + tail->start,
                   relations[i].score);
        } else {
            printf("%.*s is %s  %.2f\n", (int)(mentions[i].end - mentions[i].start), text + mentions[i].start,
                   bie_engine_label(engine, mentions[i].label, NULL), mentions[i].score);
        }
        print_explanation(explanations[i], text);
        bie_explanation_free(explanations[i]);
    }

    bie_result_free(result);
    bie_engine_free(engine);
    free(text);
    return 0;
}
