/* Jobs: what is compiled and what is not, heartbeats, ends of times to live; and what one changed endpoint set costs among a
 * thousand, from the job to the hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dataplane/base/pb_names.h"
#include "dataplane/base/str.h"
#include "dataplane/cluster/shared.h"
#include "dataplane/config/compile_job.h"
#include "dataplane/config/publish.h"
#include "test/unit/support/pb_text.h"

#define SOURCE 1u
#define MANY 1000u

struct fixture {
    struct weir_stats_registry *stats;
    struct weir_names *names;
    struct weir_compile_env env;
    struct weir_compile_memory *memory;
    struct weir_arena arena;
    struct weir_worker *control, *workers[1];
    struct weir_cluster_env clusters;
    struct weir_publisher *publisher;
    unsigned forgotten;
};

static void on_wanted(void *ctx, enum weir_resource_type type)
{
    (void)ctx;
    (void)type;
}
static void on_forget(void *ctx, enum weir_resource_type type, uint32_t source, struct weir_str name)
{
    (void)type;
    (void)source;
    (void)name;
    ((struct fixture *)ctx)->forgotten++;
}
static void on_warmed(void *ctx)
{
    (void)ctx;
}
static const struct weir_publisher_events events = {on_wanted, on_forget, on_warmed};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->stats = weir_stats_registry_create(1);
    f->names = weir_names_create();
    f->env = (struct weir_compile_env){.names = weir_names_for_compile(f->names), .stats = f->stats, .worker_count = 1};
    f->memory = weir_compile_memory_create();
    f->control = weir_worker_create_simulated(1, 1, 1);
    f->workers[0] = weir_worker_create_simulated(0, 1, 2);
    f->clusters = (struct weir_cluster_env){.control = f->control, .workers = f->workers, .worker_count = 1, .stats = f->stats};
    struct weir_publisher_options o = {.control = f->control, .workers = f->workers, .worker_count = 1, .names = f->names,
                                       .stats = f->stats, .clusters = &f->clusters};
    f->publisher = weir_publisher_create(&o, &events, f);
    *state = f;
    return 0;
}

static void turn(struct fixture *f)
{
    for (int i = 0; i < 2; i++) {
        weir_worker_finish_turn(f->control);
        weir_worker_finish_turn(f->workers[0]);
    }
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    weir_publisher_destroy(f->publisher);
    turn(f);
    weir_clusters_deinit(f->workers[0]);
    weir_publish_worker_deinit(f->workers[0]);
    weir_worker_destroy(f->workers[0]);
    weir_worker_destroy(f->control);
    weir_compile_memory_destroy(f->memory);
    weir_names_destroy(f->names);
    weir_arena_deinit(&f->arena);
    weir_stats_registry_destroy(f->stats);
    free(f);
    return 0;
}

static struct weir_str cluster(struct fixture *f, const char *name, const char *more)
{
    struct weir_str json = weir_arena_printf(&f->arena, "{'name':'%s','connect_timeout':'1s'%s}", name, more);
    return pb_text_packed(&f->arena, &pb_cluster_type, json.p);
}

static struct weir_compile_item item(const char *name, const char *version, struct weir_str packed)
{
    return (struct weir_compile_item){.name = weir_str_of(name), .version = weir_str_of(version), .packed = packed};
}

static struct weir_compile_job *job_of(enum weir_resource_type type, bool full, const char *version, size_t count,
                                       const struct weir_compile_item *items)
{
    struct weir_compile_job *job = weir_compile_job_create(type, count, 0);
    job->source = SOURCE;
    job->full = full;
    job->version = weir_str_of(version);
    if (count > 0) memcpy(job->items, items, count * sizeof(*items));
    return job;
}

static struct weir_compile_job *run(struct fixture *f, struct weir_compile_job *job)
{
    weir_compile_job_run(&f->env, f->memory, job);
    return job;
}

static enum weir_compiled_state state_of_one(struct fixture *f, const char *version, struct weir_compile_item one)
{
    struct weir_compile_job *job = run(f, job_of(WEIR_CLUSTERS, false, version, 1, &one));
    enum weir_compiled_state state = job->items[0].state;
    weir_compile_job_destroy(job);
    return state;
}

static void test_unchanged_bytes_are_not_compiled(void **state)
{
    struct fixture *f = *state;
    struct weir_str a = cluster(f, "a", ""), other = cluster(f, "a", ",'lb_policy':'RANDOM'");
    assert_int_equal(state_of_one(f, "1", item("a", "1", a)), WEIR_COMPILED_NEW);
    assert_int_equal(state_of_one(f, "2", item("a", "2", a)), WEIR_COMPILED_SAME);
    assert_int_equal(state_of_one(f, "3", item("a", "3", other)), WEIR_COMPILED_NEW);
    assert_int_equal(state_of_one(f, "4", item("a", "4", a)), WEIR_COMPILED_NEW);
}

static void test_refused_bytes_are_refused_again_without_compiling(void **state)
{
    struct fixture *f = *state;
    struct weir_compile_item bad = item("a", "1", cluster(f, "a", ",'lb_policy':'MAGLEV'"));
    struct weir_compile_job *job = run(f, job_of(WEIR_CLUSTERS, false, "1", 1, &bad));
    assert_int_equal(job->items[0].state, WEIR_COMPILED_REFUSED);
    assert_false(job->items[0].again);
    weir_compile_job_destroy(job);
    job = run(f, job_of(WEIR_CLUSTERS, false, "2", 1, &bad));
    assert_int_equal(job->items[0].state, WEIR_COMPILED_REFUSED);
    assert_true(job->items[0].again);
    assert_non_null(strstr(job->items[0].error, "lb_policy"));
    weir_compile_job_destroy(job);
}

static void test_a_heartbeat_speaks_of_the_version_that_is_held(void **state)
{
    struct fixture *f = *state;
    struct weir_compile_item beat = {.name = WEIR_STR("a"), .version = WEIR_STR("1"), .heartbeat = true};
    assert_int_equal(state_of_one(f, "1", beat), WEIR_COMPILED_REFUSED);
    assert_int_equal(state_of_one(f, "1", item("a", "1", cluster(f, "a", ""))), WEIR_COMPILED_NEW);
    assert_int_equal(state_of_one(f, "1", beat), WEIR_COMPILED_HEARTBEAT);
    beat.version = WEIR_STR("2");
    assert_int_equal(state_of_one(f, "2", beat), WEIR_COMPILED_REFUSED);
    /* State-of-the-world has one version for all: the response's, whatever it last said of this resource. */
    assert_int_equal(state_of_one(f, "2", item("b", "2", cluster(f, "b", ""))), WEIR_COMPILED_NEW);
    assert_int_equal(state_of_one(f, "2", beat), WEIR_COMPILED_HEARTBEAT);
}

