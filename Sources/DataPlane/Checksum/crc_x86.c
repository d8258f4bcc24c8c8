/*
 * Folding (Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", Intel 2009): lanes of
 * 128 bits move over a fixed distance and are added to the data there, until one lane is left. The table form reduces
 * that lane. Several lanes in flight hide the multiplier's latency.
 */
#if defined(__x86_64__)

#include "crc_internal.h"

#include <immintrin.h>

#define FOLD128 __attribute__((target("sse4.1,pclmul")))
#define FOLD512 __attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.1")))

FOLD128 static inline __m128i carry(__m128i lane, __m128i k)
{
    return _mm_xor_si128(_mm_clmulepi64_si128(lane, k, 0x00), _mm_clmulepi64_si128(lane, k, 0x11));
}

FOLD128 static inline __m128i pair(struct mc_fold f)
{
    return _mm_set_epi64x((long long)f.high, (long long)f.low);
}

FOLD128 static inline __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* One lane that represents everything before p, and the n bytes after it. */
FOLD128 static uint64_t finish(const struct mc_crc_tables *t, __m128i lane, const uint8_t *p, size_t n)
{
    const __m128i k = pair(t->by_128);
    while (n >= 16) {
        lane = _mm_xor_si128(carry(lane, k), load(p));
        p += 16;
        n -= 16;
    }
    uint8_t rest[16];
    _mm_storeu_si128((__m128i *)(void *)rest, lane);
    return mc_crc_table(t, mc_crc_table(t, 0, rest, 16), p, n);
}

FOLD128 uint64_t mc_crc_fold128(const struct mc_crc_tables *t, uint64_t reg, const uint8_t *p, size_t n)
{
    __m128i a[8];
    for (int i = 0; i < 8; i++) a[i] = load(p + 16 * i);
    a[0] = _mm_xor_si128(a[0], _mm_cvtsi64_si128((long long)reg));
    p += 128;
    n -= 128;
    const __m128i k = pair(t->by_1024);
    while (n >= 128) {
        for (int i = 0; i < 8; i++) a[i] = _mm_xor_si128(carry(a[i], k), load(p + 16 * i));
        p += 128;
        n -= 128;
    }
    const __m128i k1 = pair(t->by_128);
    __m128i lane = a[0];
    for (int i = 1; i < 8; i++) lane = _mm_xor_si128(carry(lane, k1), a[i]);
    return finish(t, lane, p, n);
}

FOLD512 static inline __m512i carry512(__m512i lanes, __m512i k, __m512i data)
{
    return _mm512_ternarylogic_epi64(
        _mm512_clmulepi64_epi128(lanes, k, 0x00), _mm512_clmulepi64_epi128(lanes, k, 0x11), data, 0x96);
}

FOLD512 uint64_t mc_crc_fold512(const struct mc_crc_tables *t, uint64_t reg, const uint8_t *p, size_t n)
{
    __m512i a[4];
    for (int i = 0; i < 4; i++) a[i] = _mm512_loadu_si512(p + 64 * i);
    a[0] = _mm512_xor_si512(a[0], _mm512_zextsi128_si512(_mm_cvtsi64_si128((long long)reg)));
    p += 256;
    n -= 256;
    const __m512i k = _mm512_broadcast_i32x4(pair(t->by_2048));
    while (n >= 256) {
        for (int i = 0; i < 4; i++) a[i] = carry512(a[i], k, _mm512_loadu_si512(p + 64 * i));
        p += 256;
        n -= 256;
    }
    const __m512i k4 = _mm512_broadcast_i32x4(pair(t->by_512));
    __m512i lanes = a[0];
    for (int i = 1; i < 4; i++) lanes = carry512(lanes, k4, a[i]);
    while (n >= 64) {
        lanes = carry512(lanes, k4, _mm512_loadu_si512(p));
        p += 64;
        n -= 64;
    }
    const __m128i k1 = pair(t->by_128);
    __m128i lane = _mm512_extracti32x4_epi32(lanes, 0);
    lane = _mm_xor_si128(carry(lane, k1), _mm512_extracti32x4_epi32(lanes, 1));
    lane = _mm_xor_si128(carry(lane, k1), _mm512_extracti32x4_epi32(lanes, 2));
    lane = _mm_xor_si128(carry(lane, k1), _mm512_extracti32x4_epi32(lanes, 3));
    _mm256_zeroupper();
    return finish(t, lane, p, n);
}

#else
typedef int mc_crc_x86_is_empty;
#endif
