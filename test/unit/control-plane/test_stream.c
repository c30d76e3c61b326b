/* The two dialects of a client's stream, against scripted requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "control-plane-stub/stream.h"
#include "dataplane/base/str.h"
#include "xds/wire_check.h"

#define CDS "type.googleapis.com/envoy.config.cluster.v3.Cluster"
#define EDS "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"

struct fixture {
    struct weir_plane_stream stream;
    struct weir_plane_resources *resources;
    struct weir_arena arena;
    char directory[64], file[96];
    uint64_t loads;
    FILE *report;
    char *lines;
    size_t lines_n;
};

/* "c1=x e1=": cluster c1 with alt_stat_name x, endpoints e1 (never with a value). */
static void serve(struct fixture *f, const char *what)
{
    struct weir_error e;
    FILE *file = fopen(f->file, "w");
    for (const char *p = what; *p != '\0';) {
        if (*p == ' ') p++;
        if (*p == 'c')
            fprintf(file, "---\n\"@type\": " CDS "\nname: %.2s\nalt_stat_name: %.1s\n", p, p + 3);
        else
            fprintf(file, "---\n\"@type\": " EDS "\ncluster_name: %.2s\npolicy: {overprovisioning_factor: %.1s}\n", p, p + 3);
        p += 4;
    }
    fclose(file);
    weir_plane_resources_destroy(f->resources);
    if (weir_plane_resources_load(f->directory, ++f->loads, &f->resources, &e) != WEIR_OK) fail_msg("%s", e.text);
}

static void begin(struct fixture *f, bool delta, const char *what)
{
    *f = (struct fixture){0};
    snprintf(f->directory, sizeof f->directory, "/tmp/weir-plane-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->file, sizeof f->file, "%s/a.yaml", f->directory);
    f->report = open_memstream(&f->lines, &f->lines_n);
    weir_plane_stream_init(&f->stream, delta, f->report);
    serve(f, what);
}

static void end(struct fixture *f)
{
    weir_plane_stream_deinit(&f->stream);
    weir_plane_resources_destroy(f->resources);
    weir_arena_deinit(&f->arena);
    fclose(f->report);
    free(f->lines);
    unlink(f->file);
    rmdir(f->directory);
}

static void put_words(struct weir_wire_out *out, uint32_t number, const char *words)
{
    for (const char *p = words; *p != '\0';) {
        size_t n = strcspn(p, " ");
        weir_wire_put_bytes(out, number, (struct weir_str){p, n});
        p += n + (p[n] == ' ');
    }
}

static void give(struct fixture *f, struct weir_wire_out *out)
{
    struct weir_error e;
    if (weir_plane_stream_request(&f->stream, weir_wire_out_str(out), &e) != WEIR_OK) fail_msg("%s", e.text);
    weir_wire_out_deinit(out);
}

static void ask(struct fixture *f, const char *type, const char *version, const char *nonce, const char *names, const char *error)
{
    struct weir_wire_out out = {0}, status = {0};
    weir_wire_put_text(&out, 1, weir_str_of(version));
    weir_wire_put_bytes(&out, 2, WEIR_STR("\x0a\x01n")); /* node {id: "n"} */
    put_words(&out, 3, names);
    weir_wire_put_text(&out, 4, weir_str_of(type));
    weir_wire_put_text(&out, 5, weir_str_of(nonce));
    if (error != NULL) {
        weir_wire_put_text(&status, 2, weir_str_of(error));
        weir_wire_put_bytes(&out, 6, weir_wire_out_str(&status));
        weir_wire_out_deinit(&status);
    }
    give(f, &out);
}

static void ask_delta(struct fixture *f, const char *type, const char *nonce, const char *add, const char *drop,
                      const char *held, const char *version)
{
    struct weir_wire_out out = {0}, entry = {0};
    weir_wire_put_text(&out, 2, weir_str_of(type));
    put_words(&out, 3, add);
    put_words(&out, 4, drop);
    if (held != NULL) {
        weir_wire_put_text(&entry, 1, weir_str_of(held));
        weir_wire_put_text(&entry, 2, weir_str_of(version));
        weir_wire_put_bytes(&out, 5, weir_wire_out_str(&entry));
        weir_wire_out_deinit(&entry);
    }
    weir_wire_put_text(&out, 6, weir_str_of(nonce));
    give(f, &out);
}

/* The names in the next response, "-" before removed ones, and its nonce: "c1 c2 -c3 #1"; "" for none. */
static const char *next(struct fixture *f, char version[17])
{
    struct weir_wire_out out = {0};
    struct weir_error e;
    ProtobufCMessage *m;
    if (!weir_plane_stream_next(&f->stream, f->resources, &out)) return "";
    struct weir_str text = {"", 0};
    if (f->stream.delta) {
        assert_int_equal(weir_pb_decode(&f->arena, &envoy__service__discovery__v3__delta_discovery_response__descriptor,
                                        weir_wire_out_str(&out), &m, &e), WEIR_OK);
        const Envoy__Service__Discovery__V3__DeltaDiscoveryResponse *r = (const void *)m;
        for (size_t i = 0; i < r->n_resources; i++) {
            text = weir_arena_printf(&f->arena, "%.*s%s ", WEIR_STR_ARG(text), r->resources[i]->name);
            if (version != NULL) snprintf(version, 17, "%s", r->resources[i]->version);
        }
        for (size_t i = 0; i < r->n_removed_resources; i++)
            text = weir_arena_printf(&f->arena, "%.*s-%s ", WEIR_STR_ARG(text), r->removed_resources[i]);
        text = weir_arena_printf(&f->arena, "%.*s#%s", WEIR_STR_ARG(text), r->nonce);
    } else {
        assert_int_equal(weir_pb_decode(&f->arena, &envoy__service__discovery__v3__discovery_response__descriptor,
                                        weir_wire_out_str(&out), &m, &e), WEIR_OK);
        const Envoy__Service__Discovery__V3__DiscoveryResponse *r = (const void *)m;
        for (size_t i = 0; i < r->n_resources; i++)
            text = weir_arena_printf(&f->arena, "%.*s%.2s ", WEIR_STR_ARG(text), (const char *)r->resources[i]->value.data + 2);
        text = weir_arena_printf(&f->arena, "%.*s#%s", WEIR_STR_ARG(text), r->nonce);
        if (version != NULL) snprintf(version, 17, "%s", r->version_info);
    }
    weir_wire_out_deinit(&out);
    return text.p;
}

static void test_whole_state_is_sent_when_it_changes(void **state)
{
    (void)state;
    struct fixture f;
    char v[17];
    begin(&f, false, "c1=x c2=x");
    assert_string_equal(next(&f, NULL), "");
    ask(&f, CDS, "", "", "", NULL);
    assert_string_equal(next(&f, v), "c1 c2 #1");
    ask(&f, CDS, v, "1", "", NULL);
    assert_string_equal(next(&f, NULL), "");
    serve(&f, "c1=x c2=x"); /* the same again */
    assert_string_equal(next(&f, NULL), "");
    serve(&f, "c1=y c2=x");
    assert_string_equal(next(&f, NULL), "c1 c2 #2");
    serve(&f, "c1=y");
    assert_string_equal(next(&f, NULL), "c1 #3");
    serve(&f, "");
    assert_string_equal(next(&f, NULL), "#4");
    end(&f);
}

static void test_a_wildcard_is_answered_even_when_there_is_nothing(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false, "");
    ask(&f, CDS, "", "", "", NULL);
    assert_string_equal(next(&f, NULL), "#1");
    ask(&f, EDS, "", "", "e1", NULL);
    ask(&f, EDS, "", "", "", NULL); /* endpoints have no wildcard */
    assert_string_equal(next(&f, NULL), "");
    end(&f);
    begin(&f, true, "");
    ask_delta(&f, CDS, "", "", "", NULL, NULL);
    assert_string_equal(next(&f, NULL), "#1");
    end(&f);
}

