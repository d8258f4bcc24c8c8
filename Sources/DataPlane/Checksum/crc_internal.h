/* Shared by the forms of CRC-64. Not part of the module. */
#ifndef MODELCACHE_CRC_INTERNAL_H
#define MODELCACHE_CRC_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

/* Multipliers that move a 128-bit lane over `distance` bits: the low half (earlier bytes, higher powers) by
 * x^(distance+63), the high half by x^(distance-1), both mod P and bit-reflected. The exponents are one short,
 * because a carry-less product of reflected operands comes out one bit low. */
struct mc_fold {
    uint64_t low;
    uint64_t high;
};

struct mc_crc_tables {
    uint64_t polynomial;        /* reflected */
    uint64_t slice[16][256];    /* slice[k][b]: byte b followed by k zero bytes */
    struct mc_fold by_128;      /* distances in bits */
    struct mc_fold by_512;
    struct mc_fold by_1024;
    struct mc_fold by_2048;
    uint64_t power[64];         /* x^(2^k) mod P, for combine */
};

/* Computes all tables from the reflected polynomial. */
void mc_crc_prepare(struct mc_crc_tables *t, uint64_t polynomial);

/* The CRC of A followed by B, of len2 bytes, from the CRCs of both. */
uint64_t mc_crc_combine(const struct mc_crc_tables *t, uint64_t crc1, uint64_t crc2, uint64_t len2);

/* Works on the bare register: no inversion at either end. */
uint64_t mc_crc_table(const struct mc_crc_tables *t, uint64_t reg, const uint8_t *p, size_t n);

/* These need n >= MC_FOLD_MINIMUM. */
#define MC_FOLD_MINIMUM 256u
#if defined(__x86_64__)
uint64_t mc_crc_fold128(const struct mc_crc_tables *t, uint64_t reg, const uint8_t *p, size_t n);
uint64_t mc_crc_fold512(const struct mc_crc_tables *t, uint64_t reg, const uint8_t *p, size_t n);
#elif defined(__aarch64__)
uint64_t mc_crc_fold128(const struct mc_crc_tables *t, uint64_t reg, const uint8_t *p, size_t n);
#endif

#endif
