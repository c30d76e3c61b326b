/* weir redirect: installs its rules by libnftables, which this command alone opens: the data plane neither links nor loads it, and
 * an image without it still serves. The text that --dry-run prints is the text that is installed. */
#include "dataplane/command/redirect.h"

#include <dlfcn.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dataplane/command/command.h"

#define LIBRARY "libnftables.so.1"

/* Of nftables/libnftables.h. */
struct nft_ctx;
struct nftables {
    void *library;
    struct nft_ctx *(*ctx_new)(uint32_t flags);
    void (*ctx_free)(struct nft_ctx *ctx);
    int (*buffer_error)(struct nft_ctx *ctx);
    const char *(*error_text)(struct nft_ctx *ctx);
    int (*run)(struct nft_ctx *ctx, const char *text);
};

static bool symbol(void *library, const char *name, void *out)
{
    void *found = dlsym(library, name);
    memcpy(out, &found, sizeof(found));
    return found != NULL;
}

static enum weir_err open_library(struct nftables *n, struct weir_error *e)
{
    n->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (n->library == NULL)
        return weir_error_set(e, WEIR_ERR_IO, "cannot open " LIBRARY " (Debian package libnftables1): %s", dlerror());
    if (symbol(n->library, "nft_ctx_new", &n->ctx_new) && symbol(n->library, "nft_ctx_free", &n->ctx_free) &&
        symbol(n->library, "nft_ctx_buffer_error", &n->buffer_error) && symbol(n->library, "nft_ctx_get_error_buffer", &n->error_text) &&
        symbol(n->library, "nft_run_cmd_from_buffer", &n->run))
        return WEIR_OK;
    (void)dlclose(n->library);
    return weir_error_set(e, WEIR_ERR_IO, LIBRARY " lacks what weir needs of it");
}

static bool may_administer(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data) != 0) return true; /* the kernel will tell */
    return (data[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN)) != 0;
}

static enum weir_err explain(const char *text, struct weir_error *e)
{
    int n = (int)strcspn(text, "\n");
    if (strstr(text, "Operation not supported") != NULL || strstr(text, "Protocol not supported") != NULL ||
        strstr(text, "No such file or directory") != NULL)
        return weir_error_set(e, WEIR_ERR_IO, "this kernel does not take the rules; it needs nf_tables with NAT for the inet family "
                                              "(Linux 5.2, modules nft_chain_nat and nft_redir): %.*s", n, text);
    return weir_error_set(e, WEIR_ERR_IO, "the kernel refused the rules: %.*s", n, text);
}

enum weir_err weir_redirect_apply(const char *rules, struct weir_error *e)
{
    struct nftables n = {0};
    if (!may_administer())
        return weir_error_set(e, WEIR_ERR_IO, "CAP_NET_ADMIN is necessary; in a pod: an init container with runAsUser: 0 and "
                                              "capabilities.add: [NET_ADMIN]");
    enum weir_err err = open_library(&n, e);
    if (err != WEIR_OK) return err;
    struct nft_ctx *ctx = n.ctx_new(0);
    if (ctx == NULL || n.buffer_error(ctx) != 0) {
        err = weir_error_set(e, WEIR_ERR_IO, LIBRARY " cannot be used");
    } else if (n.run(ctx, rules) != 0) {
        err = explain(n.error_text(ctx), e);
    }
    if (ctx != NULL) n.ctx_free(ctx);
    (void)dlclose(n.library);
    return err;
}

static void report(const struct weir_redirect *r)
{
    if (r->mode == WEIR_REDIRECT_REMOVE) {
        printf("weir redirect: no rules any more\n");
        return;
    }
    printf("weir redirect:");
    if (r->inbound.to != 0) printf(" inbound to port %u", r->inbound.to);
    if (r->outbound.to != 0) printf("%s outbound to port %u", r->inbound.to != 0 ? "," : "", r->outbound.to);
    printf("\n");
}

int weir_redirect_main(int argc, char **argv)
{
    struct weir_error e = {0};
    struct weir_redirect *r = malloc(sizeof(*r));
    char *rules = NULL;
    size_t n;
    if (r == NULL) abort();
    if (weir_redirect_parse(argc, argv, r, &e) != WEIR_OK) {
        fprintf(stderr, "weir redirect: %s; weir redirect --help tells more\n", e.text);
        free(r);
        return 2;
    }
    FILE *to = open_memstream(&rules, &n);
    if (to == NULL) abort();
    if (r->mode == WEIR_REDIRECT_HELP) weir_redirect_help(to);
    else weir_redirect_print(r, to);
    if (fclose(to) != 0) abort();
    int code = 0;
    if (r->mode == WEIR_REDIRECT_HELP || r->dry_run) {
        (void)fputs(rules, stdout);
    } else if (weir_redirect_apply(rules, &e) == WEIR_OK) {
        report(r);
    } else {
        fprintf(stderr, "weir redirect: %s\n", e.text);
        code = 1;
    }
    free(rules);
    free(r);
    return code;
}
