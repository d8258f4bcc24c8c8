/*
 * CRC-64 at memory speed, in the two variants that object stores publish for complete objects.
 *
 *   mc_crc64      CRC-64/ECMA-182 in its reflected form, also called CRC-64/XZ: OSS's
 *                 x-oss-hash-crc64ecma. check("123456789") = 0x995DC9BBDF1939FA.
 *   mc_crc64nvme  CRC-64/NVME: S3's x-amz-checksum-crc64nvme.
 *                 check("123456789") = 0xAE8B14860A799888.
 *
 * Both stream: pass the result for the bytes so far, 0 to start. All functions are pure and safe from any thread.
 * The fastest form of the processor is chosen at run time.
 */
#ifndef MODELCACHE_CHECKSUM_H
#define MODELCACHE_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The CRC of the bytes whose CRC is `crc`, followed by `n` bytes at `data`. */
uint64_t mc_crc64(uint64_t crc, const void *data, size_t n);
uint64_t mc_crc64nvme(uint64_t crc, const void *data, size_t n);

/* CRC-32 as of zlib, S3's x-amz-checksum-crc32: check("123456789") = 0xCBF43926; and CRC-32C (Castagnoli),
 * x-amz-checksum-crc32c: check("123456789") = 0xE3069283. */
uint32_t mc_crc32(uint32_t crc, const void *data, size_t n);
uint32_t mc_crc32c(uint32_t crc, const void *data, size_t n);

/* The CRC of A followed by B, from crc(A), crc(B) and the length of B in bytes. Reads no data. */
uint64_t mc_crc64_combine(uint64_t crc1, uint64_t crc2, uint64_t len2);
uint64_t mc_crc64nvme_combine(uint64_t crc1, uint64_t crc2, uint64_t len2);

/* The forms of the same function. They differ only in speed; tests compare them. */
enum mc_crc_form {
    MC_CRC_AUTO = 0,
    /* Slicing by 16: any processor. */
    MC_CRC_TABLE = 1,
    /* Carry-less multiplication of 128-bit lanes: PCLMULQDQ on x86-64, PMULL on arm64. */
    MC_CRC_FOLD128 = 2,
    /* The same in 512-bit registers: VPCLMULQDQ with AVX-512. */
    MC_CRC_FOLD512 = 3,
};

enum mc_crc_polynomial {
    MC_CRC_ECMA = 0,
    MC_CRC_NVME = 1,
};

/* Whether this processor can run the form. */
bool mc_crc_form_available(enum mc_crc_form form);

/* The CRC by one form. MC_CRC_TABLE replaces a form that is not available. */
uint64_t mc_crc64_by(enum mc_crc_form form, enum mc_crc_polynomial polynomial, uint64_t crc,
                     const void *data, size_t n);

#endif
