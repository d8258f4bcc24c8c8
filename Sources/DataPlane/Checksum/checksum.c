/*
 * CRC-64: tables, choice of form, combination.
 *
 * A CRC is the remainder of the message, read as a polynomial over GF(2), by P. Reflected forms keep the
 * highest power in the lowest bit, so "1" is bit 63 and multiplying by x is a shift to the right. Tables and
 * folding constants are computed once, when the program starts, from the polynomial alone: there are no
 * magic numbers to mistype.
 */
#include "checksum.h"
#include "crc_internal.h"

#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_PMULL
#define HWCAP_PMULL (1 << 4)
#endif
#endif

static struct mc_crc_tables tables[2];
static enum mc_crc_form best_form = MC_CRC_TABLE;
static bool have_fold128, have_fold512;

/* a * b mod P. */
static uint64_t multiply(uint64_t polynomial, uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t bit = 1ull << 63; bit != 0; bit >>= 1) {
        if (a & bit) product ^= b;
        b = (b >> 1) ^ ((b & 1) ? polynomial : 0);
    }
    return product;
}

/* x^n mod P. */
static uint64_t power_of_x(const struct mc_crc_tables *t, uint64_t n)
{
    uint64_t result = 1ull << 63;
    for (unsigned k = 0; n != 0; n >>= 1, k++) {
        if (n & 1) result = multiply(t->polynomial, result, t->power[k]);
    }
    return result;
}

static struct mc_fold fold_over(const struct mc_crc_tables *t, uint64_t distance)
{
    return (struct mc_fold){power_of_x(t, distance + 63), power_of_x(t, distance - 1)};
}

static void prepare(struct mc_crc_tables *t, uint64_t polynomial)
{
    t->polynomial = polynomial;
    for (unsigned b = 0; b < 256; b++) {
        uint64_t reg = b;
        for (int i = 0; i < 8; i++) reg = (reg >> 1) ^ ((reg & 1) ? polynomial : 0);
        t->slice[0][b] = reg;
    }
    for (unsigned k = 1; k < 16; k++) {
        for (unsigned b = 0; b < 256; b++) {
            uint64_t reg = t->slice[k - 1][b];
            t->slice[k][b] = (reg >> 8) ^ t->slice[0][reg & 0xff];
        }
    }
    t->power[0] = 1ull << 62; /* x */
    for (unsigned k = 1; k < 64; k++) {
        t->power[k] = multiply(polynomial, t->power[k - 1], t->power[k - 1]);
    }
    t->by_128 = fold_over(t, 128);
    t->by_512 = fold_over(t, 512);
    t->by_1024 = fold_over(t, 1024);
    t->by_2048 = fold_over(t, 2048);
}

__attribute__((constructor)) static void start(void)
{
    prepare(&tables[MC_CRC_ECMA], 0xC96C5795D7870F42ull); /* 0x42F0E1EBA9EA3693 reflected */
    prepare(&tables[MC_CRC_NVME], 0x9A6C9329AC4BC9B5ull); /* 0xAD93D23594C93659 reflected */
#if defined(__x86_64__)
    __builtin_cpu_init();
    have_fold128 = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
    have_fold512 = have_fold128 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
#elif defined(__aarch64__)
    have_fold128 = (getauxval(AT_HWCAP) & HWCAP_PMULL) != 0;
#endif
    best_form = have_fold512 ? MC_CRC_FOLD512 : have_fold128 ? MC_CRC_FOLD128 : MC_CRC_TABLE;
}

uint64_t mc_crc_table(const struct mc_crc_tables *t, uint64_t reg, const uint8_t *p, size_t n)
{
    while (n >= 16) {
        uint64_t a, b;
        memcpy(&a, p, 8);
        memcpy(&b, p + 8, 8);
        a ^= reg;
        reg = 0;
        for (unsigned i = 0; i < 8; i++) reg ^= t->slice[15 - i][(a >> (8 * i)) & 0xff];
        for (unsigned i = 0; i < 8; i++) reg ^= t->slice[7 - i][(b >> (8 * i)) & 0xff];
        p += 16;
        n -= 16;
    }
    while (n-- > 0) reg = (reg >> 8) ^ t->slice[0][(reg ^ *p++) & 0xff];
    return reg;
}

static uint64_t compute(enum mc_crc_form form, const struct mc_crc_tables *t, uint64_t crc, const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t reg = ~crc;
    if (n >= MC_FOLD_MINIMUM) {
#if defined(__x86_64__)
        if (form == MC_CRC_FOLD512) return ~mc_crc_fold512(t, reg, p, n);
#endif
#if defined(__x86_64__) || defined(__aarch64__)
        if (form == MC_CRC_FOLD128) return ~mc_crc_fold128(t, reg, p, n);
#endif
    }
    return ~mc_crc_table(t, reg, p, n);
}

uint64_t mc_crc64(uint64_t crc, const void *data, size_t n)
{
    return compute(best_form, &tables[MC_CRC_ECMA], crc, data, n);
}

uint64_t mc_crc64nvme(uint64_t crc, const void *data, size_t n)
{
    return compute(best_form, &tables[MC_CRC_NVME], crc, data, n);
}

bool mc_crc_form_available(enum mc_crc_form form)
{
    switch (form) {
    case MC_CRC_AUTO:
    case MC_CRC_TABLE: return true;
    case MC_CRC_FOLD128: return have_fold128;
    case MC_CRC_FOLD512: return have_fold512;
    }
    return false;
}

uint64_t mc_crc64_by(enum mc_crc_form form, enum mc_crc_polynomial polynomial, uint64_t crc,
                     const void *data, size_t n)
{
    if (form == MC_CRC_AUTO) form = best_form;
    if (!mc_crc_form_available(form)) form = MC_CRC_TABLE;
    return compute(form, &tables[polynomial == MC_CRC_NVME ? MC_CRC_NVME : MC_CRC_ECMA], crc, data, n);
}

/* crc(A B) = crc(A) * x^(8 len(B)) + crc(B); the inversions at both ends cancel. */
static uint64_t combine(const struct mc_crc_tables *t, uint64_t crc1, uint64_t crc2, uint64_t len2)
{
    /* The exponent in bits may need 67 bits: x^8 is power[3], so bytes count from there. x^(2^64) is not
     * in the table, hence lengths below 2^61, two exbibytes. */
    uint64_t shift = 1ull << 63;
    for (unsigned k = 3; len2 != 0 && k < 64; len2 >>= 1, k++) {
        if (len2 & 1) shift = multiply(t->polynomial, shift, t->power[k]);
    }
    return multiply(t->polynomial, crc1, shift) ^ crc2;
}

uint64_t mc_crc64_combine(uint64_t crc1, uint64_t crc2, uint64_t len2)
{
    return combine(&tables[MC_CRC_ECMA], crc1, crc2, len2);
}

uint64_t mc_crc64nvme_combine(uint64_t crc1, uint64_t crc2, uint64_t len2)
{
    return combine(&tables[MC_CRC_NVME], crc1, crc2, len2);
}