static void test_a_heartbeat_counts_as_given_in_a_full_set(void **state)
{
    struct fixture *f = *state;
    struct weir_compile_item both[] = {item("a", "1", cluster(f, "a", "")), item("b", "1", cluster(f, "b", ""))};
    weir_compile_job_destroy(run(f, job_of(WEIR_CLUSTERS, true, "1", 2, both)));
    struct weir_compile_item mixed[] = {{.name = WEIR_STR("a"), .version = WEIR_STR("1"), .heartbeat = true}, item("c", "1", cluster(f, "c", ""))};
    struct weir_compile_job *job = run(f, job_of(WEIR_CLUSTERS, true, "1", 2, mixed));
    assert_int_equal(job->removed_count, 1);
    assert_true(weir_str_eq(job->removed[0], WEIR_STR("b")));
    weir_compile_job_destroy(job);
}

static struct weir_str end_of(struct fixture *f, const char *name, uint64_t heard)
{
    struct weir_compile_job *job = weir_compile_job_create(WEIR_CLUSTERS, 0, 1);
    job->source = SOURCE;
    job->removed[0] = weir_str_of(name);
    job->removed_heard = &heard;
    run(f, job);
    struct weir_str left = weir_arena_str(&f->arena, job->removed[0]);
    weir_compile_job_destroy(job);
    return left;
}

static void test_an_end_is_void_when_a_later_word_has_been_heard(void **state)
{
    struct fixture *f = *state;
    struct weir_compile_item a = item("a", "1", cluster(f, "a", ""));
    struct weir_compile_job *job = run(f, job_of(WEIR_CLUSTERS, false, "1", 1, &a));
    uint64_t first = job->items[0].heard;
    weir_compile_job_destroy(job);
    job = run(f, job_of(WEIR_CLUSTERS, false, "1", 1, &a));
    uint64_t second = job->items[0].heard;
    weir_compile_job_destroy(job);
    assert_int_equal(end_of(f, "a", first).n, 0);
    assert_int_equal(state_of_one(f, "1", a), WEIR_COMPILED_SAME);
    assert_int_equal(end_of(f, "a", second).n, 0);
    job = run(f, job_of(WEIR_CLUSTERS, false, "1", 1, &a));
    assert_true(weir_str_eq(end_of(f, "a", job->items[0].heard), WEIR_STR("a")));
    weir_compile_job_destroy(job);
    assert_int_equal(state_of_one(f, "1", a), WEIR_COMPILED_NEW);
}

