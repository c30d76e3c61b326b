/* Header rules: compiled where configuration is, applied on workers to requests and responses. */
#include "dataplane/base/header_rule.h"

#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"
#include "dataplane/limits.h"

static bool forbidden(struct weir_str name)
{
    return (name.n > 0 && name.p[0] == ':') || weir_str_eq(name, WEIR_STR("host"));
}

static struct weir_str lower_name(struct weir_compile *c, const char *z)
{
    struct weir_str s = weir_compile_str(c, z);
    char *p = (char *)(uintptr_t)s.p;
    for (size_t i = 0; i < s.n; i++)
        p[i] = weir_lower(p[i]);
    return s;
}

static enum weir_err compile_remove(struct weir_compile *c, const char *field, int index, const char *name,
                                    struct weir_header_rule *out)
{
    *out = (struct weir_header_rule){.action = WEIR_HEADER_REMOVE, .name = lower_name(c, name)};
    out->id = (uint16_t)weir_header_id(out->name);
    if (!forbidden(out->name))
        return WEIR_OK;
    size_t mark = weir_path_push(c, field, index);
    enum weir_err err = weir_reject(c, NULL, ":-prefixed or host headers may not be removed");
    weir_path_pop(c, mark);
    return err;
}

static enum weir_err compile_action(struct weir_compile *c, const pb_header_value_option *o, struct weir_header_rule *out)
{
    static const int actions[] = {
        [ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__APPEND_IF_EXISTS_OR_ADD] = WEIR_HEADER_APPEND_OR_ADD,
        [ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__ADD_IF_ABSENT] = WEIR_HEADER_ADD_IF_ABSENT,
        [ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS_OR_ADD] =
            WEIR_HEADER_OVERWRITE_OR_ADD,
        [ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS] = WEIR_HEADER_OVERWRITE_IF_PRESENT,
    };
    if ((size_t)o->append_action >= sizeof actions / sizeof *actions)
        return weir_reject(c, "append_action", "unknown value %d", (int)o->append_action);
    out->action = actions[o->append_action];
    if (o->append != NULL) {
        if (o->append_action != 0)
            return weir_reject(c, "append_action", "append and append_action are both set");
        out->action = o->append->value ? WEIR_HEADER_APPEND_OR_ADD : WEIR_HEADER_OVERWRITE_OR_ADD;
    }
    return WEIR_OK;
}

static enum weir_err compile_value(struct weir_compile *c, const pb_header_value *h, struct weir_header_rule *out)
{
    struct weir_str text = weir_str_of(h->value);
    const char *field = "value";
    if (text.n == 0 && h->raw_value.len > 0) {
        text = (struct weir_str){(const char *)h->raw_value.data, h->raw_value.len};
        field = "raw_value";
    }
    struct weir_format *format = NULL;
    enum weir_err err = weir_format_compile(c, field, weir_arena_str(c->arena, text), &format);
    if (err != WEIR_OK)
        return err;
    out->constant = weir_format_constant(format);
    out->value = format;
    if (out->constant.p != NULL && !weir_header_value_valid(out->constant))
        return weir_reject(c, field, "holds a control character");
    return WEIR_OK;
}

static enum weir_err compile_add(struct weir_compile *c, const pb_header_value_option *o, struct weir_header_rule *out)
{
    *out = (struct weir_header_rule){.keep_empty_value = o->keep_empty_value};
    if (o->header == NULL)
        return weir_reject(c, "header", "is required");
    out->name = lower_name(c, o->header->key);
    out->id = (uint16_t)weir_header_id(out->name);
    enum weir_err err = compile_action(c, o, out);
    if (err != WEIR_OK)
        return err;
    size_t mark = weir_path_push(c, "header", -1);
    if (forbidden(out->name))
        err = weir_reject(c, "key", ":-prefixed or host headers may not be modified");
    else if (!weir_header_name_valid(out->name))
        err = weir_reject(c, "key", "\"%.*s\" is no header name", WEIR_STR_ARG(out->name));
    else
        err = compile_value(c, o->header, out);
    weir_path_pop(c, mark);
    return err;
}

static enum weir_err check_count(struct weir_compile *c, const char *field, size_t count)
{
    if (count <= WEIR_HEADER_RULES_MAX)
        return WEIR_OK;
    return weir_reject(c, field, "has %zu entries, at most %d", count, WEIR_HEADER_RULES_MAX);
}

