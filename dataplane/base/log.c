/* The process log. Its state is the one thing in base/ that belongs to the process: set up by main before threads start;
 * afterwards only levels (atomic) and what the descriptor points at (dup3) change. */
#include "dataplane/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/base/str.h"


static struct {
    int fd;
    char *path, *format;
    _Atomic uint8_t levels[WEIR_LOG_COMPONENT_COUNT];
} state = {
    .fd = STDERR_FILENO,
    .levels = {
#define X(id, name) WEIR_LOG_INFO,
        WEIR_LOG_COMPONENTS(X)
#undef X
    },
};
static const char *const component_names[] = {
#define X(id, name) name,
    WEIR_LOG_COMPONENTS(X)
#undef X
};
static const char *const level_names[] = {"trace", "debug", "info", "warning", "error", "critical", "off"};

/* One line in the making: on the stack until it is long. */
struct line {
    char *p;
    size_t n, capacity;
    char small[1024];
};

static void line_add(struct line *l, const char *p, size_t n)
{
    if (n > l->capacity - l->n) {
        size_t capacity = (l->n + n) * 2;
        char *grown = realloc(l->p == l->small ? NULL : l->p, capacity);
        if (grown == NULL) return;
        if (l->p == l->small) memcpy(grown, l->small, l->n);
        l->p = grown;
        l->capacity = capacity;
    }
    memcpy(l->p + l->n, p, n);
    l->n += n;
}

static void line_add_z(struct line *l, const char *z)
{
    line_add(l, z, strlen(z));
}

struct event {
    enum weir_log_component component;
    enum weir_log_level level;
    const char *file;
    int line;
    struct timespec time;
    struct tm tm;
    const char *text;
    size_t text_length;
};

/* The file's path from the repository's root, however the compiler was called. */
static const char *short_path(const char *file)
{
    static const char *const roots[] = {"/dataplane/", "/xds/", "/control-plane-stub/"};
    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        const char *at = strstr(file, roots[i]);
        if (at != NULL) return at + 1;
    }
    return file;
}

