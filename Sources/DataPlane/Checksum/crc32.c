/*
 * CRC-32 in the two variants that S3 publishes, by tables alone (slicing by 8): a file is checked by one of them only where
 * the store has nothing better, once, on a thread of its own.
 */
#include "checksum.h"

#include <string.h>

struct table {
    uint32_t slice[8][256]; /* slice[k][b]: byte b followed by k zero bytes */
};

static struct table ieee, castagnoli;

static void prepare(struct table *t, uint32_t polynomial)
{
    for (unsigned b = 0; b < 256; b++) {
        uint32_t reg = b;
        for (int i = 0; i < 8; i++) reg = (reg >> 1) ^ ((reg & 1) ? polynomial : 0);
        t->slice[0][b] = reg;
    }
    for (unsigned k = 1; k < 8; k++) {
        for (unsigned b = 0; b < 256; b++) {
            uint32_t reg = t->slice[k - 1][b];
            t->slice[k][b] = (reg >> 8) ^ t->slice[0][reg & 0xff];
        }
    }
}

__attribute__((constructor)) static void start(void)
{
    prepare(&ieee, 0xEDB88320u);       /* 0x04C11DB7 reflected */
    prepare(&castagnoli, 0x82F63B78u); /* 0x1EDC6F41 reflected */
}

static uint32_t compute(const struct table *t, uint32_t crc, const void *data, size_t n)
{
    const uint8_t *p = data;
    uint32_t reg = ~crc;
    /* Bytes, not words: the same on machines of either byte order. */
    for (; n >= 8; p += 8, n -= 8) {
        reg = t->slice[7][(reg ^ p[0]) & 0xff] ^ t->slice[6][((reg >> 8) ^ p[1]) & 0xff]
            ^ t->slice[5][((reg >> 16) ^ p[2]) & 0xff] ^ t->slice[4][((reg >> 24) ^ p[3]) & 0xff]
            ^ t->slice[3][p[4]] ^ t->slice[2][p[5]] ^ t->slice[1][p[6]] ^ t->slice[0][p[7]];
    }
    while (n-- > 0) reg = (reg >> 8) ^ t->slice[0][(reg ^ *p++) & 0xff];
    return ~reg;
}

uint32_t mc_crc32(uint32_t crc, const void *data, size_t n)
{
    return compute(&ieee, crc, data, n);
}

uint32_t mc_crc32c(uint32_t crc, const void *data, size_t n)
{
    return compute(&castagnoli, crc, data, n);
}