enum weir_err weir_header_rules_compile(struct weir_compile *c, const char *add_field, size_t add_count, void *const *add,
                                        const char *remove_field, size_t remove_count, char *const *remove,
                                        struct weir_header_rules *out)
{
    *out = (struct weir_header_rules){0};
    if (add_count + remove_count == 0)
        return WEIR_OK;
    enum weir_err err = check_count(c, add_field, add_count);
    if (err == WEIR_OK)
        err = check_count(c, remove_field, remove_count);
    if (err != WEIR_OK)
        return err;
    struct weir_header_rule *at = weir_new(c, struct weir_header_rule, add_count + remove_count);
    for (size_t i = 0; i < remove_count && err == WEIR_OK; i++)
        err = compile_remove(c, remove_field, (int)i, remove[i], &at[i]);
    for (size_t i = 0; i < add_count && err == WEIR_OK; i++) {
        size_t mark = weir_path_push(c, add_field, (int)i);
        err = compile_add(c, add[i], &at[remove_count + i]);
        weir_path_pop(c, mark);
    }
    *out = (struct weir_header_rules){(uint32_t)(add_count + remove_count), at};
    return err;
}

static enum weir_err compile_mutation(struct weir_compile *c, const Envoy__Config__Common__MutationRules__V3__HeaderMutation *m, struct weir_header_rule *out)
{
    switch (m->action_case) {
    case ENVOY__CONFIG__COMMON__MUTATION_RULES__V3__HEADER_MUTATION__ACTION_REMOVE:
        return compile_remove(c, "remove", -1, m->remove, out);
    case ENVOY__CONFIG__COMMON__MUTATION_RULES__V3__HEADER_MUTATION__ACTION_APPEND: {
        size_t mark = weir_path_push(c, "append", -1);
        enum weir_err err = compile_add(c, m->append, out);
        weir_path_pop(c, mark);
        return err;
    }
    default: return weir_reject(c, NULL, "says neither remove nor append");
    }
}

enum weir_err weir_header_mutations_compile(struct weir_compile *c, const char *field, size_t count, void *const *pb,
                                            struct weir_header_rules *out)
{
    *out = (struct weir_header_rules){0};
    if (count == 0)
        return WEIR_OK;
    enum weir_err err = check_count(c, field, count);
    if (err != WEIR_OK)
        return err;
    struct weir_header_rule *at = weir_new(c, struct weir_header_rule, count);
    for (size_t i = 0; i < count && err == WEIR_OK; i++) {
        size_t mark = weir_path_push(c, field, (int)i);
        err = compile_mutation(c, pb[i], &at[i]);
        weir_path_pop(c, mark);
    }
    *out = (struct weir_header_rules){(uint32_t)count, at};
    return err;
}

static uint32_t remove_named(const struct weir_header_rule *rule, struct weir_headers *h)
{
    return rule->id != WEIR_H_NONE ? weir_headers_remove(h, (enum weir_header_id)rule->id) : weir_headers_remove_name(h, rule->name);
}

static bool has_named(const struct weir_header_rule *rule, const struct weir_headers *h)
{
    if (rule->id != WEIR_H_NONE)
        return weir_headers_find(h, (enum weir_header_id)rule->id) != NULL;
    return weir_headers_find_name(h, rule->name) != NULL;
}

static struct weir_str value_of(const struct weir_header_rule *rule, const struct weir_request *r, struct weir_arena *arena)
{
    if (rule->constant.p != NULL)
        return rule->constant;
    struct weir_text text = {.arena = arena};
    weir_format_print(rule->value, r, WEIR_STR(""), WEIR_STR(""), &text);
    struct weir_str value = {text.p, text.n};
    return weir_header_value_valid(value) ? value : WEIR_STR("");
}

static void apply(const struct weir_header_rule *rule, const struct weir_request *r, struct weir_headers *h)
{
    if (rule->action == WEIR_HEADER_REMOVE) {
        remove_named(rule, h);
        return;
    }
    if (rule->action == WEIR_HEADER_ADD_IF_ABSENT && has_named(rule, h))
        return;
    if (rule->action == WEIR_HEADER_OVERWRITE_IF_PRESENT && !has_named(rule, h))
        return;
    struct weir_str value = value_of(rule, r, h->arena);
    if (value.n == 0 && !rule->keep_empty_value)
        return;
    if (rule->action == WEIR_HEADER_OVERWRITE_OR_ADD || rule->action == WEIR_HEADER_OVERWRITE_IF_PRESENT)
        remove_named(rule, h);
    if (rule->id != WEIR_H_NONE)
        weir_headers_add(h, (enum weir_header_id)rule->id, value);
    else
        weir_headers_add_name(h, rule->name, value);
}

void weir_header_rules_apply(const struct weir_header_rules *rules, const struct weir_request *r, struct weir_headers *h)
{
    for (uint32_t i = 0; i < rules->count; i++)
        apply(&rules->at[i], r, h);
}