static void test_named_resources_come_when_they_are_there(void **state)
{
    (void)state;
    struct fixture f;
    char v[17];
    begin(&f, false, "e1=1 e2=1 e3=1");
    ask(&f, EDS, "", "", "e1 e4", NULL);
    assert_string_equal(next(&f, v), "e1 #1");
    ask(&f, EDS, v, "1", "e1 e4", NULL);
    assert_string_equal(next(&f, NULL), "");
    serve(&f, "e1=1 e2=2 e3=1"); /* not what was asked for */
    assert_string_equal(next(&f, NULL), "");
    serve(&f, "e1=1 e4=1");
    assert_string_equal(next(&f, v), "e1 e4 #2");
    ask(&f, EDS, v, "2", "e4", NULL);
    assert_string_equal(next(&f, NULL), "");
    serve(&f, "e1=1"); /* leaving e4 out says nothing */
    assert_string_equal(next(&f, NULL), "");
    end(&f);
}

static void test_asking_again_is_answered(void **state)
{
    (void)state;
    struct fixture f;
    char v[17];
    begin(&f, false, "e1=1");
    ask(&f, EDS, "", "", "e1", NULL);
    assert_string_equal(next(&f, v), "e1 #1");
    ask(&f, EDS, v, "1", "e1", NULL);
    assert_string_equal(next(&f, NULL), "");
    ask(&f, EDS, v, "1", "e1", NULL);
    assert_string_equal(next(&f, NULL), "e1 #2");
    ask(&f, EDS, v, "1", "e1", NULL); /* stale */
    assert_string_equal(next(&f, NULL), "");
    end(&f);
}

