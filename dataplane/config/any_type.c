/* weir_compile_any_type(): what an extension slot holds, before anything is made of it. For slots that are optional: what weir
 * does not know is left out there. */
#include "dataplane/base/compile.h"
#include "dataplane/base/pb_facts.h"
#include "google/protobuf/any.pb-c.h"
#include "udpa/type/v1/typed_struct.pb-c.h"
#include "xds/wire_check.h"
#include "xds/type/v3/typed_struct.pb-c.h"

const ProtobufCMessageDescriptor *weir_compile_any_type(struct weir_compile *c, const void *any)
{
    const Google__Protobuf__Any *a = any;
    const struct weir_pb_message *facts = a->type_url != NULL ? weir_pb_find_url(weir_str_of(a->type_url)) : NULL;
    const ProtobufCMessageDescriptor *type = facts != NULL ? weir_pb_descriptor(facts) : NULL;
    if (type != &xds__type__v3__typed_struct__descriptor && type != &udpa__type__v1__typed_struct__descriptor) return type;
    ProtobufCMessage *m = NULL;
    struct weir_error e = {0};
    if (weir_pb_decode(c->scratch, type, (struct weir_str){(const char *)a->value.data, a->value.len}, &m, &e) != WEIR_OK) return type;
    const char *inner = type == &xds__type__v3__typed_struct__descriptor ? ((const Xds__Type__V3__TypedStruct *)(const void *)m)->type_url
                                                                          : ((const Udpa__Type__V1__TypedStruct *)(const void *)m)->type_url;
    facts = inner != NULL ? weir_pb_find_url(weir_str_of(inner)) : NULL;
    return facts != NULL ? weir_pb_descriptor(facts) : NULL;
}
