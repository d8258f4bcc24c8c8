/*
 * CRC-64: the arithmetic of one polynomial, its tables, and the form that needs only tables.
 *
 * A CRC is the remainder of the message, read as a polynomial over GF(2), by P. Reflected forms keep the
 * highest power in the lowest bit, so "1" is bit 63 and multiplying by x is a shift to the right. Tables and
 * folding constants are computed from the polynomial, so there are no magic numbers to mistype.
 */
#include "crc_internal.h"

#include <string.h>

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

void mc_crc_prepare(struct mc_crc_tables *t, uint64_t polynomial)
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

/* crc(A B) = crc(A) * x^(8 len(B)) + crc(B); the inversions at both ends cancel. */
uint64_t mc_crc_combine(const struct mc_crc_tables *t, uint64_t crc1, uint64_t crc2, uint64_t len2)
{
    /* The exponent in bits may need 67 bits. x^8 is power[3], so bytes count from there. x^(2^64) is not in the
     * table, so lengths must be below 2^61, two exbibytes. */
    uint64_t shift = 1ull << 63;
    for (unsigned k = 3; len2 != 0 && k < 64; len2 >>= 1, k++) {
        if (len2 & 1) shift = multiply(t->polynomial, shift, t->power[k]);
    }
    return multiply(t->polynomial, crc1, shift) ^ crc2;
}
