/* base/substitution.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/base/substitution.h"

#define S WEIR_STR

static struct weir_error error;
static struct weir_compile c;
static struct weir_request request;

static int setup(void **state)
{
    (void)state;
    c = (struct weir_compile){.arena = weir_arena_create(), .error = &error};
    c.scratch = c.arena;
    request = (struct weir_request){.status = 503, .protocol = WEIR_HTTP11};
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    weir_arena_destroy(c.arena);
    return 0;
}

/* Struct messages by hand, small. */
static Google__Protobuf__Value *value(Google__Protobuf__Value__KindCase kind)
{
    Google__Protobuf__Value *v = weir_arena_alloc(c.arena, sizeof(*v));
    google__protobuf__value__init(v);
    v->kind_case = kind;
    return v;
}
static Google__Protobuf__Value *string(const char *text)
{
    Google__Protobuf__Value *v = value(GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE);
    v->string_value = (char *)(uintptr_t)text;
    return v;
}
static Google__Protobuf__Struct *object(size_t n, ...)
{
    Google__Protobuf__Struct *s = weir_arena_alloc(c.arena, sizeof(*s));
    google__protobuf__struct__init(s);
    s->n_fields = n;
    s->fields = weir_arena_alloc(c.arena, sizeof(*s->fields) * n);
    va_list args;
    va_start(args, n);
    for (size_t i = 0; i < n; i++) {
        s->fields[i] = weir_arena_alloc(c.arena, sizeof(*s->fields[i]));
        google__protobuf__struct__fields_entry__init(s->fields[i]);
        s->fields[i]->key = va_arg(args, char *);
        s->fields[i]->value = va_arg(args, Google__Protobuf__Value *);
    }
    va_end(args);
    return s;
}

static void assert_prints(const struct weir_substitution *s, const char *want)
{
    struct weir_text out = {.arena = c.arena};
    weir_substitution_print(s, &request, S("oops"), &out);
    if (!weir_str_eq((struct weir_str){out.p, out.n}, weir_str_of(want)))
        fail_msg("\"%.*s\", not \"%s\"", (int)out.n, out.p, want);
}

static void test_text(void **state)
{
    (void)state;
    const struct weir_substitution *s;
    pb_substitution_format pb = ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__INIT;
    pb.format_case = ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_TEXT_FORMAT;
    pb.text_format = (char *)"%RESPONSE_CODE% %ROUTE_NAME% %LOCAL_REPLY_BODY%\n";
    assert_int_equal(weir_substitution_compile(&c, "log_format", &pb, &s), WEIR_OK);
    assert_prints(s, "503 - oops\n");
    assert_false(weir_substitution_is_json(s));
    assert_true(weir_str_eq(weir_substitution_content_type(s), S("text/plain")));
    pb.omit_empty_values = true;
    pb.content_type = (char *)"text/html";
    assert_int_equal(weir_substitution_compile(&c, "log_format", &pb, &s), WEIR_OK);
    assert_prints(s, "503  oops\n");
    assert_true(weir_str_eq(weir_substitution_content_type(s), S("text/html")));
    pb.text_format = (char *)"%NOPE%";
    assert_int_equal(weir_substitution_compile(&c, "log_format", &pb, &s), WEIR_ERR_INVALID);
    assert_non_null(strstr(error.text, "log_format.text_format: "));
}

static void test_json_sorts_keys_keeps_types_and_nests(void **state)
{
    (void)state;
    Google__Protobuf__Value *number = value(GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE), *list = value(GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE);
    Google__Protobuf__Value *inner = value(GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE);
    number->number_value = 1.5;
    Google__Protobuf__ListValue items = GOOGLE__PROTOBUF__LIST_VALUE__INIT;
    Google__Protobuf__Value *elements[] = {string("%PROTOCOL%"), string("x\"y")};
    items.n_values = 2;
    items.values = elements;
    list->list_value = &items;
    inner->struct_value = object(1, "route", string("%ROUTE_NAME%"));
    pb_substitution_format pb = ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__INIT;
    pb.format_case = ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__FORMAT_JSON_FORMAT;
    pb.json_format = object(6, "z", string("%RESPONSE_CODE%"), "mixed", string("%RESPONSE_CODE%/%ROUTE_NAME%"), "a", string("%ROUTE_NAME%"),
                            "list", list, "inner", inner, "n", number);
    const struct weir_substitution *s;
    assert_int_equal(weir_substitution_compile(&c, "log_format", &pb, &s), WEIR_OK);
    assert_prints(s, "{\"a\":null,\"inner\":{\"route\":null},\"list\":[\"HTTP/1.1\",\"x\\\"y\"],\"mixed\":\"503/-\",\"n\":1.5,\"z\":503}\n");
    assert_true(weir_str_eq(weir_substitution_content_type(s), S("application/json")));
    pb.omit_empty_values = true;
    assert_int_equal(weir_substitution_compile(&c, "log_format", &pb, &s), WEIR_OK);
    assert_prints(s, "{\"inner\":{},\"list\":[\"HTTP/1.1\",\"x\\\"y\"],\"mixed\":\"503/\",\"n\":1.5,\"z\":503}\n");
}

static void test_refusals_name_the_key(void **state)
{
    (void)state;
    Google__Protobuf__Value *inner = value(GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE);
    inner->struct_value = object(1, "deep", string("%NOPE%"));
    const struct weir_substitution *s;
    assert_int_equal(weir_substitution_json(&c, "json_format", object(1, "outer", inner), &s), WEIR_ERR_INVALID);
    assert_non_null(strstr(error.text, "json_format.outer.deep: format: unknown command at position 0"));
    assert_int_equal(c.path_length, 0);
    pb_substitution_format pb = ENVOY__CONFIG__CORE__V3__SUBSTITUTION_FORMAT_STRING__INIT;
    assert_int_equal(weir_substitution_compile(&c, "log_format", &pb, &s), WEIR_ERR_INVALID);
    Envoy__Config__Core__V3__TypedExtensionConfig extension = ENVOY__CONFIG__CORE__V3__TYPED_EXTENSION_CONFIG__INIT;
    Envoy__Config__Core__V3__TypedExtensionConfig *extensions[] = {&extension};
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    any.type_url = (char *)"type.googleapis.com/envoy.extensions.formatter.cel.v3.Cel";
    extension.typed_config = &any;
    pb.n_formatters = 1;
    pb.formatters = extensions;
    assert_int_equal(weir_substitution_compile(&c, "log_format", &pb, &s), WEIR_ERR_INVALID);
    assert_non_null(strstr(error.text, "log_format.formatters[0].typed_config: formatter '"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_json_sorts_keys_keeps_types_and_nests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals_name_the_key, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
