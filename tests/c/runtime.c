/* runtime BUNDLE FILE...: each file is refused as ONNX Runtime; after that the real one still opens. */
#include "check.h"

int main(int argc, char **argv) {
    CHECK(argc >= 3);
    for (int i = 2; i < argc; i++) {
        bie_options *options = bie_options_new();
        CHECK(bie_options_set_str(options, STR("runtime_path"), STR(argv[i]), NULL) == BIE_OK);
        bie_engine *engine;
        bie_error *error;
        bie_status got = bie_engine_open(STR(argv[1]), options, &engine, &error);
        CHECK(engine == NULL);
        if (got != BIE_ERR_RUNTIME) fprintf(stderr, "%s: ", argv[i]);
        expect_error(got, BIE_ERR_RUNTIME, &error);
        bie_options_free(options);
    }
    bie_engine *engine = open_engine(argv[1]);
    bie_result_free(extract(engine, STR(SAMPLE), NULL));
    bie_engine_free(engine);
    return 0;
}
