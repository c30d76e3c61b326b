/* base/buffer.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "dataplane/base/buffer.h"
#include "dataplane/base/random.h"
#include "dataplane/limits.h"

static struct weir_slice slice_of(struct weir_block *b, size_t from, size_t n)
{
    return (struct weir_slice){b->data + from, n, b};
}

static void assert_bytes(const struct weir_buffer *b, const char *want)
{
    char got[256];
    assert_int_equal(b->bytes, strlen(want));
    assert_int_equal(weir_buffer_copy_out(b, 0, got, sizeof(got)), strlen(want));
    assert_memory_equal(got, want, strlen(want));
}

static void test_append_fills_one_block_before_taking_another(void **state)
{
    (void)state;
    struct weir_block_pool pool;
    weir_block_pool_init(&pool);
    struct weir_buffer b = {0};
    for (int i = 0; i < 100; i++)
        weir_buffer_append(&b, &pool, "0123456789", 10);
    assert_int_equal(b.bytes, 1000);
    assert_int_equal(b.count, 1);
    assert_int_equal(pool.live, 1);
    char big[40000];
    memset(big, 'x', sizeof(big));
    weir_buffer_append(&b, &pool, big, sizeof(big));
    assert_int_equal(b.bytes, 41000);
    weir_buffer_deinit(&b);
    assert_int_equal(pool.live, 0);
    weir_block_pool_deinit(&pool);
}

static void test_append_never_writes_into_a_block_that_someone_else_fills(void **state)
{
    (void)state;
    struct weir_block_pool pool;
    weir_block_pool_init(&pool);
    struct weir_buffer b = {0};
    struct weir_block *reading = weir_block_create(&pool, 0);
    memcpy(reading->data, "abcdef", 6);
    weir_block_acquire(reading);
    weir_buffer_push(&b, slice_of(reading, 0, 3));
    weir_buffer_append(&b, &pool, "XYZ", 3);
    assert_memory_equal(reading->data, "abcdef", 6);
    assert_bytes(&b, "abcXYZ");
    weir_block_release(reading);
    weir_buffer_deinit(&b);
    assert_int_equal(pool.live, 0);
    weir_block_pool_deinit(&pool);
}

static void test_append_goes_on_behind_what_was_moved_whole(void **state)
{
    (void)state;
    struct weir_block_pool pool;
    weir_block_pool_init(&pool);
    struct weir_buffer a = {0}, b = {0};
    weir_buffer_append(&a, &pool, "one", 3);
    weir_buffer_move(&b, &a);
    weir_buffer_append(&a, &pool, "three", 5); /* must not touch b's block */
    weir_buffer_append(&b, &pool, "two", 3);
    assert_bytes(&b, "onetwo");
    assert_bytes(&a, "three");
    assert_int_equal(pool.live, 2);
    weir_buffer_deinit(&a);
    weir_buffer_deinit(&b);
    assert_int_equal(pool.live, 0);
    weir_block_pool_deinit(&pool);
}

static void test_adjacent_slices_of_a_block_are_joined(void **state)
{
    (void)state;
    struct weir_block *block = weir_block_create(NULL, 10);
    memcpy(block->data, "0123456789", 10);
    struct weir_buffer b = {0};
    weir_block_acquire(block);
    weir_block_acquire(block);
    weir_buffer_push(&b, slice_of(block, 3, 3));
    weir_buffer_push(&b, slice_of(block, 6, 4));
    assert_int_equal(b.count, 1);
    weir_buffer_push_front(&b, slice_of(block, 0, 3));
    assert_int_equal(b.count, 1);
    assert_int_equal(block->refs, 1);
    assert_bytes(&b, "0123456789");
    weir_buffer_deinit(&b);
}

static void test_move_n_splits_a_slice_and_shares_its_block(void **state)
{
    (void)state;
    struct weir_block_pool pool;
    weir_block_pool_init(&pool);
    struct weir_buffer a = {0}, b = {0};
    weir_buffer_append(&a, &pool, "abcdef", 6);
    weir_buffer_push_static(&a, WEIR_STR("ghi"));
    weir_buffer_move_n(&b, &a, 4);
    assert_bytes(&b, "abcd");
    assert_bytes(&a, "efghi");
    weir_buffer_move_n(&b, &a, 4);
    assert_bytes(&b, "abcdefgh");
    assert_bytes(&a, "i");
    weir_buffer_deinit(&b);
    weir_buffer_deinit(&a);
    assert_int_equal(pool.live, 0);
    weir_block_pool_deinit(&pool);
}

