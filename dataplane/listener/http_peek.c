/* Reads the request line only as far as its version; whether it is a good one is the codec's business. */
#include "dataplane/listener/http_peek.h"

#define LINE_BYTES_MAX 65536u

bool weir_http_peek(const uint8_t *p, size_t n, struct weir_str *alpn)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    size_t length = sizeof(preface) - 1;
    if (memcmp(p, preface, n < length ? n : length) == 0) {
        if (n < length) return false;
        *alpn = WEIR_STR("\x03h2c");
        return true;
    }
    /* A method is a token: what begins otherwise is no HTTP. */
    if (p[0] < '!' || p[0] > '~') return true;
    const uint8_t *end = memchr(p, '\n', n < LINE_BYTES_MAX ? n : LINE_BYTES_MAX);
    if (end == NULL) return n >= LINE_BYTES_MAX;
    size_t line = (size_t)(end - p);
    if (line > 0 && p[line - 1] == '\r') line--;
    if (line < 10 || p[line - 9] != ' ') return true;
    if (memcmp(p + line - 8, "HTTP/1.1", 8) == 0) *alpn = WEIR_STR("\x08http/1.1");
    if (memcmp(p + line - 8, "HTTP/1.0", 8) == 0) *alpn = WEIR_STR("\x08http/1.0");
    return true;
}
