/* Times calls one by one, as runtime-min/benches/decide/timing.rs does: fresh inputs before
 * each, not timed, and the time of no call at all taken off. CALLS, COLD_CALLS and
 * FLOOD_WORDS are the caller's, on the compiler's command line. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { EMPTY_CALLS = 2000, WARM_UP = 500 };

/* A network with its memory; an output for each row. */
struct network {
    void (*run)(struct network *network);
    void *session;
    float *input, *output;
    int64_t rows, width;
};

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e9 + now.tv_nsec;
}

static double ticks(void)
{
#if defined(__x86_64__)
    _mm_lfence();
    uint64_t ticks = __rdtsc();
    _mm_lfence();
    return (double)ticks;
#else
    return now_ns();
#endif
}

static double ticks_per_ns(void)
{
    double begin_ns = now_ns(), begin = ticks();
    while (now_ns() - begin_ns < 5e6) {
    }
    return (ticks() - begin) / (now_ns() - begin_ns);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void refresh(struct network *network, uint32_t *random)
{
    for (int64_t i = 0; i < network->rows * network->width; i++) {
        *random = *random * 1664525u + 1013904223u;
        network->input[i] = (float)(*random >> 8) * 1e-7f;
    }
}

static void evict(void)
{
    static volatile uint64_t words[FLOOD_WORDS];
    for (int64_t i = 0; i < FLOOD_WORDS; i++) {
        words[i] = words[i] * 3 + 1;
    }
}

/* Ticks of each call, sorted. */
static void sample(struct network *network, double *times, int count, int is_cold, int is_empty)
{
    uint32_t random = 1;
    for (int call = 0; call < count; call++) {
        refresh(network, &random);
        if (is_cold) {
            evict();
        }
        double begin = ticks();
        if (!is_empty) {
            network->run(network);
        }
        times[call] = ticks() - begin;
    }
    qsort(times, (size_t)count, sizeof(double), by_size);
}

/* Prints a line: median and 99th percentile in nanoseconds, the same with cold caches, and
 * the last output for the first inputs. */
static void measure(struct network *network)
{
    static double empty[EMPTY_CALLS], warm[CALLS], cold[COLD_CALLS];
    uint32_t random = 1;
    double per_ns = ticks_per_ns();
    refresh(network, &random);
    network->run(network);
    float score = network->output[network->rows - 1];
    sample(network, warm, WARM_UP, 0, 0);
    sample(network, empty, EMPTY_CALLS, 0, 1);
    sample(network, warm, CALLS, 0, 0);
    sample(network, cold, COLD_CALLS, 1, 0);
    double none = empty[EMPTY_CALLS / 2];
    printf("%.1f %.1f %.1f %.1f %.9g\n", (warm[CALLS / 2] - none) / per_ns, (warm[CALLS * 99 / 100] - none) / per_ns,
           (cold[COLD_CALLS / 2] - none) / per_ns, (cold[COLD_CALLS * 99 / 100] - none) / per_ns, score);
}
