/* The CPU quota out of cgroup v1 and v2, on made-up file systems. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "dataplane/config/cpus.h"
#include "test/unit/support/made_root.h"

static char *root;

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

static void test_v2_quota_is_rounded_up(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "0::/pod/container\n");
    file_write("/sys/fs/cgroup/pod/container/cpu.max", "50000 100000\n");
    assert_int_equal(weir_cpus_allowed(root), 1);
}

static void test_v2_limit_of_a_parent_counts(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "0::/pod/container\n");
    file_write("/sys/fs/cgroup/pod/container/cpu.max", "max 100000\n");
    file_write("/sys/fs/cgroup/pod/cpu.max", "100000 100000\n");
    assert_int_equal(weir_cpus_allowed(root), 1);
}

static void test_v1_quota(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "3:cpu,cpuacct:/docker/x\n2:memory:/docker/x\n");
    file_write("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "70000\n");
    file_write("/sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n");
    assert_int_equal(weir_cpus_allowed(root), 1);
}

static void test_group_path_of_the_host_falls_back_to_the_mount(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "0::/../../pod\n");
    file_write("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    assert_int_equal(weir_cpus_allowed(root), 1);
}

static void test_no_limit_is_the_affinity_mask(void **state)
{
    (void)state;
    file_write("/proc/self/cgroup", "0::/\n");
    file_write("/sys/fs/cgroup/cpu.max", "max 100000\n");
    uint32_t all = weir_cpus_allowed(root);
    assert_true(all >= 1 && all <= (uint32_t)sysconf(_SC_NPROCESSORS_ONLN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_v2_quota_is_rounded_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_v2_limit_of_a_parent_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_v1_quota, setup, teardown),
        cmocka_unit_test_setup_teardown(test_group_path_of_the_host_falls_back_to_the_mount, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_limit_is_the_affinity_mask, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
