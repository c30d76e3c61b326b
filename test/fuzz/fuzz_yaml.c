/* Any bytes as YAML or JSON: parsed, located, turned into a Bootstrap, printed back. The first byte chooses the parser. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "dataplane/base/pb_names.h"
#include "xds/pb_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 64 * 1024) return 0;
    struct weir_arena a = {0};
    struct weir_error e = {0};
    const struct weir_tree **documents = NULL;
    size_t count = 0;
    struct weir_str text = {(const char *)data + 1, size - 1};
    const char *file = data[0] & 1 ? "f.json" : "f.yaml";
    if (weir_tree_parse(&a, file, text, &documents, &count, &e) == WEIR_OK) {
        for (size_t i = 0; i < count; i++) {
            ProtobufCMessage *m = NULL;
            if (weir_tree_locate(documents[i], "static_resources.clusters[0].name") == NULL) abort();
            const struct weir_tree *merged = weir_tree_merge(&a, documents[0], documents[i]);
            if (weir_tree_to_pb(&a, file, merged, &pb_bootstrap_type, &m, &e) != WEIR_OK) continue;
            struct weir_out out = {0};
            weir_pb_to_json(m, &(struct weir_json_options){.redact = true}, &out);
            /* What was printed is JSON that means the same. */
            const struct weir_tree *again = NULL;
            ProtobufCMessage *back = NULL;
            if (weir_json_parse(&a, "again", (struct weir_str){out.p, out.n}, &again, &e) != WEIR_OK) abort();
            if (weir_tree_to_pb(&a, "again", again, &pb_bootstrap_type, &back, &e) != WEIR_OK) abort();
            weir_out_deinit(&out);
        }
    }
    weir_arena_deinit(&a);
    return 0;
}
