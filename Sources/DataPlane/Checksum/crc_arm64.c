/* The folding of crc_x86.c with PMULL, with the same lanes and constants. */
#if defined(__aarch64__)

#include "crc_internal.h"

#include <arm_neon.h>

#if defined(__clang__)
#define FOLD __attribute__((target("aes")))
#else
#define FOLD __attribute__((target("+crypto")))
#endif

FOLD static inline uint64x2_t carry(uint64x2_t lane, struct mc_fold k)
{
    poly128_t low = vmull_p64((poly64_t)vgetq_lane_u64(lane, 0), (poly64_t)k.low);
    poly128_t high = vmull_p64((poly64_t)vgetq_lane_u64(lane, 1), (poly64_t)k.high);
    return veorq_u64(vreinterpretq_u64_p128(low), vreinterpretq_u64_p128(high));
}

FOLD static inline uint64x2_t load(const uint8_t *p)
{
    return vreinterpretq_u64_u8(vld1q_u8(p));
}

FOLD uint64_t mc_crc_fold128(const struct mc_crc_tables *t, uint64_t reg, const uint8_t *p, size_t n)
{
    uint64x2_t a[8];
    for (int i = 0; i < 8; i++) a[i] = load(p + 16 * i);
    a[0] = veorq_u64(a[0], vcombine_u64(vcreate_u64(reg), vcreate_u64(0)));
    p += 128;
    n -= 128;
    while (n >= 128) {
        for (int i = 0; i < 8; i++) a[i] = veorq_u64(carry(a[i], t->by_1024), load(p + 16 * i));
        p += 128;
        n -= 128;
    }
    uint64x2_t lane = a[0];
    for (int i = 1; i < 8; i++) lane = veorq_u64(carry(lane, t->by_128), a[i]);
    while (n >= 16) {
        lane = veorq_u64(carry(lane, t->by_128), load(p));
        p += 16;
        n -= 16;
    }
    uint8_t rest[16];
    vst1q_u8(rest, vreinterpretq_u8_u64(lane));
    return mc_crc_table(t, mc_crc_table(t, 0, rest, 16), p, n);
}

#else
typedef int mc_crc_arm64_is_empty;
#endif
