/* Arguments of commands: what stands in the brackets, read on the compile thread. */
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "dataplane/base/format_tables.h"
#include "dataplane/base/str.h"

#define CHILDREN_MAX 32

static bool refuse(const char **reason, const char *why)
{
    *reason = why;
    return false;
}

static struct weir_str lower(struct weir_compile *c, struct weir_str s)
{
    struct weir_str copy = weir_arena_str(c->arena, s);
    char *p = (char *)(uintptr_t)copy.p;
    for (size_t i = 0; i < s.n; i++)
        p[i] = weir_lower(p[i]);
    return copy;
}

static bool header_name(struct weir_compile *c, struct weir_str s, struct weir_str *name, uint16_t *id)
{
    struct weir_str bare = s;
    if (bare.n != 0 && bare.p[0] == ':') bare = (struct weir_str){s.p + 1, s.n - 1};
    if (!weir_header_name_valid(bare)) return false;
    *name = lower(c, s);
    *id = (uint16_t)weir_header_id(*name);
    return true;
}

/* "MAIN" or "MAIN?ALTERNATIVE". */
bool weir_format_args_header(struct weir_compile *c, struct weir_format_part *part, struct weir_str args, const char **reason)
{
    if (args.n == 0) return refuse(reason, "command needs a header name");
    size_t mark = weir_str_find(args, '?');
    if (!header_name(c, (struct weir_str){args.p, mark}, &part->text, &part->id)) return refuse(reason, "invalid header name");
    if (mark == args.n) return true;
    struct weir_str alternative = {args.p + mark + 1, args.n - mark - 1};
    if (weir_str_find(alternative, '?') != alternative.n) return refuse(reason, "more than one alternative header");
    if (!header_name(c, alternative, &part->text2, &part->id2)) return refuse(reason, "invalid header name");
    return true;
}

bool weir_format_args_time(struct weir_compile *c, struct weir_format_part *part, struct weir_str args, const char **reason)
{
    if (args.n == 0) return true;
    if (!weir_time_format_valid(args)) return refuse(reason, "invalid time format");
    part->text = weir_arena_str(c->arena, args);
    return true;
}

/* Prefix length of an address. choice: length + 1. */
bool weir_format_args_mask(struct weir_compile *c, struct weir_format_part *part, struct weir_str args, const char **reason)
{
    (void)c;
    if (args.p == NULL) return true;
    uint64_t bits;
    if (!weir_str_u64(args, &bits) || bits > 128) return refuse(reason, "the prefix length is not between 0 and 128");
    part->choice = (uint8_t)(bits + 1);
    return true;
}

/* "NAMESPACE:KEY:KEY". */
bool weir_format_args_metadata(struct weir_compile *c, struct weir_format_part *part, struct weir_str args, const char **reason)
{
    if (args.n == 0 || args.p[0] == ':') return refuse(reason, "command needs a namespace");
    size_t end = weir_str_find(args, ':');
    part->text = weir_arena_str(c->arena, (struct weir_str){args.p, end});
    uint32_t count = 0;
    for (size_t i = 0; i < args.n; i++)
        count += args.p[i] == ':';
    struct weir_str *path = weir_new(c, struct weir_str, count);
    for (uint32_t i = 0; i < count; i++) {
        args = (struct weir_str){args.p + end + 1, args.n - end - 1};
        end = weir_str_find(args, ':');
        path[i] = weir_arena_str(c->arena, (struct weir_str){args.p, end});
    }
    part->path = path;
    part->path_count = count;
    return true;
}

/* The place of `s` in a list of names, -1 where it is none of them. */
static int choice_of(struct weir_str s, const char *const *names)
{
    for (int i = 0; names[i] != NULL; i++)
        if (weir_str_eq(s, weir_str_of(names[i]))) return i;
    return -1;
}

bool weir_format_args_typed_metadata(struct weir_compile *c, struct weir_format_part *part, struct weir_str args,
                                     const char **reason)
{
    static const char *const types[] = {"DYNAMIC", "CLUSTER", "UPSTREAM_HOST", "ROUTE", "VIRTUAL_HOST", NULL};
    size_t colon = weir_str_find(args, ':');
    int type = choice_of((struct weir_str){args.p, colon}, types);
    if (type < 0) return refuse(reason, "metadata type is not one of DYNAMIC, CLUSTER, UPSTREAM_HOST, ROUTE, VIRTUAL_HOST");
    part->choice = (uint8_t)type;
    if (colon == args.n) return refuse(reason, "command needs a namespace");
    return weir_format_args_metadata(c, part, (struct weir_str){args.p + colon + 1, args.n - colon - 1}, reason);
}

bool weir_format_args_grpc_status(struct weir_compile *c, struct weir_format_part *part, struct weir_str args,
                                  const char **reason)
{
    static const char *const forms[] = {"CAMEL_STRING", "SNAKE_STRING", "NUMBER", NULL};
    (void)c;
    if (args.n == 0) return true;
    int form = choice_of(args, forms);
    if (form < 0) return refuse(reason, "argument is not one of CAMEL_STRING, SNAKE_STRING, NUMBER");
    part->choice = (uint8_t)form;
    return true;
}

bool weir_format_args_details(struct weir_compile *c, struct weir_format_part *part, struct weir_str args, const char **reason)
{
    (void)c;
    if (args.n == 0) return true;
    if (!weir_str_eq(args, WEIR_STR("ALLOW_WHITESPACES"))) return refuse(reason, "argument is not ALLOW_WHITESPACES");
    part->choice = 1;
    return true;
}

