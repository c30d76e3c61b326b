/* weir-control-plane: serves a directory of resources to xDS clients. Reads its flags, loads, listens, and then waits for
 * changes of the directory and for signals. */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control-plane-stub/server.h"
#include "control-plane-stub/watch.h"
#include "dataplane/base/event.h"

/* Changes that come together are loaded together: after the first, until so long nothing more came, or at most so long. */
#define QUIET_MS 30
#define QUIET_ROUNDS_MAX 20

struct options {
    const char *listen, *resources, *merged;
    uint64_t loads;
};

static const char usage[] =
    "weir-control-plane --listen ADDRESS:PORT --resources DIR [--write-merged FILE]\n"
    "\n"
    "Serves the resources in DIR to xDS clients (ADS over gRPC, state-of-the-world and delta).\n"
    "\n"
    "  --listen ADDRESS:PORT  where to listen; port 0 takes a free one\n"
    "  --resources DIR        *.yaml, *.yml and *.json: each document is one resource with @type, or holds a list\n"
    "                         `resources` of them. A subdirectory named like a node's id or cluster serves that node,\n"
    "                         all others get what is in DIR itself. Changes are served at once.\n"
    "  --write-merged FILE    after each load, write all of DIR as one JSON file {\"resources\": [...]}\n"
    "  --version, --help\n";

/* Written among the resources, the merged file would be one of them. */
static bool merged_is_resource(const struct options *o)
{
    char path[4096];
    struct stat file, directory;
    if (o->merged == NULL || snprintf(path, sizeof path, "%s", o->merged) >= (int)sizeof path) return false;
    return stat(dirname(path), &file) == 0 && stat(o->resources, &directory) == 0 && file.st_ino == directory.st_ino &&
           file.st_dev == directory.st_dev;
}

/* Exit status, or -1 to go on. */
static int read_options(int argc, char **argv, struct options *o)
{
    static const struct option known[] = {
        {"listen", required_argument, NULL, 'l'}, {"resources", required_argument, NULL, 'r'},
        {"write-merged", required_argument, NULL, 'w'}, {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'}, {0},
    };
    for (int c; (c = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        switch (c) {
        case 'l': o->listen = optarg; break;
        case 'r': o->resources = optarg; break;
        case 'w': o->merged = optarg; break;
        case 'v': puts("weir-control-plane " WEIR_VERSION); return 0;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return 1;
        }
    }
    if (o->listen != NULL && o->resources != NULL && optind == argc) {
        if (!merged_is_resource(o)) return -1;
        fputs("--write-merged: FILE may not be in the directory of the resources\n", stderr);
        return 1;
    }
    fputs(usage, stderr);
    return 1;
}

static enum weir_err load(struct options *o, struct weir_plane_resources **out, struct weir_error *e)
{
    enum weir_err err = weir_plane_resources_load(o->resources, ++o->loads, out, e);
    if (err != WEIR_OK) return err;
    if (o->merged != NULL && weir_plane_resources_write(*out, o->merged, e) != WEIR_OK)
        fprintf(stderr, "--write-merged: %s\n", e->text);
    printf("loaded %zu resources from %zu files\n", (*out)->count, (*out)->file_count);
    fflush(stdout);
    return WEIR_OK;
}

static void refused(const struct options *o, const struct weir_error *e)
{
    fprintf(stderr, "%s\nthe last good resources stay\n", e->text);
    weir_event_print(WEIR_EVENT_CONFIG_REFUSED, weir_str_of(o->resources), weir_str_of(e->text));
}

static void reload(struct options *o, struct weir_plane_watch *watch, struct weir_plane_server *server)
{
    struct pollfd p = {.fd = watch->fd, .events = POLLIN};
    for (int i = 0; i < QUIET_ROUNDS_MAX && poll(&p, 1, QUIET_MS) > 0; i++)
        (void)weir_plane_watch_take(watch);
    struct weir_plane_resources *resources;
    struct weir_error e;
    weir_plane_watch_add(watch);
    if (load(o, &resources, &e) == WEIR_OK)
        weir_plane_server_update(server, resources);
    else
        refused(o, &e);
}

static void serve(struct options *o, int signals, struct weir_plane_watch *watch, struct weir_plane_server *server)
{
    struct pollfd p[] = {{.fd = signals, .events = POLLIN}, {.fd = watch->fd, .events = POLLIN}};
    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR) return;
        if (p[0].revents != 0) return;
        if (p[1].revents != 0 && weir_plane_watch_take(watch)) reload(o, watch, server);
    }
}

int main(int argc, char **argv)
{
    struct options o = {0};
    int status = read_options(argc, argv, &o);
    if (status >= 0) return status;
    /* Before gRPC starts threads: all of them leave these signals to the descriptor. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    int signals = signalfd(-1, &set, SFD_CLOEXEC), port;
    struct weir_plane_watch watch;
    struct weir_plane_resources *resources;
    struct weir_plane_server *server;
    struct weir_error e;
    enum weir_err err = weir_plane_watch_init(&watch, o.resources, &e);
    if (err == WEIR_OK) {
        weir_plane_watch_add(&watch);
        err = load(&o, &resources, &e);
    }
    if (err == WEIR_OK) err = weir_plane_server_create(o.listen, resources, stdout, &server, &port, &e);
    if (err != WEIR_OK) {
        fprintf(stderr, "%s\n", e.text);
        weir_plane_watch_deinit(&watch);
        close(signals);
        return EXIT_FAILURE;
    }
    const char *colon = strrchr(o.listen, ':');
    printf("listening on %.*s:%d\n", (int)(colon != NULL ? (size_t)(colon - o.listen) : strlen(o.listen)), o.listen, port);
    fflush(stdout);
    serve(&o, signals, &watch, server);
    weir_plane_server_destroy(server);
    weir_plane_watch_deinit(&watch);
    close(signals);
    return EXIT_SUCCESS;
}