static void test_iov_shows_the_first_slices(void **state)
{
    (void)state;
    struct weir_buffer b = {0};
    weir_buffer_push_static(&b, WEIR_STR("ab"));
    weir_buffer_push_static(&b, WEIR_STR(""));
    weir_buffer_push_static(&b, WEIR_STR("cd"));
    weir_buffer_push_static(&b, WEIR_STR("ef"));
    struct iovec iov[4];
    assert_int_equal(weir_buffer_iov(&b, iov, 2), 2);
    assert_int_equal(weir_buffer_iov(&b, iov, 4), 3);
    assert_int_equal(iov[2].iov_len, 2);
    assert_memory_equal(iov[2].iov_base, "ef", 2);
    char out[3];
    assert_int_equal(weir_buffer_copy_out(&b, 3, out, 3), 3);
    assert_memory_equal(out, "def", 3);
    assert_int_equal(weir_buffer_copy_out(&b, 6, out, 3), 0);
    weir_buffer_deinit(&b);
}

static void test_closed_pool_takes_late_blocks(void **state)
{
    (void)state;
    struct weir_block_pool pool;
    weir_block_pool_init(&pool);
    struct weir_block *late = weir_block_create(&pool, 0), *early = weir_block_create(&pool, 0);
    weir_block_release(early);
    weir_block_pool_deinit(&pool);
    assert_int_equal(pool.live, 1);
    weir_block_release(late);
    assert_int_equal(pool.live, 0);
}

/* Random operations on two buffers beside plain byte arrays. */
struct model {
    char p[200000];
    size_t n;
};
static void model_append(struct model *m, const char *p, size_t n)
{
    memcpy(m->p + m->n, p, n);
    m->n += n;
}
static void model_consume(struct model *m, size_t n)
{
    memmove(m->p, m->p + n, m->n - n);
    m->n -= n;
}
static void assert_model(const struct weir_buffer *b, const struct model *m)
{
    static char got[sizeof(m->p)];
    assert_int_equal(b->bytes, m->n);
    assert_int_equal(weir_buffer_copy_out(b, 0, got, sizeof(got)), m->n);
    assert_memory_equal(got, m->p, m->n);
}

static void test_random_operations_agree_with_byte_arrays(void **state)
{
    (void)state;
    static struct model models[2];
    struct weir_buffer buffers[2] = {0};
    struct weir_block_pool pool;
    weir_block_pool_init(&pool);
    struct weir_random r;
    weir_random_seed(&r, 7);
    for (int i = 0; i < 4000; i++) {
        unsigned which = weir_random_below(&r, 2);
        struct weir_buffer *b = &buffers[which], *o = &buffers[1 - which];
        struct model *m = &models[which], *n = &models[1 - which];
        char bytes[3000];
        size_t k = weir_random_below(&r, i % 100 == 0 ? sizeof(bytes) : 60);
        for (size_t j = 0; j < k; j++)
            bytes[j] = (char)weir_random_u64(&r);
        switch (weir_random_below(&r, 7)) {
        case 0:
        case 1:
            if (m->n + k > 60000) break;
            weir_buffer_append(b, &pool, bytes, k);
            model_append(m, bytes, k);
            break;
        case 2: {
            if (m->n + k > 60000) break;
            struct weir_block *block = weir_block_create(weir_random_below(&r, 2) ? &pool : NULL, k);
            memcpy(block->data, bytes, k);
            bool front = weir_random_below(&r, 2);
            if (front) {
                weir_buffer_push_front(b, slice_of(block, 0, k));
                memmove(m->p + k, m->p, m->n);
                memcpy(m->p, bytes, k);
                m->n += k;
            } else {
                weir_buffer_push(b, slice_of(block, 0, k));
                model_append(m, bytes, k);
            }
            break;
        }
        case 3:
            if (m->n + n->n > 100000) break;
            if (weir_random_below(&r, 10) == 0) {
                weir_buffer_move(b, o);
                model_append(m, n->p, n->n);
                n->n = 0;
            }
            break;
        case 4: {
            size_t part = weir_random_below(&r, n->n + 1);
            if (m->n + part > 100000) break;
            weir_buffer_move_n(b, o, part);
            model_append(m, n->p, part);
            model_consume(n, part);
            break;
        }
        default: {
            size_t part = weir_random_below(&r, m->n + 1);
            if (weir_random_below(&r, 2)) part = part < 40 ? part : 40;
            weir_buffer_consume(b, part);
            model_consume(m, part);
        }
        }
        assert_model(b, m);
        assert_model(o, n);
    }
    weir_buffer_deinit(&buffers[0]);
    weir_buffer_deinit(&buffers[1]);
    assert_int_equal(pool.live, 0);
    weir_block_pool_deinit(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_fills_one_block_before_taking_another),
        cmocka_unit_test(test_append_never_writes_into_a_block_that_someone_else_fills),
        cmocka_unit_test(test_append_goes_on_behind_what_was_moved_whole),
        cmocka_unit_test(test_adjacent_slices_of_a_block_are_joined),
        cmocka_unit_test(test_move_n_splits_a_slice_and_shares_its_block),
        cmocka_unit_test(test_iov_shows_the_first_slices),
        cmocka_unit_test(test_closed_pool_takes_late_blocks),
        cmocka_unit_test(test_random_operations_agree_with_byte_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
