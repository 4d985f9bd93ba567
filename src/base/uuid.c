#include "base/uuid.h"

static const char HEX[] = "0123456789abcdef";

void uuid_format(const Uuid *u, char out[UUID_TEXT_LEN + 1]) {
        char *at = out;
        for (size_t i = 0; i < 16; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        *at++ = '-';
                *at++ = HEX[u->bytes[i] >> 4];
                *at++ = HEX[u->bytes[i] & 15];
        }
        *at = '\0';
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

int uuid_parse(const char *text, size_t n, Uuid *ret_u) {
        if (n != UUID_TEXT_LEN && n != 32)
                return -EINVAL;
        Uuid u;
        size_t at = 0;
        for (size_t i = 0; i < 16; i++) {
                if (n == UUID_TEXT_LEN && (i == 4 || i == 6 || i == 8 || i == 10) && text[at++] != '-')
                        return -EINVAL;
                int hi = hex_digit(text[at]), lo = hex_digit(text[at + 1]);
                if (hi < 0 || lo < 0)
                        return -EINVAL;
                u.bytes[i] = (uint8_t)(hi << 4 | lo);
                at += 2;
        }
        *ret_u = u;
        return 0;
}
