/*
 * Evenkeel without an operating system's library: no libc, no start files. The four
 * memory functions that any C compiler may call are all that the library needs.
 *
 * Built for Linux on x86-64 and AArch64, since something has to make the exit call.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include <evenkeel.h>

#include <stddef.h>
#include <stdint.h>

/* volatile keeps the compiler from turning the loops into calls of themselves. */
void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    volatile unsigned char *out = to;
    const unsigned char *in = from;
    for (size_t at = 0; at < size; at++) {
        out[at] = in[at];
    }
    return to;
}

void *memset(void *to, int value, size_t size)
{
    volatile unsigned char *out = to;
    for (size_t at = 0; at < size; at++) {
        out[at] = (unsigned char)value;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const volatile unsigned char *left = a;
    const volatile unsigned char *right = b;
    for (size_t at = 0; at < size; at++) {
        if (left[at] != right[at]) {
            return left[at] < right[at] ? -1 : 1;
        }
    }
    return 0;
}

/* What compilers call where only equality is asked for. */
int bcmp(const void *a, const void *b, size_t size)
{
    return memcmp(a, b, size);
}

static int balance(void)
{
    static unsigned char memory[8192] __attribute__((aligned(EK_UPSTREAM_ALIGNMENT)));
    /* Four hosts, one process; no prefixes, no classes, no forecasts. */
    ek_upstream_options options = {sizeof(options), 4, 0, 0, 0, 0, EK_IF_OTHER_REFUSE, 0, 1};
    ek_upstream *upstream;
    ek_facts facts = {sizeof(facts), 100, 0, 0, {0, 0, 0, 0, 0}, 0, 0};
    ek_choice choice = {sizeof(choice), 0, 0, 0.0f, 0, 0};
    ek_ticket ticket;
    ek_outcome outcome = {sizeof(outcome), EK_STATUS_SUCCESS, 10, EK_UNKNOWN_TOKENS};
    uint32_t host;

    if (ek_version() != EVENKEEL_VERSION || ek_upstream_size(&options) > sizeof(memory)) {
        return 1;
    }
    if (ek_upstream_open(memory, sizeof(memory), &options, &upstream, NULL) != EK_CODE_OK) {
        return 2;
    }
    for (uint64_t key = 1; key <= 4; key++) {
        if (ek_host_register(upstream, key, 1.0f, 0, &host) != EK_CODE_OK) {
            return 3;
        }
    }
    for (uint64_t now_us = 1000; now_us < 100000; now_us += 1000) {
        if (ek_upstream_choose(upstream, NULL, &facts, NULL, now_us, NULL, 0, &choice) != EK_CODE_OK ||
            ek_upstream_begin(upstream, EK_NO_PROCESS, NULL, &facts, choice.host, now_us, &ticket) != EK_CODE_OK ||
            ek_upstream_first_token(upstream, &ticket, now_us + 200) != EK_CODE_OK ||
            ek_upstream_finish(upstream, NULL, &ticket, &facts, &outcome, now_us + 500) != EK_CODE_OK) {
            return 4;
        }
    }
    return 0;
}

/* Called with the stack aligned, whatever the kernel left it at. */
__attribute__((used, noreturn)) static void start(void)
{
    long status = balance();
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(60L), "D"(status) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long number __asm__("x8") = 93;
    register long argument __asm__("x0") = status;
    __asm__ volatile("svc 0" : : "r"(number), "r"(argument) : "memory");
#else
#error "add the exit call of this processor"
#endif
    for (;;) {
    }
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n  xor %ebp, %ebp\n  and $-16, %rsp\n  call start\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n  mov x29, #0\n  bl start\n");
#endif