/* --- a thousand --- */

struct many {
    struct weir_str names[MANY];
    struct weir_compile_item clusters[MANY], endpoints[MANY];
};

static struct weir_str endpoints(struct fixture *f, const char *name, unsigned port)
{
    struct weir_str json = weir_arena_printf(&f->arena, "{'cluster_name':'%s','endpoints':[{'lb_endpoints':[{'endpoint':{'address':{'socket_address':{"
                                             "'address':'127.0.0.1','port_value':%u}}}}]}]}", name, port);
    return pb_text_packed(&f->arena, &pb_load_assignment_type, json.p);
}

/* Runs and applies; how many of the items were compiled. */
static size_t give(struct fixture *f, struct weir_compile_job *job)
{
    size_t compiled = 0;
    run(f, job);
    for (size_t i = 0; i < job->count; i++) {
        assert_int_not_equal(job->items[i].state, WEIR_COMPILED_REFUSED);
        compiled += job->items[i].state == WEIR_COMPILED_NEW;
    }
    uint64_t before = weir_publisher_counts(f->publisher, job->type)->compiled;
    assert_null(weir_publisher_apply(f->publisher, job));
    assert_int_equal(weir_publisher_counts(f->publisher, job->type)->compiled - before, compiled);
    weir_compile_job_destroy(job);
    turn(f);
    return compiled;
}

static struct weir_cluster_shared *shared_of(struct fixture *f, struct weir_str name)
{
    return weir_publisher_cluster(f->publisher, weir_publisher_record(f->publisher, WEIR_CLUSTERS, name));
}

static struct many *many_give(struct fixture *f)
{
    struct many *m = WEIR_NEW(&f->arena, struct many, 1);
    for (unsigned i = 0; i < MANY; i++) {
        m->names[i] = weir_arena_printf(&f->arena, "cluster-%u", i);
        m->clusters[i] = item(m->names[i].p, "1", cluster(f, m->names[i].p, ",'type':'EDS','eds_cluster_config':{'eds_config':{'ads':{}}}"));
        m->endpoints[i] = item(m->names[i].p, "1", endpoints(f, m->names[i].p, 1000 + i));
    }
    assert_int_equal(give(f, job_of(WEIR_CLUSTERS, true, "1", MANY, m->clusters)), MANY);
    assert_int_equal(give(f, job_of(WEIR_ENDPOINTS, false, "1", MANY, m->endpoints)), MANY);
    return m;
}

struct view {
    const void *hosts, *host, *worker;
};

static void look(struct fixture *f, const struct many *m, struct view *out)
{
    for (unsigned i = 0; i < MANY; i++) {
        struct weir_cluster_shared *s = shared_of(f, m->names[i]);
        assert_non_null(s);
        out[i] = (struct view){s->hosts, s->by_slot[0], weir_snapshot_cluster(&f->workers[0]->snapshot, s->slot)};
        assert_non_null(out[i].worker);
    }
}

static void assert_changed_only(const struct view *before, const struct view *after, unsigned changed)
{
    for (unsigned i = 0; i < MANY; i++) {
        if (i == changed) {
            assert_ptr_not_equal(after[i].hosts, before[i].hosts);
            continue;
        }
        assert_ptr_equal(after[i].hosts, before[i].hosts);
        assert_ptr_equal(after[i].host, before[i].host);
        assert_true(after[i].host != NULL || i == 500); /* the first change of 500 moved its host to another place */
        assert_ptr_equal(after[i].worker, before[i].worker);
    }
}

