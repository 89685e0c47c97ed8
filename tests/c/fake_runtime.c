/* A library that looks like ONNX Runtime until it is asked. VERSION: what it claims to be. HAS_BASE: 0 or
   1. GetApi gives nothing. */
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const void *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
} api_base;

static const void *get_api(uint32_t version) {
    (void)version;
    return NULL;
}

static const char *get_version(void) { return VERSION; }

const api_base *OrtGetApiBase(void);
const api_base *OrtGetApiBase(void) {
    static const api_base base = {get_api, get_version};
    return HAS_BASE ? &base : NULL;
}
