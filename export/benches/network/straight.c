/* Times the network that straight_c.rs wrote: straight ROWS... */

#include "timing.h"

enum { WIDTH = NETWORK_WIDTH };

void network(int rows, const float *input, float *output);

static void run(struct network *timed)
{
    network((int)timed->rows, timed->input, timed->output);
}

int main(int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        int64_t rows = atoll(arguments[i]);
        float *input = malloc((size_t)(rows * WIDTH) * sizeof(float));
        float *output = malloc((size_t)rows * sizeof(float));
        struct network timed = {run, NULL, input, output, rows, WIDTH};
        measure(&timed);
        free(input);
        free(output);
    }
    return 0;
}
