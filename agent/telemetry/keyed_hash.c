#include "keyed_hash.h"

struct sip {
    uint64_t v0, v1, v2, v3;
    uint64_t word; /* bytes that do not make a whole word yet, little endian */
    uint64_t len;
};

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(struct sip *sip)
{
    sip->v0 += sip->v1;
    sip->v1 = rotate(sip->v1, 13) ^ sip->v0;
    sip->v0 = rotate(sip->v0, 32);
    sip->v2 += sip->v3;
    sip->v3 = rotate(sip->v3, 16) ^ sip->v2;
    sip->v0 += sip->v3;
    sip->v3 = rotate(sip->v3, 21) ^ sip->v0;
    sip->v2 += sip->v1;
    sip->v1 = rotate(sip->v1, 17) ^ sip->v2;
    sip->v2 = rotate(sip->v2, 32);
}

static void sip_word(struct sip *sip, uint64_t word)
{
    sip->v3 ^= word;
    sip_round(sip);
    sip->v0 ^= word;
}

static void sip_text(struct sip *sip, const char *text)
{
    uint8_t byte;
    do {
        byte = (uint8_t)*text++;
        sip->word |= (uint64_t)byte << (sip->len % 8 * 8);
        sip->len++;
        if (sip->len % 8 == 0) {
            sip_word(sip, sip->word);
            sip->word = 0;
        }
    } while (byte != 0);
}

uint64_t keyed_hash_texts(const uint64_t seed[2], const char *const *texts, size_t num_texts)
{
    struct sip sip = {
        .v0 = seed[0] ^ 0x736f6d6570736575,
        .v1 = seed[1] ^ 0x646f72616e646f6d,
        .v2 = seed[0] ^ 0x6c7967656e657261,
        .v3 = seed[1] ^ 0x7465646279746573,
    };
    for (size_t i = 0; i < num_texts; i++)
        sip_text(&sip, texts[i]);
    sip_word(&sip, sip.len << 56 | sip.word);
    sip.v2 ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&sip);
    return sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3;
}
