/* open BUNDLE STATUS: opening fails with this status and prints nothing; the driver damages the bundle. */
#include "check.h"

int main(int argc, char **argv) {
    CHECK(argc == 3);
    bie_engine *engine = (bie_engine *)argv;
    bie_error *error;
    bie_status got = bie_engine_open(STR(argv[1]), NULL, &engine, &error);
    CHECK(engine == NULL);
    expect_error(got, (bie_status)atoi(argv[2]), &error);
    return 0;
}
