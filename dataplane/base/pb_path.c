/* Printing of field paths; see pb_path.h. */
#include "dataplane/base/pb_path.h"

#include <stdio.h>

#include "dataplane/limits.h"

/* Deeper paths lose their outermost fields: the innermost ones say more. */
#define LINKS_MAX (WEIR_PB_DEPTH_MAX + 28)

static void put(char *out, size_t size, size_t *n, const char *text, size_t length)
{
    for (size_t i = 0; i < length && *n + 1 < size; i++) {
        unsigned char c = (unsigned char)text[i];
        out[(*n)++] = c < 0x20 || c == 0x7f || c == '"' ? '?' : (char)c;
    }
}

const char *weir_pb_path_print(const struct weir_pb_path *path, char *out, size_t size)
{
    const struct weir_pb_path *links[LINKS_MAX];
    size_t count = 0, n = 0;
    for (; path != NULL && count < LINKS_MAX; path = path->up)
        links[count++] = path;
    while (count > 0) {
        const struct weir_pb_path *link = links[--count];
        if (n > 0)
            put(out, size, &n, ".", 1);
        put(out, size, &n, link->field, strlen(link->field));
        if (link->key.p != NULL) {
            if (n + 2 < size)
                out[n++] = '[', out[n++] = '"';
            put(out, size, &n, link->key.p, link->key.n);
            if (n + 2 < size)
                out[n++] = '"', out[n++] = ']';
        } else if (link->index != WEIR_PB_PATH_SINGLE) {
            char index[16];
            int length = snprintf(index, sizeof index, "[%u]", (unsigned)link->index);
            put(out, size, &n, index, (size_t)length);
        }
    }
    if (size > 0)
        out[n] = '\0';
    return out;
}