static void test_one_changed_endpoint_set_of_a_thousand_costs_that_set_alone(void **state)
{
    struct fixture *f = *state;
    struct many *m = many_give(f);
    struct view *before = WEIR_NEW(&f->arena, struct view, MANY), *after = WEIR_NEW(&f->arena, struct view, MANY);
    look(f, m, before);
    /* State-of-the-world: all sets come again, one of them changed. */
    m->endpoints[500].packed = endpoints(f, m->names[500].p, 9);
    assert_int_equal(give(f, job_of(WEIR_ENDPOINTS, false, "2", MANY, m->endpoints)), 1);
    look(f, m, after);
    assert_changed_only(before, after, 500);
    /* Delta: the changed set comes alone. */
    memcpy(before, after, MANY * sizeof(*before));
    m->endpoints[7].packed = endpoints(f, m->names[7].p, 9);
    assert_int_equal(give(f, job_of(WEIR_ENDPOINTS, false, "3", 1, &m->endpoints[7])), 1);
    look(f, m, after);
    assert_changed_only(before, after, 7);
}

static void test_an_unchanged_response_costs_hashes_alone(void **state)
{
    struct fixture *f = *state;
    struct many *m = many_give(f);
    struct view *before = WEIR_NEW(&f->arena, struct view, MANY), *after = WEIR_NEW(&f->arena, struct view, MANY);
    look(f, m, before);
    assert_int_equal(give(f, job_of(WEIR_CLUSTERS, true, "2", MANY, m->clusters)), 0);
    assert_int_equal(give(f, job_of(WEIR_ENDPOINTS, false, "2", MANY, m->endpoints)), 0);
    look(f, m, after);
    assert_changed_only(before, after, MANY);
}

static void test_one_changed_cluster_leaves_its_hosts_and_all_others(void **state)
{
    struct fixture *f = *state;
    struct many *m = many_give(f);
    struct view *before = WEIR_NEW(&f->arena, struct view, MANY), *after = WEIR_NEW(&f->arena, struct view, MANY);
    look(f, m, before);
    m->clusters[3].packed = cluster(f, m->names[3].p, ",'type':'EDS','eds_cluster_config':{'eds_config':{'ads':{}}},'lb_policy':'RANDOM'");
    assert_int_equal(give(f, job_of(WEIR_CLUSTERS, true, "2", MANY, m->clusters)), 1);
    look(f, m, after);
    assert_ptr_equal(after[3].host, before[3].host);
    assert_ptr_not_equal(after[3].worker, before[3].worker);
    before[3] = after[3];
    assert_changed_only(before, after, MANY);
}

static struct weir_str eds_cluster(struct fixture *f, const char *name, const char *set)
{
    struct weir_str more = weir_arena_printf(&f->arena, ",'type':'EDS','eds_cluster_config':{'service_name':'%s','eds_config':{'ads':{}}}", set);
    return cluster(f, name, more.p);
}

static void test_endpoints_that_are_wanted_again_at_once_are_still_there(void **state)
{
    struct fixture *f = *state;
    struct weir_compile_item sets[2] = {item("x", "1", endpoints(f, "x", 1)), item("y", "1", endpoints(f, "y", 2))};
    struct weir_compile_item before[2] = {item("a", "1", eds_cluster(f, "a", "x")), item("b", "1", eds_cluster(f, "b", "y"))};
    (void)give(f, job_of(WEIR_CLUSTERS, true, "1", 2, before));
    (void)give(f, job_of(WEIR_ENDPOINTS, false, "1", 2, sets));
    /* They change places: each set is given up before the other cluster names it. What is wanted has not changed. */
    struct weir_compile_item after[2] = {item("a", "2", eds_cluster(f, "a", "y")), item("b", "2", eds_cluster(f, "b", "x"))};
    (void)give(f, job_of(WEIR_CLUSTERS, true, "2", 2, after));
    weir_publisher_forget_left(f->publisher);
    assert_int_equal(weir_publisher_warming(f->publisher, WEIR_CLUSTERS), 0);
    assert_int_equal(f->forgotten, 0);
    /* Given up for good. */
    (void)give(f, job_of(WEIR_CLUSTERS, true, "3", 1, after));
    assert_non_null(weir_publisher_record(f->publisher, WEIR_ENDPOINTS, WEIR_STR("x"))->active);
    weir_publisher_forget_left(f->publisher);
    assert_null(weir_publisher_record(f->publisher, WEIR_ENDPOINTS, WEIR_STR("x"))->active);
    assert_non_null(weir_publisher_record(f->publisher, WEIR_ENDPOINTS, WEIR_STR("y"))->active);
    assert_int_equal(f->forgotten, 1);
}

#define FILTERS "type.googleapis.com/envoy.extensions.filters."

