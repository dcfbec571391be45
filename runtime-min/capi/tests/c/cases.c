/*
 * The rows of modules/testing/cases.json through the C interface alone: what hosts, clients and
 * clocks do in the long run, and what it may cost.
 *
 *     cases ARTIFACT
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "life_rows.h"
#include "state_rows.h"

static void *contents(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    *len = (size_t)ftell(file);
    rewind(file);
    void *bytes = reserve(*len, EK_MODEL_ALIGNMENT);
    if (fread(bytes, 1, *len, file) != *len) {
        perror(path);
        exit(2);
    }
    fclose(file);
    return bytes;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s ARTIFACT\n", argv[0]);
        return 2;
    }
    size_t len;
    const unsigned char *artifact = contents(argv[1], &len);
    const ek_model *model;
    must(ek_model_load(artifact, len, reserve(ek_model_size(), EK_MODEL_ALIGNMENT), ek_model_size(), &model), argv[1]);
    row_1_slow_spells(model);
    row_1b_the_first_minutes(model);
    row_2_answers_without_work(model);
    row_3_broken_streams(model);
    row_5_reading_changes_nothing();
    row_6_claims_of_clients(model);
    row_7_reports_that_cannot_be_true(model);
    row_8_a_process_that_was_killed();
    row_9_options_that_are_not_taken(model);
    row_10_one_long_exchange(model);
    row_11_reports_from_the_future(model);
    row_12_a_clock_that_is_put_right(model);
    row_13_memory_of_another_build(model);
    row_15_no_usable_artifact(artifact, len);
    row_16_many_hosts(model);
    row_17_demand_has_one_default(model);
    row_18_slow_start(model);
    row_19_what_is_cached_where(model);
    row_20_one_choice_for_each_attempt(model);
    return failures == 0 ? 0 : 1;
}
