/* The route index against a reference that tries every route in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/base/random.h"
#include "dataplane/route/index.h"

struct table {
    struct weir_arena arena;
    struct weir_route *routes;
    struct weir_route_match *matches;
    uint32_t count;
    const struct weir_route_index *index;
};

static void table_init(struct table *t, uint32_t count)
{
    *t = (struct table){.count = count};
    weir_arena_init(&t->arena, 0);
    t->routes = WEIR_NEW(&t->arena, struct weir_route, count + 1);
    t->matches = WEIR_NEW(&t->arena, struct weir_route_match, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        t->routes[i].match = &t->matches[i];
        t->routes[i].order = i;
        t->matches[i].plain = true;
        t->matches[i].tls_presented = t->matches[i].tls_validated = -1;
    }
}

static const struct weir_route *first_match(const struct table *t, const struct weir_route_input *in)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (weir_route_match(&t->matches[i], in))
            return &t->routes[i];
    return NULL;
}

static void find(struct table *t, const char *method, struct weir_str path, uint64_t draw, bool ignore_parameters)
{
    struct weir_arena arena;
    weir_arena_init(&arena, 0);
    struct weir_headers h;
    weir_headers_init(&h, &arena);
    weir_headers_add(&h, WEIR_H_METHOD, weir_str_of(method));
    if (path.p != NULL)
        weir_headers_add(&h, WEIR_H_PATH, path);
    struct weir_request r = {.headers = &h, .random = draw, .is_grpc = draw % 3 == 0};
    struct weir_route_input in;
    weir_route_input_init(&in, &r, NULL, ignore_parameters);
    const struct weir_route *want = first_match(t, &in), *have = weir_route_index_find(t->index, &in);
    if (want != have) {
        print_error("path %.*s: route %d, reference %d\n", WEIR_STR_ARG(path), have != NULL ? (int)have->order : -1,
                    want != NULL ? (int)want->order : -1);
        _fail(__FILE__, __LINE__);
    }
    weir_arena_deinit(&arena);
}

/* Paths of few letters, so that they often are prefixes of each other. */
static struct weir_str random_path(struct weir_arena *arena, struct weir_random *r, size_t segments)
{
    char text[128];
    size_t n = 0;
    for (size_t i = 0; i < segments; i++) {
        text[n++] = '/';
        for (uint64_t k = weir_random_below(r, 4); k > 0; k--)
            text[n++] = "abAB;"[weir_random_below(r, 5)];
    }
    return weir_arena_str(arena, (struct weir_str){text, n});
}

static void test_index_answers_as_the_first_match(void **state)
{
    (void)state;
    struct weir_random random;
    weir_random_seed(&random, 7);
    for (int round = 0; round < 300; round++) {
        struct table t;
        table_init(&t, (uint32_t)weir_random_below(&random, 60));
        for (uint32_t i = 0; i < t.count; i++) {
            struct weir_route_match *m = &t.matches[i];
            m->kind = weir_random_below(&random, 20) == 0 ? WEIR_PATH_CONNECT : (enum weir_route_path)weir_random_below(&random, 3);
            m->ignore_case = weir_random_below(&random, 4) == 0;
            m->path = random_path(&t.arena, &random, 1 + weir_random_below(&random, 3));
            if (m->kind == WEIR_PATH_PREFIX && weir_random_below(&random, 10) == 0)
                m->path = WEIR_STR("");
            if (weir_random_below(&random, 3) == 0) {
                m->plain = false;
                m->grpc = weir_random_below(&random, 2) == 0;
                m->fraction = (struct weir_fraction){.numerator = 50, .denominator = 100};
            }
        }
        t.index = weir_route_index_build(&t.arena, t.routes, t.count);
        for (int i = 0; i < 200; i++) {
            struct weir_str path = random_path(&t.arena, &random, 1 + weir_random_below(&random, 4));
            if (weir_random_below(&random, 5) == 0)
                path = weir_arena_printf(&t.arena, "%.*s?q=/a", WEIR_STR_ARG(path));
            find(&t, "GET", path, weir_random_u64(&random), weir_random_below(&random, 2) == 0);
        }
        find(&t, "CONNECT", (struct weir_str){NULL, 0}, 0, false);
        find(&t, "GET", (struct weir_str){NULL, 0}, 0, false);
        find(&t, "GET", WEIR_STR(""), 0, false);
        find(&t, "GET", WEIR_STR("?"), 0, false);
        weir_arena_deinit(&t.arena);
    }
}

static void test_order_decides_between_kinds(void **state)
{
    (void)state;
    struct table t;
    table_init(&t, 4);
    t.matches[0] = (struct weir_route_match){.kind = WEIR_PATH_PREFIX, .path = WEIR_STR("/a/"), .plain = true};
    t.matches[1] = (struct weir_route_match){.kind = WEIR_PATH_EXACT, .path = WEIR_STR("/a/b"), .plain = true};
    t.matches[2] = (struct weir_route_match){.kind = WEIR_PATH_EXACT, .path = WEIR_STR("/a"), .plain = true};
    t.matches[3] = (struct weir_route_match){.kind = WEIR_PATH_SEPARATED_PREFIX, .path = WEIR_STR("/a"), .plain = true};
    t.index = weir_route_index_build(&t.arena, t.routes, t.count);
    static const struct {
        struct weir_str path;
        int order;
    } rows[] = {
        {WEIR_STR_INIT("/a/b"), 0}, {WEIR_STR_INIT("/a"), 2}, {WEIR_STR_INIT("/ab"), -1}, {WEIR_STR_INIT("/a/"), 0},
        {WEIR_STR_INIT("/a?x"), 2}, {WEIR_STR_INIT("/A"), -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct weir_headers h;
        weir_headers_init(&h, &t.arena);
        weir_headers_add(&h, WEIR_H_PATH, rows[i].path);
        struct weir_request r = {.headers = &h};
        struct weir_route_input in;
        weir_route_input_init(&in, &r, NULL, false);
        const struct weir_route *route = weir_route_index_find(t.index, &in);
        assert_int_equal(route != NULL ? (int)route->order : -1, rows[i].order);
    }
    weir_arena_deinit(&t.arena);
}

static void test_many_routes(void **state)
{
    (void)state;
    struct table t;
    table_init(&t, 10000);
    for (uint32_t i = 0; i < t.count; i++)
        t.matches[i] = (struct weir_route_match){.kind = i % 2 == 0 ? WEIR_PATH_PREFIX : WEIR_PATH_EXACT,
                                                 .path = weir_arena_printf(&t.arena, "/route-%u/", i),
                                                 .plain = true};
    t.index = weir_route_index_build(&t.arena, t.routes, t.count);
    for (uint32_t i = 0; i < t.count; i += 97) {
        find(&t, "GET", weir_arena_printf(&t.arena, "/route-%u/", i), 0, false);
        find(&t, "GET", weir_arena_printf(&t.arena, "/route-%u/more", i), 0, false);
    }
    weir_arena_deinit(&t.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_answers_as_the_first_match),
        cmocka_unit_test(test_order_decides_between_kinds),
        cmocka_unit_test(test_many_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
