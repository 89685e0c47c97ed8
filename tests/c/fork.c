/* fork BUNDLE: a child that inherited an engine is told so at once, may free it, and does not disturb its parent. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

static void child(bie_engine *engine, const char *bundle) {
    alarm(20); /* a hang ends the child with a signal */
    bie_result *result;
    bie_error *error;
    expect_error(bie_extract(engine, STR(SAMPLE), NULL, &result, &error), BIE_ERR_RUNTIME, &error);
    CHECK(result == NULL);
    bie_engine *own;
    expect_error(bie_engine_open(STR(bundle), NULL, &own, &error), BIE_ERR_RUNTIME, &error);
    CHECK(own == NULL);
    bie_engine_free(engine);
    exit(0);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    bie_engine *engine = open_engine(argv[1]);
    bie_result *before = extract(engine, STR(SAMPLE), NULL);
    for (int round = 0; round < 3; round++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) child(engine, argv[1]);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    bie_result *after = extract(engine, STR(SAMPLE), NULL);
    CHECK(strcmp(bie_result_json(before, NULL), bie_result_json(after, NULL)) == 0);
    bie_result_free(before);
    bie_result_free(after);
    bie_engine_free(engine);
    return 0;
}
