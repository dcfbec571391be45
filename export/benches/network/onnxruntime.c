/* Times a network in ONNX Runtime through its C interface: one thread, tensors made once.
 *
 *     onnxruntime LIBRARY MODEL WIDTH ROWS...
 *
 * prints a line of timing.h's for each number of rows.
 *
 * The library comes from the Python wheel, which has no header: functions are called by
 * their places in the table OrtApi, which never change (onnxruntime_c_api.h). */

#define _GNU_SOURCE
#include "timing.h"

#include <dlfcn.h>

enum {
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    SET_INTRA_OP_NUM_THREADS = 24,
    SET_INTER_OP_NUM_THREADS = 25,
    CREATE_TENSOR_WITH_DATA = 49,
    CREATE_CPU_MEMORY_INFO = 69,
};
enum { API_VERSION = 11, LOG_ERRORS = 3, FLOATS = 1, DEVICE_ALLOCATOR = 0, MEMORY_DEFAULT = 0 };

struct api_base {
    void *const *(*get_api)(uint32_t version);
    const char *(*version)(void);
};
typedef void *(*function)();

static void *const *api;

/* Ends the program with the message of a status that is not success. */
static void check(void *status)
{
    if (status != NULL) {
        fprintf(stderr, "ONNX Runtime: %s\n", (const char *)((function)api[GET_ERROR_MESSAGE])(status));
        exit(1);
    }
}

static void *tensor(void *memory, float *numbers, int64_t rows, int64_t width)
{
    int64_t shape[2] = {rows, width};
    void *value = NULL;
    check(((void *(*)(void *, void *, size_t, const int64_t *, size_t, int, void **))api[CREATE_TENSOR_WITH_DATA])(
        memory, numbers, (size_t)(rows * width) * sizeof(float), shape, 2, FLOATS, &value));
    return value;
}

struct session {
    void *session, *input, *output;
};

static void run(struct network *network)
{
    static const char *input_names[] = {"input"}, *output_names[] = {"output"};
    struct session *session = network->session;
    void *(*run)(void *, void *, const char *const *, const void *const *, size_t, const char *const *, size_t, void **) =
        (void *)api[RUN];
    const void *inputs[] = {session->input};
    check(run(session->session, NULL, input_names, inputs, 1, output_names, 1, &session->output));
}

static void measure_rows(void *session, void *memory, int64_t rows, int64_t width)
{
    float *numbers = malloc((size_t)(rows * width) * sizeof(float));
    float *results = malloc((size_t)rows * sizeof(float));
    struct session tensors = {session, tensor(memory, numbers, rows, width), tensor(memory, results, rows, 1)};
    struct network network = {run, &tensors, numbers, results, rows, width};
    measure(&network);
}

int main(int count, char **arguments)
{
    if (count < 5) {
        fprintf(stderr, "usage: onnxruntime LIBRARY MODEL WIDTH ROWS...\n");
        return 2;
    }
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    const struct api_base *(*get_base)(void) = library == NULL ? NULL : (void *)dlsym(library, "OrtGetApiBase");
    if (get_base == NULL) {
        fprintf(stderr, "%s: %s\n", arguments[1], dlerror());
        return 1;
    }
    api = get_base()->get_api(API_VERSION);
    void *environment = NULL, *options = NULL, *session = NULL, *memory = NULL;
    check(((void *(*)(int, const char *, void **))api[CREATE_ENV])(LOG_ERRORS, "bench", &environment));
    check(((void *(*)(void **))api[CREATE_SESSION_OPTIONS])(&options));
    check(((void *(*)(void *, int))api[SET_INTRA_OP_NUM_THREADS])(options, 1));
    check(((void *(*)(void *, int))api[SET_INTER_OP_NUM_THREADS])(options, 1));
    check(((void *(*)(void *, const char *, void *, void **))api[CREATE_SESSION])(environment, arguments[2], options, &session));
    check(((void *(*)(int, int, void **))api[CREATE_CPU_MEMORY_INFO])(DEVICE_ALLOCATOR, MEMORY_DEFAULT, &memory));
    for (int i = 4; i < count; i++) {
        measure_rows(session, memory, atoll(arguments[i]), atoll(arguments[3]));
    }
    return 0;
}
