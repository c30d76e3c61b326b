/* Lines and bodies with commands. A JSON template is a tree whose strings are formats; everything that does not depend on the
 * request is printed once, when it is compiled. */
#include "dataplane/base/substitution.h"

#include "dataplane/base/data_source.h"
#include "dataplane/base/metadata.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"

struct node {
    enum { LITERAL, FORMAT, OBJECT, LIST } kind;
    struct weir_str literal; /* JSON */
    const struct weir_format *format;
    uint32_t count;
    const struct member *members;
};
struct member {
    struct weir_str key; /* `"key":`, empty in a list */
    struct node value;
};

struct weir_substitution {
    const struct weir_format *text; /* NULL: JSON */
    struct node json;
    bool omit_empty;
    struct weir_str content_type;
};

static struct weir_str json_text(struct weir_compile *c, const struct weir_value *v)
{
    struct weir_text t = {.arena = c->arena};
    weir_text_add_json_value(&t, v);
    return (struct weir_str){t.p, t.n};
}

static enum weir_err node_compile(struct weir_compile *c, const struct weir_value *v, struct node *out);

static enum weir_err members_compile(struct weir_compile *c, const struct weir_value *v, struct node *out)
{
    bool object = v->kind == WEIR_VALUE_STRUCT;
    out->kind = object ? OBJECT : LIST;
    out->count = object ? v->fields.count : v->list.count;
    struct member *members = weir_new(c, struct member, out->count);
    out->members = members;
    for (uint32_t i = 0; i < out->count; i++) {
        size_t mark = c->path_length;
        if (object) {
            struct weir_str key = v->fields.at[i].key;
            struct weir_text t = {.arena = c->arena};
            weir_text_add_json_string(&t, key);
            weir_text_add(&t, WEIR_STR(":"));
            members[i].key = (struct weir_str){t.p, t.n};
            (void)weir_path_push(c, weir_arena_str(c->scratch, key).p, -1);
        } else {
            (void)weir_path_push(c, "values", (int)i);
        }
        enum weir_err err = node_compile(c, object ? &v->fields.at[i].value : &v->list.at[i], &members[i].value);
        weir_path_pop(c, mark);
        if (err != WEIR_OK) return err;
    }
    return WEIR_OK;
}

static enum weir_err node_compile(struct weir_compile *c, const struct weir_value *v, struct node *out)
{
    *out = (struct node){.kind = LITERAL};
    switch (v->kind) {
    case WEIR_VALUE_STRUCT:
    case WEIR_VALUE_LIST: return members_compile(c, v, out);
    case WEIR_VALUE_STRING: {
        struct weir_format *f;
        enum weir_err err = weir_format_compile(c, NULL, v->string, &f);
        if (err != WEIR_OK) return err;
        struct weir_str constant = weir_format_constant(f);
        out->format = f;
        out->kind = FORMAT;
        if (constant.p == NULL) return WEIR_OK;
        out->kind = LITERAL;
        out->literal = json_text(c, &(struct weir_value){.kind = WEIR_VALUE_STRING, .string = constant});
        return WEIR_OK;
    }
    default: out->literal = json_text(c, v); return WEIR_OK;
    }
}

enum weir_err weir_substitution_json(struct weir_compile *c, const char *field, const void *struct_pb,
                                     const struct weir_substitution **out)
{
    struct weir_substitution *s = weir_new(c, struct weir_substitution, 1);
    struct weir_value v = weir_value_from_struct(c->scratch, struct_pb);
    size_t mark = field != NULL ? weir_path_push(c, field, -1) : c->path_length;
    enum weir_err err = members_compile(c, &v, &s->json);
    weir_path_pop(c, mark);
    s->content_type = WEIR_STR("application/json");
    *out = s;
    return err;
}

enum weir_err weir_substitution_text(struct weir_compile *c, const char *field, struct weir_str text,
                                     const struct weir_substitution **out)
{
    struct weir_substitution *s = weir_new(c, struct weir_substitution, 1);
    struct weir_format *f = NULL;
    enum weir_err err = weir_format_compile(c, field, text, &f);
    s->text = f;
    s->content_type = WEIR_STR("text/plain");
    *out = s;
    return err;
}

