/* config/compile_job.c: which clusters are known to an inline route table, and when what was refused is looked at again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/config/compile_job.h"
#include "dataplane/config/names.h"
#include "dataplane/observe/stats.h"
#include "test/unit/support/pb_text.h"

static struct weir_names *names;
static struct weir_stats_registry *registry;
static struct weir_compile_memory *memory;
static struct weir_compile_job *job;

static int setup(void **state)
{
    (void)state;
    names = weir_names_create();
    registry = weir_stats_registry_create(1);
    memory = weir_compile_memory_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    weir_compile_job_destroy(job);
    job = NULL;
    weir_compile_memory_destroy(memory);
    weir_stats_registry_destroy(registry);
    weir_names_destroy(names);
    return 0;
}

/* One resource of that name; gives its state. */
static enum weir_compiled_state run(enum weir_resource_type type, const ProtobufCMessageDescriptor *d, const char *name, const char *json)
{
    const struct weir_compile_env env = {.names = weir_names_for_compile(names), .stats = registry, .worker_count = 1};
    weir_compile_job_destroy(job);
    job = weir_compile_job_create(type, 1, 0);
    job->source = 1;
    job->items[0].name = weir_str_of(name);
    job->items[0].packed = pb_text_packed(&job->arena, d, json);
    weir_compile_job_run(&env, memory, job);
    return job->items[0].state;
}

static enum weir_compiled_state cluster(const char *name, const char *more)
{
    struct weir_arena a = {0};
    const char *json = weir_arena_printf(&a, "{'name':'%s','type':'STATIC'%s}", name, more).p;
    enum weir_compiled_state s = run(WEIR_CLUSTERS, &pb_cluster_type, name, json);
    weir_arena_deinit(&a);
    return s;
}

static void cluster_removed(const char *name)
{
    const struct weir_compile_env env = {.names = weir_names_for_compile(names), .stats = registry, .worker_count = 1};
    weir_compile_job_destroy(job);
    job = weir_compile_job_create(WEIR_CLUSTERS, 0, 1);
    job->source = 1;
    job->removed[0] = weir_str_of(name);
    weir_compile_job_run(&env, memory, job);
}

#define TYPE(name) "'@type':'type.googleapis.com/envoy.extensions.filters." name "'"
static enum weir_compiled_state listener_to_zz(const char *fields)
{
    struct weir_arena a = {0};
    const char *json = weir_arena_printf(&a,
        "{'name':'l','address':{'socket_address':{'address':'127.0.0.1','port_value':8080}},'filter_chains':[{'filters':[{'name':'h','typed_config':"
        "{" TYPE("network.http_connection_manager.v3.HttpConnectionManager") ",'stat_prefix':'s','http_filters':[{'name':'r','typed_config':"
        "{" TYPE("http.router.v3.Router") "}}],'route_config':{'name':'t','virtual_hosts':[{'name':'v','domains':['*'],'routes':["
        "{'match':{'prefix':'/'},'route':{'cluster':'zz'}}]}]%s}}}]}]}", fields).p;
    enum weir_compiled_state s = run(WEIR_LISTENERS, &pb_listener_type, "l", json);
    weir_arena_deinit(&a);
    return s;
}

static void test_an_inline_route_to_a_cluster_that_was_never_accepted_is_refused(void **state)
{
    (void)state;
    assert_int_equal(listener_to_zz(""), WEIR_COMPILED_REFUSED);
    assert_non_null(strstr(job->items[0].error, "route_config.virtual_hosts[0].routes[0].route.cluster: route: unknown cluster 'zz'"));
    assert_int_equal(cluster("zz", ",'connect_timeout':'-1s'"), WEIR_COMPILED_REFUSED);
    assert_int_equal(listener_to_zz(""), WEIR_COMPILED_REFUSED);
    assert_int_equal(listener_to_zz(",'validate_clusters':false"), WEIR_COMPILED_NEW);
}

static void test_a_listener_refused_for_its_cluster_is_compiled_again_once_a_cluster_came(void **state)
{
    (void)state;
    assert_int_equal(listener_to_zz(""), WEIR_COMPILED_REFUSED);
    assert_false(job->items[0].again);
    assert_int_equal(listener_to_zz(""), WEIR_COMPILED_REFUSED);
    assert_true(job->items[0].again);
    assert_int_equal(cluster("other", ""), WEIR_COMPILED_NEW);
    assert_int_equal(listener_to_zz(""), WEIR_COMPILED_REFUSED);
    assert_int_equal(cluster("zz", ""), WEIR_COMPILED_NEW);
    assert_int_equal(listener_to_zz(""), WEIR_COMPILED_NEW);
}

static void test_a_cluster_that_was_removed_is_not_known_any_more(void **state)
{
    (void)state;
    assert_int_equal(cluster("zz", ""), WEIR_COMPILED_NEW);
    assert_int_equal(listener_to_zz(""), WEIR_COMPILED_NEW);
    cluster_removed("zz");
    assert_int_equal(listener_to_zz(""), WEIR_COMPILED_SAME); /* what serves stays: the route answers 503 */
    assert_int_equal(listener_to_zz(",'internal_only_headers':['x']"), WEIR_COMPILED_REFUSED);
}

static void test_a_refused_update_of_a_cluster_leaves_it_known(void **state)
{
    (void)state;
    assert_int_equal(cluster("zz", ""), WEIR_COMPILED_NEW);
    assert_int_equal(cluster("zz", ",'connect_timeout':'-1s'"), WEIR_COMPILED_REFUSED);
    assert_int_equal(listener_to_zz(""), WEIR_COMPILED_NEW);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_an_inline_route_to_a_cluster_that_was_never_accepted_is_refused),
        T(test_a_listener_refused_for_its_cluster_is_compiled_again_once_a_cluster_came),
        T(test_a_cluster_that_was_removed_is_not_known_any_more),
        T(test_a_refused_update_of_a_cluster_leaves_it_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
