/* base/data_source.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dataplane/base/data_source.h"
#include "dataplane/base/pb_names.h"
#include "dataplane/limits.h"

static struct weir_error error;
static struct weir_compile c;
static char path[64];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/weir-test-source-%ld", (long)getpid());
    c = (struct weir_compile){.arena = weir_arena_create(), .error = &error};
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    weir_arena_destroy(c.arena);
    return 0;
}

static void test_sources_of_all_kinds(void **state)
{
    (void)state;
    struct weir_str out;
    assert_int_equal(weir_data_source_compile(&c, "f", NULL, &out), WEIR_OK);
    assert_int_equal(out.n, 0);
    pb_data_source pb = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__INIT;
    pb.specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING;
    pb.inline_string = (char *)"text";
    assert_int_equal(weir_data_source_compile(&c, "f", &pb, &out), WEIR_OK);
    assert_string_equal(out.p, "text");
    pb.specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES;
    pb.inline_bytes = (ProtobufCBinaryData){3, (uint8_t *)"a\0b"};
    assert_int_equal(weir_data_source_compile(&c, "f", &pb, &out), WEIR_OK);
    assert_int_equal(out.n, 3);
    pb.specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_ENVIRONMENT_VARIABLE;
    pb.environment_variable = (char *)"WEIR_TEST_SOURCE";
    assert_int_equal(weir_data_source_compile(&c, "f", &pb, &out), WEIR_ERR_INVALID);
    assert_string_equal(error.text, "f.environment_variable: 'WEIR_TEST_SOURCE' is not set");
    assert_int_equal(setenv("WEIR_TEST_SOURCE", "v", 1), 0);
    assert_int_equal(weir_data_source_compile(&c, "f", &pb, &out), WEIR_OK);
    assert_string_equal(out.p, "v");
    pb.specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER__NOT_SET;
    assert_int_equal(weir_data_source_compile(&c, "f", &pb, &out), WEIR_ERR_INVALID);
}

static void write_file(size_t size)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(ftruncate(fileno(f), (off_t)size), 0);
    (void)fclose(f);
}

static void test_files_are_read_whole_within_the_bound(void **state)
{
    (void)state;
    struct weir_str out;
    pb_data_source pb = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__INIT;
    pb.specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME;
    pb.filename = path;
    assert_int_equal(weir_data_source_compile(&c, "f", &pb, &out), WEIR_ERR_INVALID);
    assert_non_null(strstr(error.text, "f.filename: cannot open"));
    static const size_t sizes[] = {0, 1, 4096, 100000, WEIR_DATA_SOURCE_BYTES_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        write_file(sizes[i]);
        assert_int_equal(weir_data_source_compile(&c, "f", &pb, &out), WEIR_OK);
        assert_int_equal(out.n, sizes[i]);
    }
    write_file(WEIR_DATA_SOURCE_BYTES_MAX + 1);
    assert_int_equal(weir_data_source_compile(&c, "f", &pb, &out), WEIR_ERR_INVALID);
    assert_non_null(strstr(error.text, "larger"));
    pb.filename = (char *)"/tmp";
    assert_int_equal(weir_data_source_compile(&c, "f", &pb, &out), WEIR_ERR_INVALID);
    assert_non_null(strstr(error.text, "regular file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sources_of_all_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_are_read_whole_within_the_bound, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
