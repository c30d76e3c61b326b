#include "xds/ads_channel.h"

#include <grpc/grpc_security.h>
#include <grpc/support/string_util.h>
#include <stdlib.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/san.h"
#include "dataplane/base/sanitize.h"
#include "dataplane/limits.h"

#define CONNECT_TIMEOUT_DEFAULT_MS 5000
#define RECONNECT_MIN_MS 200
#define RECONNECT_MAX_MS 5000
#define DNS_TIMEOUT_MS 5000     /* of a whole look-up; gRPC's own is two minutes */
#define DNS_MIN_INTERVAL_MS 500 /* a connection that breaks is a reason to look again; gRPC's own is 30 s */
#define KEEPALIVE_DEFAULT_MS 305000
#define KEEPALIVE_TIMEOUT_DEFAULT_MS 20000

#define ARGS_MAX 20

struct weir_ads_channel {
    struct weir_arena *arena; /* this lies in it, and all texts */
    grpc_channel *grpc;
    grpc_channel_credentials *credentials;
    const char *target;
    grpc_arg args[ARGS_MAX];
    size_t arg_count;
};

/* Checks the names of a server whose chain is good. Lives until gRPC lets go of it: a handshake may end after the client did,
 * so the names are its own. */
struct name_check {
    grpc_tls_certificate_verifier_external verifier;
    struct weir_arena *arena;
    const struct weir_san_match *sans;
    uint32_t san_count;
};

static bool any_matches(const struct weir_san_match *m, enum weir_san_type type, char *const *names, size_t count)
{
    for (size_t i = 0; m->type == type && i < count; i++)
        if (weir_san_matches(m, weir_str_of(names[i]))) return true;
    return false;
}

/* Called by gRPC on a thread of its own, after the handshake; answers at once. */
static int names_verify(void *ctx, grpc_tls_custom_verification_check_request *request,
                        grpc_tls_on_custom_verification_check_done_cb callback, void *callback_arg, grpc_status_code *status,
                        char **details)
{
    const struct name_check *check = ctx;
    (void)callback;
    (void)callback_arg;
    WEIR_TSAN_ACQUIRE(check);
    for (uint32_t i = 0; i < check->san_count; i++) {
        const struct weir_san_match *m = &check->sans[i];
        if (any_matches(m, WEIR_SAN_DNS, request->peer_info.san_names.dns_names, request->peer_info.san_names.dns_names_size) ||
            any_matches(m, WEIR_SAN_URI, request->peer_info.san_names.uri_names, request->peer_info.san_names.uri_names_size) ||
            any_matches(m, WEIR_SAN_EMAIL, request->peer_info.san_names.email_names, request->peer_info.san_names.email_names_size) ||
            any_matches(m, WEIR_SAN_IP, request->peer_info.san_names.ip_names, request->peer_info.san_names.ip_names_size)) {
            *status = GRPC_STATUS_OK;
            WEIR_TSAN_RELEASE(check);
            return 1;
        }
    }
    WEIR_TSAN_RELEASE(check);
    *status = GRPC_STATUS_UNAUTHENTICATED;
    *details = gpr_strdup("no name of the server's certificate is among match_typed_subject_alt_names");
    return 1;
}

static void names_cancel(void *ctx, grpc_tls_custom_verification_check_request *request)
{
    (void)ctx;
    (void)request;
}

static void names_destruct(void *ctx)
{
    struct name_check *check = ctx;
    WEIR_TSAN_ACQUIRE(check);
    weir_arena_destroy(check->arena);
    free(check);
}

static grpc_tls_certificate_verifier *verifier_create(const struct weir_ads_config *c)
{
    if (c->san_count == 0) return grpc_tls_certificate_verifier_no_op_create();
    struct name_check *check = calloc(1, sizeof *check);
    if (check == NULL) abort();
    check->verifier = (grpc_tls_certificate_verifier_external){check, names_verify, names_cancel, names_destruct};
    check->arena = weir_arena_create();
    check->sans = weir_sans_copy(check->arena, c->sans, c->san_count);
    check->san_count = c->san_count;
    WEIR_TSAN_RELEASE(check);
    return grpc_tls_certificate_verifier_external_create(&check->verifier);
}

/* The chain is checked when there is a root, names only when asked for: a validation context without names accepts any. */
static grpc_channel_credentials *tls_credentials(const struct weir_ads_config *c)
{
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
    bool own = c->certificate_pem != NULL && c->key_pem != NULL;
    if (own || c->root_pem != NULL) {
        grpc_tls_identity_pairs *pairs = NULL;
        if (own) {
            pairs = grpc_tls_identity_pairs_create();
            grpc_tls_identity_pairs_add_pair(pairs, c->key_pem, c->certificate_pem);
        }
        grpc_tls_certificate_provider *provider = grpc_tls_certificate_provider_static_data_create(c->root_pem, pairs);
        grpc_tls_credentials_options_set_certificate_provider(options, provider);
        grpc_tls_certificate_provider_release(provider);
    }
    if (own) grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
    if (c->root_pem != NULL) grpc_tls_credentials_options_watch_root_certs(options);
    grpc_tls_credentials_options_set_verify_server_cert(options, c->root_pem != NULL);
    grpc_tls_certificate_verifier *verifier = verifier_create(c);
    grpc_tls_credentials_options_set_certificate_verifier(options, verifier);
    grpc_tls_certificate_verifier_release(verifier);
    /* Calls go to :authority, which is the cluster's name and need not be the server's. */
    grpc_tls_credentials_options_set_check_call_host(options, 0);
    return grpc_tls_credentials_create(options);
}