static void line_add_time(struct line *l, const char *spec, const struct tm *tm)
{
    char out[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = strftime(out, sizeof(out), spec, tm);
#pragma GCC diagnostic pop
    line_add(l, out, n);
}

/* %j and %_: the text so that it stays one line, quotes escaped in the first. */
static void line_add_escaped(struct line *l, const struct event *e, bool quotes)
{
    for (size_t i = 0; i < e->text_length; i++) {
        char c = e->text[i];
        if (c == '\n')
            line_add(l, "\\n", 2);
        else if (quotes && (c == '"' || c == '\\'))
            line_add(l, (char[]){'\\', c}, 2);
        else if (quotes && (unsigned char)c < 0x20)
            line_add_z(l, " ");
        else
            line_add(l, &c, 1);
    }
}

static bool flag_add(struct line *l, char flag, const struct event *e)
{
    char out[160] = "";
    switch (flag) {
    case 'Y': case 'm': case 'd': case 'H': case 'M': case 'S': case 'T': case 'D': case 'y': case 'a': case 'A': case 'b':
    case 'B': case 'c': case 'C': case 'I': case 'p': case 'r': case 'R': case 'z':
        line_add_time(l, (char[]){'%', flag, '\0'}, &e->tm);
        return true;
    case 'e': (void)snprintf(out, sizeof(out), "%03ld", e->time.tv_nsec / 1000000); break;
    case 'f': (void)snprintf(out, sizeof(out), "%06ld", e->time.tv_nsec / 1000); break;
    case 'F': (void)snprintf(out, sizeof(out), "%09ld", e->time.tv_nsec); break;
    case 'E': (void)snprintf(out, sizeof(out), "%lld", (long long)e->time.tv_sec); break;
    case 't': (void)snprintf(out, sizeof(out), "%ld", (long)syscall(SYS_gettid)); break;
    case 'P': (void)snprintf(out, sizeof(out), "%ld", (long)getpid()); break;
    case '#': (void)snprintf(out, sizeof(out), "%d", e->line); break;
    case '@': (void)snprintf(out, sizeof(out), "%s:%d", e->file, e->line); break;
    case 'l': line_add_z(l, level_names[e->level]); break;
    case 'L': line_add(l, &"TDIWECO"[e->level], 1); break;
    case 'n': line_add_z(l, component_names[e->component]); break;
    case 'g': line_add_z(l, e->file); break;
    case 's': line_add_z(l, strrchr(e->file, '/') != NULL ? strrchr(e->file, '/') + 1 : e->file); break;
    case 'v': line_add(l, e->text, e->text_length); break;
    case 'j': line_add_escaped(l, e, true); break;
    case '_': line_add_escaped(l, e, false); break;
    case '%': line_add_z(l, "%"); break;
    case '^': case '$': case '!': break; /* colours and function names: nothing */
    default: return false;
    }
    line_add_z(l, out);
    return true;
}

/* False at an unknown flag, which is left in *bad. */
static bool line_format(struct line *l, const char *format, const struct event *e, char *bad)
{
    for (const char *p = format; *p != '\0'; p++) {
        if (*p != '%') {
            line_add(l, p, 1);
            continue;
        }
        p++;
        if (*p == '\0' || !flag_add(l, *p, e)) {
            *bad = *p;
            return false;
        }
    }
    return true;
}

static int open_path(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

enum weir_err weir_log_open(const char *path, const char *format, char *why, size_t why_size)
{
    if (format != NULL) {
        struct event e = {.file = "", .text = ""};
        struct line l = {.capacity = sizeof(l.small)};
        l.p = l.small;
        char bad = '\0';
        bool good = line_format(&l, format, &e, &bad);
        if (l.p != l.small) free(l.p);
        if (!good) {
            (void)snprintf(why, why_size, "log format: unknown flag '%%%c'", bad != '\0' ? bad : ' ');
            return WEIR_ERR_INVALID;
        }
    }
    int fd = STDERR_FILENO;
    if (path != NULL) {
        fd = open_path(path);
        if (fd < 0) {
            (void)snprintf(why, why_size, "log file '%s': %s", path, strerror(errno));
            return WEIR_ERR_IO;
        }
    }
    if (state.fd != STDERR_FILENO) (void)close(state.fd);
    free(state.path);
    free(state.format);
    state.fd = fd;
    state.path = path != NULL ? strdup(path) : NULL;
    state.format = format != NULL ? strdup(format) : NULL;
    return WEIR_OK;
}

void weir_log_reopen(void)
{
    if (state.path == NULL) return;
    int fd = open_path(state.path);
    if (fd < 0) {
        WEIR_LOG(MAIN, ERROR, "log file '%s' cannot be reopened: %s", state.path, strerror(errno));
        return;
    }
    (void)dup3(fd, state.fd, O_CLOEXEC);
    (void)close(fd);
}

void weir_log_set_level(enum weir_log_level level)
{
    for (int i = 0; i < WEIR_LOG_COMPONENT_COUNT; i++)
        atomic_store_explicit(&state.levels[i], (uint8_t)level, memory_order_relaxed);
}

bool weir_log_set_component_level(struct weir_str name, enum weir_log_level level)
{
    for (int i = 0; i < WEIR_LOG_COMPONENT_COUNT; i++) {
        if (!weir_str_eq(name, weir_str_of(component_names[i]))) continue;
        atomic_store_explicit(&state.levels[i], (uint8_t)level, memory_order_relaxed);
        return true;
    }
    return false;
}

bool weir_log_level_parse(struct weir_str name, enum weir_log_level *out)
{
    for (int i = WEIR_LOG_TRACE; i <= WEIR_LOG_OFF; i++) {
        if (!weir_str_eq(name, weir_str_of(level_names[i]))) continue;
        *out = (enum weir_log_level)i;
        return true;
    }
    if (!weir_str_eq(name, WEIR_STR("warn"))) return false;
    *out = WEIR_LOG_WARNING;
    return true;
}

const char *weir_log_level_name(enum weir_log_level level)
{
    return level_names[level];
}

const char *weir_log_component_name(enum weir_log_component c)
{
    return component_names[c];
}

enum weir_log_level weir_log_component_level(enum weir_log_component c)
{
    return (enum weir_log_level)atomic_load_explicit(&state.levels[c], memory_order_relaxed);
}

bool weir_log_enabled(enum weir_log_component c, enum weir_log_level level)
{
    return level >= atomic_load_explicit(&state.levels[c], memory_order_relaxed) && level != WEIR_LOG_OFF;
}

void weir_log_write(enum weir_log_component c, enum weir_log_level level, const char *file, int line, const char *fmt, ...)
{
    struct event e = {.component = c, .level = level, .file = short_path(file), .line = line};
    (void)clock_gettime(CLOCK_REALTIME, &e.time);
    (void)localtime_r(&e.time.tv_sec, &e.tm);
    char small[512], *text = small;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(small, sizeof(small), fmt, args);
    va_end(args);
    if (n < 0) return;
    if ((size_t)n >= sizeof(small)) {
        va_start(args, fmt);
        if (vasprintf(&text, fmt, args) < 0) text = small;
        va_end(args);
    }
    e.text = text;
    e.text_length = strlen(text);
    struct line l = {.capacity = sizeof(l.small)};
    l.p = l.small;
    char bad;
    (void)line_format(&l, state.format != NULL ? state.format : WEIR_LOG_FORMAT_DEFAULT, &e, &bad);
    line_add_z(&l, "\n");
    /* Best effort: there is nowhere to complain to. */
    ssize_t written = write(state.fd, l.p, l.n);
    (void)written;
    if (l.p != l.small) free(l.p);
    if (text != small) free(text);
}
