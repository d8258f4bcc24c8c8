/*
 * CRC-64: the two polynomials in use, and the choice of the fastest form that this processor has, made once when the
 * program starts.
 */
#include "checksum.h"
#include "crc_internal.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_PMULL
#define HWCAP_PMULL (1 << 4)
#endif
#endif

static struct mc_crc_tables tables[2];
static enum mc_crc_form best_form = MC_CRC_TABLE;
static bool have_fold128, have_fold512;

__attribute__((constructor)) static void start(void)
{
    mc_crc_prepare(&tables[MC_CRC_ECMA], 0xC96C5795D7870F42ull); /* 0x42F0E1EBA9EA3693 reflected */
    mc_crc_prepare(&tables[MC_CRC_NVME], 0x9A6C9329AC4BC9B5ull); /* 0xAD93D23594C93659 reflected */
#if defined(__x86_64__)
    __builtin_cpu_init();
    have_fold128 = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
    have_fold512 = have_fold128 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
#elif defined(__aarch64__)
    have_fold128 = (getauxval(AT_HWCAP) & HWCAP_PMULL) != 0;
#endif
    best_form = have_fold512 ? MC_CRC_FOLD512 : have_fold128 ? MC_CRC_FOLD128 : MC_CRC_TABLE;
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

uint64_t mc_crc64_combine(uint64_t crc1, uint64_t crc2, uint64_t len2)
{
    return mc_crc_combine(&tables[MC_CRC_ECMA], crc1, crc2, len2);
}

uint64_t mc_crc64nvme_combine(uint64_t crc1, uint64_t crc2, uint64_t len2)
{
    return mc_crc_combine(&tables[MC_CRC_NVME], crc1, crc2, len2);
}