static struct weir_compile_item listener_by_rds(struct fixture *f, const char *name, const char *table)
{
    struct weir_str json = weir_arena_printf(
        &f->arena,
        "{'name':'%s','address':{'socket_address':{'address':'127.0.0.1','port_value':0}},'filter_chains':[{'filters':[{'name':'http',"
        "'typed_config':{'@type':'" FILTERS "network.http_connection_manager.v3.HttpConnectionManager','stat_prefix':'s',"
        "'rds':{'route_config_name':'%s','config_source':{'ads':{}}},'http_filters':[{'name':'router','typed_config':"
        "{'@type':'" FILTERS "http.router.v3.Router'}}]}}]}]}", name, table);
    return item(name, "1", pb_text_packed(&f->arena, &envoy__config__listener__v3__listener__descriptor, json.p));
}

static struct weir_compile_item table_named(struct fixture *f, const char *name, const char *domain)
{
    struct weir_str json = weir_arena_printf(&f->arena, "{'name':'%s','virtual_hosts':[{'name':'v','domains':['%s']}]}", name, domain);
    return item(name, "1", pb_text_packed(&f->arena, &envoy__config__route__v3__route_configuration__descriptor, json.p));
}

static struct weir_record *table_record(const struct fixture *f)
{
    return weir_publisher_record(f->publisher, WEIR_ROUTES, WEIR_STR("t"));
}

static void test_a_table_goes_when_no_listener_names_it_any_more(void **state)
{
    struct fixture *f = *state;
    struct weir_compile_item both[2] = {listener_by_rds(f, "a", "t"), listener_by_rds(f, "b", "t")}, table = table_named(f, "t", "x.test");
    (void)give(f, job_of(WEIR_LISTENERS, true, "1", 2, both));
    weir_publisher_forget_left(f->publisher);
    (void)give(f, job_of(WEIR_ROUTES, false, "1", 1, &table));
    (void)give(f, job_of(WEIR_LISTENERS, true, "2", 1, both));
    weir_publisher_forget_left(f->publisher);
    assert_non_null(table_record(f)->active);
    assert_int_equal(f->forgotten, 0);
    (void)give(f, job_of(WEIR_LISTENERS, true, "3", 0, both));
    assert_non_null(table_record(f)->active); /* it may be named again before the control plane hears of it */
    weir_publisher_forget_left(f->publisher);
    assert_null(table_record(f));
    assert_int_equal(f->forgotten, 1);
    /* A response was under way meanwhile. */
    table = table_named(f, "t", "y.test");
    (void)give(f, job_of(WEIR_ROUTES, false, "2", 1, &table));
    assert_non_null(table_record(f)->active);
    weir_publisher_forgotten(f->publisher, WEIR_ROUTES, WEIR_STR("t"));
    assert_null(table_record(f));
}

static void test_a_table_that_comes_before_its_listener_waits(void **state)
{
    struct fixture *f = *state;
    struct weir_compile_item a = listener_by_rds(f, "a", "t"), table = table_named(f, "t", "x.test");
    (void)give(f, job_of(WEIR_ROUTES, false, "1", 1, &table));
    weir_publisher_forget_left(f->publisher);
    assert_non_null(table_record(f)->active);
    (void)give(f, job_of(WEIR_LISTENERS, true, "1", 1, &a));
    assert_int_equal(weir_publisher_warming(f->publisher, WEIR_LISTENERS), 0);
    weir_publisher_forgotten(f->publisher, WEIR_ROUTES, WEIR_STR("t")); /* of an earlier life of its name */
    assert_non_null(table_record(f)->active);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_unchanged_bytes_are_not_compiled),
        TEST(test_refused_bytes_are_refused_again_without_compiling),
        TEST(test_a_heartbeat_speaks_of_the_version_that_is_held),
        TEST(test_a_heartbeat_counts_as_given_in_a_full_set),
        TEST(test_an_end_is_void_when_a_later_word_has_been_heard),
        TEST(test_one_changed_endpoint_set_of_a_thousand_costs_that_set_alone),
        TEST(test_an_unchanged_response_costs_hashes_alone),
        TEST(test_one_changed_cluster_leaves_its_hosts_and_all_others),
        TEST(test_endpoints_that_are_wanted_again_at_once_are_still_there),
        TEST(test_a_table_goes_when_no_listener_names_it_any_more),
        TEST(test_a_table_that_comes_before_its_listener_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