/* "X:Y", both optional, each of a list. */
static bool two_choices(struct weir_format_part *part, struct weir_str args, const char *const *first, const char *const *second,
                        const char **reason)
{
    size_t colon = weir_str_find(args, ':');
    struct weir_str x = {args.p, colon}, y = {NULL, 0};
    if (colon != args.n) y = (struct weir_str){args.p + colon + 1, args.n - colon - 1};
    int a = x.n != 0 ? choice_of(x, first) : 0, b = y.n != 0 ? choice_of(y, second) : 0;
    if (a < 0 || b < 0) return refuse(reason, "unknown argument");
    part->choice = (uint8_t)a;
    part->choice2 = (uint8_t)b;
    return true;
}

bool weir_format_args_path(struct weir_compile *c, struct weir_format_part *part, struct weir_str args, const char **reason)
{
    static const char *const query[] = {"WQ", "NQ", NULL}, *const source[] = {"ORIG_OR_PATH", "ORIG", "PATH", NULL};
    (void)c;
    return two_choices(part, args, query, source, reason);
}

bool weir_format_args_server_name(struct weir_compile *c, struct weir_format_part *part, struct weir_str args,
                                  const char **reason)
{
    static const char *const order[] = {"SNI_ONLY", "SNI_FIRST", "HOST_FIRST", NULL};
    static const char *const source[] = {"ORIG_OR_HOST", "ORIG", "HOST", NULL};
    (void)c;
    return two_choices(part, args, order, source, reason);
}

bool weir_format_args_query(struct weir_compile *c, struct weir_format_part *part, struct weir_str args, const char **reason)
{
    static const char *const forms[] = {"ORIG", "DECODED", NULL};
    (void)c;
    if (args.n == 0) return true;
    int form = choice_of(args, forms);
    if (form < 0) return refuse(reason, "argument is not one of ORIG, DECODED");
    part->choice = (uint8_t)form;
    return true;
}

bool weir_format_args_text(struct weir_compile *c, struct weir_format_part *part, struct weir_str args, const char **reason)
{
    if (args.n == 0) return refuse(reason, "command needs an argument");
    part->text = weir_arena_str(c->arena, args);
    return true;
}

/* "START:END:PRECISION". choice, choice2: points; id: divisor's exponent of ten. */
bool weir_format_args_duration(struct weir_compile *c, struct weir_format_part *part, struct weir_str args, const char **reason)
{
    static const char *const precisions[] = {"ns", "us", "ms", NULL};
    (void)c;
    size_t a = weir_str_find(args, ':');
    if (a == args.n) return refuse(reason, "arguments are not START:END:PRECISION");
    struct weir_str rest = {args.p + a + 1, args.n - a - 1};
    size_t b = weir_str_find(rest, ':');
    if (b == rest.n) return refuse(reason, "arguments are not START:END:PRECISION");
    int precision = choice_of((struct weir_str){rest.p + b + 1, rest.n - b - 1}, precisions);
    if (precision < 0) return refuse(reason, "precision is not one of ms, us, ns");
    part->choice = weir_format_time_point((struct weir_str){args.p, a});
    part->choice2 = weir_format_time_point((struct weir_str){rest.p, b});
    part->id = (uint16_t)precision;
    return true;
}

/* Constants of the process: text, p NULL where there is none. */
bool weir_format_args_environment(struct weir_compile *c, struct weir_format_part *part, struct weir_str args,
                                  const char **reason)
{
    if (args.n == 0) return refuse(reason, "command needs the name of a variable");
    const char *value = getenv(weir_arena_str(c->arena, args).p);
    part->text = weir_arena_str(c->arena, weir_str_of(value != NULL ? value : "-")); /* unset is "-" in JSON too */
    return true;
}

bool weir_format_args_hostname(struct weir_compile *c, struct weir_format_part *part, struct weir_str args, const char **reason)
{
    if (args.p != NULL) return refuse(reason, "command takes no arguments");
    char name[256] = "";
    if (gethostname(name, sizeof(name) - 1) == 0 && name[0] != '\0') part->text = weir_arena_str(c->arena, weir_str_of(name));
    return true;
}

static bool child(struct weir_compile *c, const json_t *operator, struct weir_format_part *part, const char **reason)
{
    struct weir_str name = weir_str_of(json_string_value(operator)), args = {NULL, 0};
    uint32_t length = UINT32_MAX;
    if (json_is_object(operator)) {
        const json_t *param = json_object_get(operator, "param"), *max = json_object_get(operator, "max_length");
        name = weir_str_of(json_string_value(json_object_get(operator, "command")));
        if (json_is_string(param)) args = (struct weir_str){json_string_value(param), json_string_length(param)};
        if (json_is_integer(max) && json_integer_value(max) > 0 && json_integer_value(max) < UINT32_MAX)
            length = (uint32_t)json_integer_value(max);
    }
    if (name.n == 0) return refuse(reason, "an operator has no command");
    if (weir_str_eq(name, WEIR_STR("COALESCE"))) return refuse(reason, "COALESCE within COALESCE");
    return weir_format_command_parse(c, name, args, length, part, reason);
}

bool weir_format_args_coalesce(struct weir_compile *c, struct weir_format_part *part, struct weir_str args, const char **reason)
{
    json_error_t error;
    json_t *root = args.n != 0 ? json_loadb(args.p, args.n, 0, &error) : NULL;
    const json_t *operators = json_object_get(root, "operators");
    size_t count = json_array_size(operators);
    bool good = count != 0 && count <= CHILDREN_MAX;
    if (!good) *reason = "arguments are not a JSON object with 1 to 32 operators";
    struct weir_format_part *children = weir_new(c, struct weir_format_part, count <= CHILDREN_MAX ? count : 0);
    for (size_t i = 0; good && i < count; i++)
        good = child(c, json_array_get(operators, i), &children[i], reason);
    part->children = children;
    part->child_count = (uint32_t)count;
    json_decref(root);
    return good;
}