/* Commands of these extensions are always known; others would silently give nothing. */
static enum weir_err formatters_check(struct weir_compile *c, const pb_substitution_format *pb)
{
    static const char *const known[] = {"envoy.extensions.formatter.metadata.v3.Metadata",
                                        "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"};
    for (size_t i = 0; i < pb->n_formatters; i++) {
        const Google__Protobuf__Any *any = pb->formatters[i]->typed_config;
        struct weir_str url = weir_str_of(any != NULL ? any->type_url : "");
        bool good = false;
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
            good = good || weir_str_ends(url, weir_str_of(known[k]));
        if (good) continue;
        size_t mark = weir_path_push(c, "formatters", (int)i);
        enum weir_err err = weir_reject(c, "typed_config", "formatter '%.*s' is not supported", WEIR_STR_ARG(url));
        weir_path_pop(c, mark);
        return err;
    }
    return WEIR_OK;
}

static enum weir_err compile(struct weir_compile *c, const pb_substitution_format *pb, const struct weir_substitution **out)
{
    enum weir_err err = formatters_check(c, pb);
    if (err != WEIR_OK) return err;
    struct weir_str text;
    switch (pb->format_case) {
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT:
        return weir_substitution_text(c, "text_format", weir_str_of(pb->text_format), out);
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT_SOURCE:
        err = weir_data_source_compile(c, "text_format_source", pb->text_format_source, &text);
        return err == WEIR_OK ? weir_substitution_text(c, "text_format_source", text, out) : err;
    case ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_JSON_FORMAT:
        return weir_substitution_json(c, "json_format", pb->json_format, out);
    default: return weir_reject(c, NULL, "names no format");
    }
}

enum weir_err weir_substitution_compile(struct weir_compile *c, const char *field, const void *pb,
                                        const struct weir_substitution **out)
{
    const pb_substitution_format *m = pb;
    const struct weir_substitution *made = NULL;
    size_t mark = field != NULL ? weir_path_push(c, field, -1) : c->path_length;
    enum weir_err err = compile(c, m, &made);
    weir_path_pop(c, mark);
    if (err != WEIR_OK) return err;
    struct weir_substitution *s = weir_new(c, struct weir_substitution, 1);
    *s = *made;
    s->omit_empty = m->omit_empty_values;
    if (m->content_type != NULL && m->content_type[0] != '\0') s->content_type = weir_compile_str(c, m->content_type);
    *out = s;
    return WEIR_OK;
}

struct printer {
    const struct weir_request *r;
    struct weir_str body;
    bool omit_empty;
};

static void node_print(const struct printer *p, const struct node *n, struct weir_text *out)
{
    static const struct weir_str brackets[][2] = {{WEIR_STR_INIT("{"), WEIR_STR_INIT("}")}, {WEIR_STR_INIT("["), WEIR_STR_INIT("]")}};
    if (n->kind == LITERAL) {
        weir_text_add(out, n->literal);
        return;
    }
    if (n->kind == FORMAT && p->omit_empty && !weir_format_is_single(n->format)) {
        struct weir_text mixed = {.arena = out->arena};
        weir_format_print(n->format, p->r, p->body, WEIR_STR(""), &mixed);
        weir_text_add_json_string(out, (struct weir_str){mixed.p, mixed.n});
        return;
    }
    if (n->kind == FORMAT) {
        weir_format_print_json(n->format, p->r, p->body, out);
        return;
    }
    weir_text_add(out, brackets[n->kind == LIST][0]);
    bool first = true;
    for (uint32_t i = 0; i < n->count; i++) {
        size_t before = out->n;
        if (!first) weir_text_add(out, WEIR_STR(","));
        weir_text_add(out, n->members[i].key);
        size_t value = out->n;
        node_print(p, &n->members[i].value, out);
        bool null = out->n - value == 4 && memcmp(out->p + value, "null", 4) == 0;
        if (p->omit_empty && null)
            out->n = before;
        else
            first = false;
    }
    weir_text_add(out, brackets[n->kind == LIST][1]);
}

void weir_substitution_print(const struct weir_substitution *s, const struct weir_request *r, struct weir_str local_reply_body,
                             struct weir_text *out)
{
    if (s->text != NULL) {
        weir_format_print(s->text, r, local_reply_body, s->omit_empty ? WEIR_STR("") : WEIR_STR("-"), out);
        return;
    }
    struct printer p = {r, local_reply_body, s->omit_empty};
    node_print(&p, &s->json, out);
    weir_text_add(out, WEIR_STR("\n"));
}

bool weir_substitution_is_json(const struct weir_substitution *s)
{
    return s->text == NULL;
}

struct weir_str weir_substitution_content_type(const struct weir_substitution *s)
{
    return s->content_type;
}
