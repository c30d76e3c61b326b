/* Resource directories: forms of files, sets by node, versions, faults with their places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "control-plane-stub/resources.h"
#include "dataplane/base/str.h"

#define CLUSTER "type.googleapis.com/envoy.config.cluster.v3.Cluster"
#define ROUTES "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"

struct fixture {
    char directory[64];
};

static int setup(void **state)
{
    static struct fixture f;
    snprintf(f.directory, sizeof f.directory, "/tmp/weir-plane-XXXXXX");
    *state = &f;
    return mkdtemp(f.directory) == NULL;
}

static int teardown(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", ((struct fixture *)*state)->directory);
    return system(command);
}

static void put(struct fixture *f, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static struct weir_plane_resources *load(struct fixture *f)
{
    struct weir_plane_resources *r;
    struct weir_error e;
    if (weir_plane_resources_load(f->directory, 1, &r, &e) != WEIR_OK) fail_msg("%s", e.text);
    return r;
}

static void refused(struct fixture *f, const char *because)
{
    struct weir_plane_resources *r;
    struct weir_error e;
    assert_int_not_equal(weir_plane_resources_load(f->directory, 1, &r, &e), WEIR_OK);
    if (strstr(e.text, because) == NULL) fail_msg("'%s' lacks '%s'", e.text, because);
}

static const struct weir_plane_resource *find(const struct weir_plane_set *s, const char *type, const char *name)
{
    const struct weir_plane_type *t = weir_plane_type_of(s, weir_str_of(type));
    return t != NULL ? weir_map_get(&t->by_name, weir_str_of(name)) : NULL;
}

static void test_takes_lists_documents_and_json(void **state)
{
    put(*state, "a.yaml", "version_info: x\nresources:\n- \"@type\": " CLUSTER "\n  name: c1\n- \"@type\": " ROUTES "\n  name: r1\n");
    put(*state, "b.yml", "\"@type\": " CLUSTER "\nname: c2\n---\n---\n\"@type\": " CLUSTER "\nname: c3\n");
    put(*state, "c.json", "{\"resources\": [{\"@type\": \"" CLUSTER "\", \"name\": \"c4\"}]}");
    put(*state, "d.yaml", "\"@type\": type.googleapis.com/envoy.service.discovery.v3.Resource\nname: c5\n"
                          "resource: {\"@type\": " CLUSTER ", name: c5}\n");
    put(*state, "README.md", "not a resource");
    put(*state, ".hidden.yaml", "[");
    struct weir_plane_resources *r = load(*state);
    assert_int_equal(r->count, 6);
    assert_int_equal(r->file_count, 4);
    for (const char *n = "12345"; *n != '\0'; n++)
        assert_non_null(find(&r->common, CLUSTER, (char[]){'c', *n, '\0'}));
    assert_non_null(find(&r->common, ROUTES, "r1"));
    assert_null(find(&r->common, ROUTES, "c1"));
    weir_plane_resources_destroy(r);
}

static void test_a_version_follows_the_content_only(void **state)
{
    put(*state, "a.yaml", "\"@type\": " CLUSTER "\nname: c1\n");
    struct weir_plane_resources *r = load(*state);
    uint64_t version = find(&r->common, CLUSTER, "c1")->version;
    weir_plane_resources_destroy(r);
    put(*state, "a.yaml", "# moved\nresources: [{\"@type\": " CLUSTER ", name: c1}]\n");
    r = load(*state);
    assert_int_equal(find(&r->common, CLUSTER, "c1")->version, version);
    weir_plane_resources_destroy(r);
    put(*state, "a.yaml", "\"@type\": " CLUSTER "\nname: c1\nalt_stat_name: x\n");
    r = load(*state);
    assert_int_not_equal(find(&r->common, CLUSTER, "c1")->version, version);
    weir_plane_resources_destroy(r);
}

static void test_a_subdirectory_is_the_set_of_a_node(void **state)
{
    char path[128];
    for (const char *n = "ic"; *n != '\0'; n++) {
        snprintf(path, sizeof path, "%s/%c", ((struct fixture *)*state)->directory, *n);
        mkdir(path, 0700);
    }
    put(*state, "a.yaml", "\"@type\": " CLUSTER "\nname: common\n");
    put(*state, "i/a.yaml", "\"@type\": " CLUSTER "\nname: by-id\n");
    put(*state, "c/a.yaml", "\"@type\": " CLUSTER "\nname: by-cluster\n");
    struct weir_plane_resources *r = load(*state);
    assert_non_null(find(weir_plane_set_of(r, WEIR_STR("i"), WEIR_STR("c")), CLUSTER, "by-id"));
    assert_non_null(find(weir_plane_set_of(r, WEIR_STR("x"), WEIR_STR("c")), CLUSTER, "by-cluster"));
    assert_non_null(find(weir_plane_set_of(r, WEIR_STR("x"), WEIR_STR("y")), CLUSTER, "common"));
    assert_null(find(weir_plane_set_of(r, WEIR_STR("i"), WEIR_STR("c")), CLUSTER, "common"));
    assert_ptr_equal(weir_plane_set_of(r, (struct weir_str){0}, (struct weir_str){0}), &r->common);
    weir_plane_resources_destroy(r);
}

static void test_faults_name_their_place(void **state)
{
    put(*state, "a.yaml", "resources:\n- \"@type\": " CLUSTER "\n  name: c1\n  nonsense: 1\n");
    refused(*state, "a.yaml:4:3: ");
    put(*state, "a.yaml", "resources:\n  - [\n");
    refused(*state, "a.yaml:");
    put(*state, "a.yaml", "resources: []\nlisteners: []\n");
    refused(*state, "a.yaml:2:1: only `resources`");
    put(*state, "a.yaml", "- x\n");
    refused(*state, "a.yaml:1:1: a resource with @type");
    put(*state, "a.yaml", "resources: 7\n");
    refused(*state, "a.yaml:1:12: resources: a list");
    put(*state, "a.yaml", "\"@type\": " CLUSTER "\n");
    refused(*state, "a.yaml:1:1: a resource without a name");
    put(*state, "a.yaml", "\"@type\": " CLUSTER "\nname: c1\n");
    put(*state, "b.yaml", "\n\"@type\": " CLUSTER "\nname: c1\n");
    refused(*state, "b.yaml:2:1: 'c1' is also at ");
    put(*state, "b.yaml", "\"@type\": type.googleapis.com/no.Such\nname: c1\n");
    refused(*state, "b.yaml:1:");
}

static void test_writes_all_as_one_file(void **state)
{
    char path[128];
    struct weir_error e;
    struct fixture *f = *state;
    put(f, "a.yaml", "\"@type\": " CLUSTER "\nname: c1\n---\n\"@type\": " ROUTES "\nname: r1\n");
    struct weir_plane_resources *r = load(f);
    snprintf(path, sizeof path, "%s/merged.json", f->directory);
    assert_int_equal(weir_plane_resources_write(r, path, &e), WEIR_OK);
    weir_plane_resources_destroy(r);
    snprintf(path, sizeof path, "%s/a.yaml", f->directory);
    unlink(path);
    r = load(f); /* and the file is of the form that is read */
    assert_int_equal(r->count, 2);
    assert_non_null(find(&r->common, ROUTES, "r1"));
    weir_plane_resources_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_takes_lists_documents_and_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_version_follows_the_content_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_subdirectory_is_the_set_of_a_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faults_name_their_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_writes_all_as_one_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