static void test_a_refused_version_is_not_sent_again(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false, "c1=x");
    ask(&f, CDS, "", "", "", NULL);
    assert_string_equal(next(&f, NULL), "c1 #1");
    ask(&f, CDS, "", "1", "", "no\ngood");
    assert_string_equal(next(&f, NULL), "");
    fflush(f.report);
    assert_non_null(strstr(f.lines, "NACK node \"n\" type \"envoy.config.cluster.v3.Cluster\" version \""));
    assert_non_null(strstr(f.lines, "\" nonce \"1\" reason \"no\\ngood\"\n"));
    serve(&f, "c1=y");
    assert_string_equal(next(&f, NULL), "c1 #2");
    ask(&f, CDS, "v", "2", "", NULL);
    fflush(f.report);
    assert_non_null(strstr(f.lines, "\nACK node \"n\" type \"envoy.config.cluster.v3.Cluster\" version \""));
    end(&f);
}

static void test_who_has_the_version_is_not_sent_it_again(void **state)
{
    (void)state;
    struct fixture f;
    char v[17];
    begin(&f, false, "c1=x");
    ask(&f, CDS, "", "", "", NULL);
    assert_string_equal(next(&f, v), "c1 #1");
    weir_plane_stream_deinit(&f.stream);
    weir_plane_stream_init(&f.stream, false, NULL);
    ask(&f, CDS, v, "", "", NULL);
    assert_string_equal(next(&f, NULL), "");
    serve(&f, "c1=y");
    assert_string_equal(next(&f, NULL), "c1 #1");
    end(&f);
}

static void test_clusters_go_before_endpoints(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false, "e1=1 c1=x");
    ask(&f, EDS, "", "", "e1", NULL);
    ask(&f, CDS, "", "", "", NULL);
    assert_string_equal(next(&f, NULL), "c1 #1");
    assert_string_equal(next(&f, NULL), "e1 #2");
    end(&f);
}

static void test_delta_sends_what_differs(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, true, "c1=x c2=x");
    ask_delta(&f, CDS, "", "", "", NULL, NULL);
    assert_string_equal(next(&f, NULL), "c1 c2 #1");
    ask_delta(&f, CDS, "1", "", "", NULL, NULL);
    assert_string_equal(next(&f, NULL), "");
    serve(&f, "c2=y c3=x");
    assert_string_equal(next(&f, NULL), "c2 c3 -c1 #2");
    serve(&f, "c2=y c3=x");
    assert_string_equal(next(&f, NULL), "");
    end(&f);
}

static void test_delta_names(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, true, "e1=1 e2=1");
    ask_delta(&f, EDS, "", "e1 e9", "", NULL, NULL);
    assert_string_equal(next(&f, NULL), "e1 -e9 #1"); /* told once that it is not there */
    assert_string_equal(next(&f, NULL), "");
    ask_delta(&f, EDS, "1", "e2", "e1", NULL, NULL);
    assert_string_equal(next(&f, NULL), "e2 #2");
    serve(&f, "e1=2 e9=1");
    assert_string_equal(next(&f, NULL), "e9 -e2 #3");
    ask_delta(&f, EDS, "3", "e9", "", NULL, NULL); /* asking again has it sent again */
    assert_string_equal(next(&f, NULL), "e9 #4");
    end(&f);
}

static void test_delta_resumes_from_the_versions_of_the_client(void **state)
{
    (void)state;
    struct fixture f;
    char v[17];
    begin(&f, true, "c1=x");
    ask_delta(&f, CDS, "", "", "", NULL, NULL);
    assert_string_equal(next(&f, v), "c1 #1");
    const char *versions[] = {v, "other"};
    const char *expected[] = {"", "c1 #1"};
    for (int i = 0; i < 2; i++) {
        weir_plane_stream_deinit(&f.stream);
        weir_plane_stream_init(&f.stream, true, NULL);
        ask_delta(&f, CDS, "", "", "", "c1", versions[i]);
        assert_string_equal(next(&f, NULL), expected[i]);
    }
    weir_plane_stream_deinit(&f.stream);
    weir_plane_stream_init(&f.stream, true, NULL);
    ask_delta(&f, CDS, "", "", "", "c7", v); /* removed while the client was away */
    assert_string_equal(next(&f, NULL), "c1 -c7 #1");
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_state_is_sent_when_it_changes),
        cmocka_unit_test(test_a_wildcard_is_answered_even_when_there_is_nothing),
        cmocka_unit_test(test_named_resources_come_when_they_are_there),
        cmocka_unit_test(test_asking_again_is_answered),
        cmocka_unit_test(test_a_refused_version_is_not_sent_again),
        cmocka_unit_test(test_who_has_the_version_is_not_sent_it_again),
        cmocka_unit_test(test_clusters_go_before_endpoints),
        cmocka_unit_test(test_delta_sends_what_differs),
        cmocka_unit_test(test_delta_names),
        cmocka_unit_test(test_delta_resumes_from_the_versions_of_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
