/* Any bytes as a resource: pre-walk, unpacking, rules, support classes, compile. The first byte chooses the type. */
#include <stddef.h>
#include <stdint.h>

#include "dataplane/config/compile_job.h"
#include "dataplane/config/names.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 64 * 1024) return 0;
    struct weir_names *names = weir_names_create();
    struct weir_compile_env env = {.names = weir_names_for_compile(names), .worker_count = 1};
    enum weir_resource_type type = (enum weir_resource_type)(data[0] % WEIR_RESOURCE_TYPES);
    struct weir_str packed = {(const char *)data + 1, size - 1};
    struct weir_resource *made = NULL;
    struct weir_error e = {0};
    struct weir_str name = weir_resource_name_peek(type, packed);
    if (name.n > 0 && weir_compile_resource(&env, type, name, packed, &made, &e) == WEIR_OK) weir_resource_release(made);
    weir_names_destroy(names);
    return 0;
}