static grpc_arg number(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

static grpc_arg string(const char *key, const char *value)
{
    return (grpc_arg){.type = GRPC_ARG_STRING, .key = (char *)key, .value.string = (char *)value};
}

static char *copy(struct weir_arena *a, const char *text)
{
    return text == NULL ? NULL : (char *)weir_arena_str(a, weir_str_of(text)).p;
}

static int milliseconds(uint32_t given, int otherwise)
{
    return given == 0 ? otherwise : given < INT32_MAX ? (int)given : INT32_MAX;
}

static void args_fill(struct weir_ads_channel *c, const struct weir_ads_config *config)
{
    size_t count = 0;
    c->args[count++] = number(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)WEIR_XDS_MESSAGE_BYTES_MAX);
    c->args[count++] = number(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    c->args[count++] = number(GRPC_ARG_ENABLE_RETRIES, 0);
    c->args[count++] = number(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    c->args[count++] = number(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    c->args[count++] = number(GRPC_ARG_DNS_ARES_QUERY_TIMEOUT_MS, DNS_TIMEOUT_MS);
    c->args[count++] = number(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, DNS_MIN_INTERVAL_MS);
    c->args[count++] = number(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, RECONNECT_MIN_MS);
    /* For all its name it is how long an attempt may take, handshakes included. */
    c->args[count++] = number(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, milliseconds(config->connect_timeout_ms, CONNECT_TIMEOUT_DEFAULT_MS));
    c->args[count++] = number(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, RECONNECT_MAX_MS);
    c->args[count++] = number(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds(config->keepalive_ms, KEEPALIVE_DEFAULT_MS));
    c->args[count++] = number(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, milliseconds(config->keepalive_timeout_ms, KEEPALIVE_TIMEOUT_DEFAULT_MS));
    c->args[count++] = number(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    c->args[count++] = string(GRPC_ARG_PRIMARY_USER_AGENT_STRING, "weir/" WEIR_VERSION);
    if (config->authority != NULL) c->args[count++] = string(GRPC_ARG_DEFAULT_AUTHORITY, copy(c->arena, config->authority));
    /* Without it gRPC would send the authority as SNI. An address is never sent. */
    if (config->tls)
        c->args[count++] = string(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, config->server_name != NULL ? copy(c->arena, config->server_name) : "0.0.0.0");
    c->arg_count = count;
}

static grpc_channel *channel_new(const struct weir_ads_channel *c)
{
    /* The settings were taken once and can be again. */
    return grpc_channel_create(c->target, c->credentials, &(grpc_channel_args){c->arg_count, (grpc_arg *)c->args});
}

struct weir_ads_channel *weir_ads_channel_create(const struct weir_ads_config *config, struct weir_error *e)
{
    if (config->tls && (config->certificate_pem == NULL) != (config->key_pem == NULL)) {
        (void)weir_error_set(e, WEIR_ERR_INVALID, "a certificate and its key must be given together");
        return NULL;
    }
    grpc_channel_credentials *credentials = config->tls ? tls_credentials(config) : grpc_insecure_credentials_create();
    if (credentials == NULL) {
        (void)weir_error_set(e, WEIR_ERR_INVALID, "the TLS settings of %s can not be used", config->target);
        return NULL;
    }
    struct weir_arena *arena = weir_arena_create();
    struct weir_ads_channel *c = WEIR_NEW(arena, struct weir_ads_channel, 1);
    c->arena = arena;
    c->credentials = credentials;
    c->target = copy(arena, config->target);
    args_fill(c, config);
    c->grpc = channel_new(c);
    if (c->grpc != NULL) return c;
    (void)weir_error_set(e, WEIR_ERR_INVALID, "no channel to %s", config->target);
    weir_ads_channel_destroy(c);
    return NULL;
}

void weir_ads_channel_destroy(struct weir_ads_channel *c)
{
    if (c->grpc != NULL) grpc_channel_destroy(c->grpc);
    grpc_channel_credentials_release(c->credentials);
    weir_arena_destroy(c->arena);
}

grpc_channel *weir_ads_channel_grpc(const struct weir_ads_channel *c)
{
    return c->grpc;
}

bool weir_ads_channel_renew_if_unreachable(struct weir_ads_channel *c)
{
    if (grpc_channel_check_connectivity_state(c->grpc, 0) != GRPC_CHANNEL_TRANSIENT_FAILURE) return false;
    grpc_channel *fresh = channel_new(c);
    if (fresh == NULL) return true;
    grpc_channel_destroy(c->grpc);
    c->grpc = fresh;
    return true;
}
