/* The memory limit out of cgroup v1 and v2, on made-up file systems. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dataplane/config/memory_limit.h"
#include "test/unit/support/made_root.h"

static char *root;
static struct weir_memory_limit limit;

static void file_write(const char *path, const char *text)
{
    made_root_write(root, path, text);
}

static int setup(void **state)
{
    (void)state;
    root = made_root_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    made_root_destroy(root);
    return 0;
}

static void test_v2_limit_and_use_without_cache(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "0::/pod/container\n");
    file_write("/sys/fs/cgroup/pod/container/memory.max", "104857600\n");
    file_write("/sys/fs/cgroup/pod/container/memory.current", "52428800\n");
    file_write("/sys/fs/cgroup/pod/container/memory.stat", "anon 1\nfile 3\ninactive_file 2428800\n");
    weir_memory_limit_find(root, &limit);
    assert_int_equal(limit.bytes, 104857600);
    assert_int_equal(weir_memory_limit_used(&limit), 50000000);
}

static void test_v2_smaller_limit_of_a_parent_counts(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "0::/pod/container\n");
    file_write("/sys/fs/cgroup/pod/container/memory.max", "200\n");
    file_write("/sys/fs/cgroup/pod/memory.max", "100\n");
    file_write("/sys/fs/cgroup/pod/memory.current", "70\n");
    weir_memory_limit_find(root, &limit);
    assert_int_equal(limit.bytes, 100);
    assert_int_equal(weir_memory_limit_used(&limit), 70);
}

static void test_v2_in_a_container_is_the_mount_itself(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "0::/\n");
    file_write("/sys/fs/cgroup/memory.max", "300\n");
    file_write("/sys/fs/cgroup/memory.current", "30\n");
    weir_memory_limit_find(root, &limit);
    assert_int_equal(limit.bytes, 300);
    assert_int_equal(weir_memory_limit_used(&limit), 30);
}

static void test_v1_limit_and_use_without_cache(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "4:cpu,cpuacct:/kubepods/x\n3:memory:/kubepods/x\n1:name=systemd:/kubepods/x\n");
    file_write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    file_write("/sys/fs/cgroup/memory/kubepods/x/memory.limit_in_bytes", "1000\n");
    file_write("/sys/fs/cgroup/memory/kubepods/x/memory.usage_in_bytes", "900\n");
    file_write("/sys/fs/cgroup/memory/kubepods/x/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n");
    weir_memory_limit_find(root, &limit);
    assert_int_equal(limit.bytes, 1000);
    assert_int_equal(weir_memory_limit_used(&limit), 800);
}

static void test_v1_group_of_the_host_falls_back_to_the_mount(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "3:memory:/kubepods/not/mounted/here\n");
    file_write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "500\n");
    weir_memory_limit_find(root, &limit);
    assert_int_equal(limit.bytes, 500);
    assert_int_equal(weir_memory_limit_used(&limit), 0);
}

static void test_no_limit(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "0::/\n5:hugetlb,memory_not:/x\n3:memory:/\n");
    file_write("/sys/fs/cgroup/memory.max", "max\n");
    file_write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    weir_memory_limit_find(root, &limit);
    assert_int_equal(limit.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_v2_limit_and_use_without_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(test_v2_smaller_limit_of_a_parent_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_v2_in_a_container_is_the_mount_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_v1_limit_and_use_without_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(test_v1_group_of_the_host_falls_back_to_the_mount, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
