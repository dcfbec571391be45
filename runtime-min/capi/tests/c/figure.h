/*
 * Figures of tests beside their bounds.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef FIGURE_H
#define FIGURE_H

#include <stdio.h>

static int failures;

/* Prints a figure beside its bound, and counts it if it is beyond. */
static void figure(const char *row, const char *what, double value, double low, double high)
{
    int is_within = value >= low && value <= high;
    failures += !is_within;
    fprintf(is_within ? stdout : stderr, "row %s: %s: %.3f (%g to %g)%s\n", row, what, value, low, high,
            is_within ? "" : ": FAILED");
}

#endif
