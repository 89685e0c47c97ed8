/*
 * Prints the entities and relations of a text file.
 *
 *     cc -Iinclude examples/extract.c -Ltarget/release -lbie -Wl,-rpath,target/release -o extract
 *     ./extract models/default abstract.txt
 */
#include <bie.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program with the library's own words: they say what is wrong and what to do. */
static void stop(bie_error *error) {
    fprintf(stderr, "extract: %s\n", bie_error_message(error, NULL));
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
            fprintf(stderr, "extract: out of memory\n");
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

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: extract BUNDLE FILE\n");
        return 2;
    }
    size_t len;
    char *text = read_file(argv[2], &len);

    /* Once per process. NULL: the default options. */
    bie_engine *engine;
    bie_error *error;
    if (bie_engine_open(argv[1], strlen(argv[1]), NULL, &engine, &error) != BIE_OK) stop(error);

    /* Once per document, on any thread. */
    bie_result *result;
    if (bie_extract(engine, text, len, NULL, &result, &error) != BIE_OK) stop(error);

    /* Offsets are bytes of the text unless the option "offset_unit" says otherwise. */
    size_t mention_count;
    const bie_mention *mentions = bie_result_mentions(result, &mention_count);
    for (size_t i = 0; i < mention_count; i++) {
        const bie_mention *m = &mentions[i];
        printf("%6u-%-6u %.2f  %-12s %.*s\n", (unsigned)m->start, (unsigned)m->end, m->score,
               bie_engine_label(engine, m->label, NULL), (int)(m->end - m->start), text + m->start);
    }

    /* A relation stands between two entities and names the first mention of each. */
    size_t relation_count;
    const bie_relation *relations = bie_result_relations(result, &relation_count);
    for (size_t i = 0; i < relation_count; i++) {
        const bie_mention *head = &mentions[relations[i].head];
        const bie_mention *tail = &mentions[relations[i].tail];
        printf("%.*s -> %s -> %.*s  %.2f\n", (int)(head->end - head->start), text + head->start,
               bie_engine_relation_label(engine, relations[i].label, NULL), (int)(tail->end - tail->start),
               text + tail->start, relations[i].score);
    }

    bie_result_free(result);
    bie_engine_free(engine);
    free(text);
    return 0;
}
