/* dynamic BUNDLE LIBRARY: a host that loads the library at run time, as a Java or .NET process does, and lets it go. */
#include "check.h"

#include <dlfcn.h>

/* ISO C has no cast from an object pointer to a function pointer; POSIX has dlsym. */
#define LOAD(library, function)                                                                            \
    do {                                                                                                   \
        void *symbol = dlsym(library, #function);                                                          \
        CHECK(symbol != NULL);                                                                             \
        memcpy(&p_##function, &symbol, sizeof symbol);                                                     \
    } while (0)

int main(int argc, char **argv) {
    CHECK(argc == 3);
    for (int round = 0; round < 2; round++) {
        void *library = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
        CHECK(library != NULL);
        bie_status (*p_bie_engine_open)(const char *, size_t, const bie_options *, bie_engine **, bie_error **);
        bie_status (*p_bie_extract)(const bie_engine *, const char *, size_t, const bie_options *, bie_result **, bie_error **);
        const bie_mention *(*p_bie_result_mentions)(const bie_result *, size_t *);
        void (*p_bie_result_free)(bie_result *);
        void (*p_bie_engine_free)(bie_engine *);
        LOAD(library, bie_engine_open);
        LOAD(library, bie_extract);
        LOAD(library, bie_result_mentions);
        LOAD(library, bie_result_free);
        LOAD(library, bie_engine_free);

        bie_engine *engine;
        bie_result *result;
        size_t count;
        CHECK(p_bie_engine_open(STR(argv[1]), NULL, &engine, NULL) == BIE_OK);
        CHECK(p_bie_extract(engine, STR(SAMPLE), NULL, &result, NULL) == BIE_OK);
        CHECK(p_bie_result_mentions(result, &count) != NULL && count > 0);
        p_bie_result_free(result);
        p_bie_engine_free(engine);
        CHECK(dlclose(library) == 0);
        /* ONNX Runtime stays for the process; what it calls at exit has to be there. */
        CHECK(dlopen(argv[2], RTLD_NOW | RTLD_NOLOAD) != NULL);
    }
    return 0;
}
