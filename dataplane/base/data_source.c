/* Data sources, read on the compile thread. */
#include "dataplane/base/data_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/limits.h"

/* Reads to the end: sizes of pipes and of files in /proc are not known before. */
static enum weir_err read_all(struct weir_compile *c, int fd, const char *path, struct weir_str *out)
{
    size_t n = 0, capacity = 4096;
    char *bytes = malloc(capacity);
    ssize_t got = bytes != NULL ? 0 : -1;
    while (bytes != NULL && n <= WEIR_DATA_SOURCE_BYTES_MAX && (got = read(fd, bytes + n, capacity - n)) > 0) {
        n += (size_t)got;
        if (n < capacity) continue;
        char *grown = realloc(bytes, capacity * 2);
        if (grown == NULL) break;
        bytes = grown;
        capacity *= 2;
    }
    enum weir_err err = WEIR_OK;
    if (n > WEIR_DATA_SOURCE_BYTES_MAX)
        err = weir_reject(c, "filename", "'%s' is larger than %u bytes", path, WEIR_DATA_SOURCE_BYTES_MAX);
    else if (got != 0)
        err = weir_reject(c, "filename", "cannot read '%s': %s", path, strerror(errno));
    else
        *out = weir_arena_str(c->arena, (struct weir_str){bytes, n});
    free(bytes);
    return err;
}

static enum weir_err read_file(struct weir_compile *c, const char *path, struct weir_str *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return weir_reject(c, "filename", "cannot open '%s': %s", path, strerror(errno));
    struct stat st;
    enum weir_err err = fstat(fd, &st) == 0 && S_ISREG(st.st_mode)
                            ? read_all(c, fd, path, out)
                            : weir_reject(c, "filename", "'%s' is not a regular file", path);
    (void)close(fd);
    return err;
}

static enum weir_err source(struct weir_compile *c, const pb_data_source *pb, struct weir_str *out)
{
    switch (pb->specifier_case) {
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME: return read_file(c, pb->filename, out);
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES:
        *out = weir_arena_str(c->arena, (struct weir_str){(const char *)pb->inline_bytes.data, pb->inline_bytes.len});
        return WEIR_OK;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING:
        *out = weir_compile_str(c, pb->inline_string);
        return WEIR_OK;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_ENVIRONMENT_VARIABLE: {
        const char *value = getenv(pb->environment_variable);
        if (value == NULL) return weir_reject(c, "environment_variable", "'%s' is not set", pb->environment_variable);
        *out = weir_compile_str(c, value);
        return WEIR_OK;
    }
    default: return weir_reject(c, NULL, "names no source");
    }
}

enum weir_err weir_data_source_compile(struct weir_compile *c, const char *field, const void *pb, struct weir_str *out)
{
    *out = WEIR_STR("");
    if (pb == NULL) return WEIR_OK;
    size_t mark = field != NULL ? weir_path_push(c, field, -1) : c->path_length;
    enum weir_err err = source(c, pb, out);
    weir_path_pop(c, mark);
    return err;
}
