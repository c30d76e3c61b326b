/* The process log in Envoy's line format, `[date time][thread][level][component] text`, to stderr or --log-path. Safe
 * from every thread; a line is one write. Levels can be changed while running (admin /logging). */
#ifndef WEIR_BASE_LOG_H
#define WEIR_BASE_LOG_H

#include "dataplane/weir.h"

enum weir_log_level {
    WEIR_LOG_TRACE,
    WEIR_LOG_DEBUG,
    WEIR_LOG_INFO,
    WEIR_LOG_WARNING,
    WEIR_LOG_ERROR,
    WEIR_LOG_CRITICAL,
    WEIR_LOG_OFF,
};
/* Components as Envoy names its loggers. The list is X(enum suffix, "name"). */
#define WEIR_LOG_COMPONENTS(X)                                                                                          \
    X(MAIN, "main") X(CONFIG, "config") X(UPSTREAM, "upstream") X(HTTP, "http") X(HTTP2, "http2") X(CONNECTION, "connection")   \
    X(CLIENT, "client") X(POOL, "pool") X(ROUTER, "router") X(FILTER, "filter") X(ADMIN, "admin") X(RUNTIME, "runtime")         \
    X(DNS, "dns") X(STATS, "stats") X(LUA, "lua") X(TRACING, "tracing") X(HEALTH, "hc") X(ASSERT, "assert") X(MISC, "misc")
enum weir_log_component {
#define X(id, name) WEIR_LOG_##id,
    WEIR_LOG_COMPONENTS(X)
#undef X
        WEIR_LOG_COMPONENT_COUNT
};

#define WEIR_LOG_FORMAT_DEFAULT "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v"
/* Before any other thread starts. path NULL: stderr. format NULL: the default; otherwise Envoy's --log-format subset
 * (%Y %m %d %T %e %f %t %l %n %v %@ %g %# %%); an unknown one is refused. */
enum weir_err weir_log_open(const char *path, const char *format, char *why, size_t why_size) WEIR_MUST_USE;
void weir_log_reopen(void); /* after rotation: SIGUSR1, SIGHUP */
void weir_log_set_level(enum weir_log_level level);                                        /* all components */
bool weir_log_set_component_level(struct weir_str name, enum weir_log_level level);        /* false: no such component */
bool weir_log_level_parse(struct weir_str name, enum weir_log_level *out);                 /* also "warn" */
const char *weir_log_level_name(enum weir_log_level level);
const char *weir_log_component_name(enum weir_log_component c);
enum weir_log_level weir_log_component_level(enum weir_log_component c);
bool weir_log_enabled(enum weir_log_component c, enum weir_log_level level);
void weir_log_write(enum weir_log_component c, enum weir_log_level level, const char *file, int line, const char *fmt, ...)
    WEIR_PRINTF(5, 6);

#define WEIR_LOG(component, level, ...)                                                                                 \
    do {                                                                                                                \
        if (weir_log_enabled(WEIR_LOG_##component, WEIR_LOG_##level))                                                   \
            weir_log_write(WEIR_LOG_##component, WEIR_LOG_##level, __FILE__, __LINE__, __VA_ARGS__);                    \
    } while (0)

#endif
