/* weir wait: until the weir beside us serves, for the entry points of containers that must not start before it; with
 * --exit-with it stays as the command's parent and ends that weir after the command, so that a Job completes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/command/ask.h"
#include "dataplane/command/command.h"

#define TIMEOUT_MS 60000u
#define ASK_MS 2000u
#define PAUSE_MS 100u
#define QUIT_MS 5000u

struct wait_options {
    const char *url, *quit_url, *install;
    uint64_t timeout_ms;
    int exit_with, go_on;
    char **command; /* NULL: none */
};

static int usage(FILE *to)
{
    fprintf(to, "USAGE: weir wait [flags] [-- COMMAND ARGUMENT...]\n\n"
                "Waits until weir is ready, then runs COMMAND in its place.\n\n"
                "  --timeout DURATION\n        give up after it; default 60s\n"
                "  --go-on\n        after that time do as if weir were ready\n"
                "  --url URL\n        what answers 200 once weir is ready; default http://127.0.0.1:15021/ready\n"
                "  --exit-with\n        stay as COMMAND's parent, pass signals on, and ask weir to end once COMMAND has; its exit code is ours\n"
                "  --quit-url URL\n        who is asked to end; default http://127.0.0.1:15000/quitquitquit\n"
                "  --install PATH\n        copy this program to PATH (a volume that an application's container mounts) and exit\n");
    return to == stdout ? 0 : 2;
}

/* -1: go on; otherwise the exit code. */
static int options_read(int argc, char **argv, struct wait_options *o)
{
    for (int i = 0; i < argc; i++) {
        const char *flag = argv[i];
        if (strcmp(flag, "--") == 0) {
            if (i + 1 < argc) o->command = argv + i + 1;
            break;
        }
        if (strcmp(flag, "--help") == 0) return usage(stdout);
        if (strcmp(flag, "--exit-with") == 0) {
            o->exit_with = 1;
            continue;
        }
        if (strcmp(flag, "--go-on") == 0) {
            o->go_on = 1;
            continue;
        }
        const char *value = i + 1 < argc ? argv[++i] : NULL;
        if (value != NULL && strcmp(flag, "--url") == 0) o->url = value;
        else if (value != NULL && strcmp(flag, "--quit-url") == 0) o->quit_url = value;
        else if (value != NULL && strcmp(flag, "--install") == 0) o->install = value;
        else if (value != NULL && strcmp(flag, "--timeout") == 0) {
            if (weir_duration_read(value, &o->timeout_ms)) continue;
            fprintf(stderr, "weir wait: --timeout: a duration such as 60s was expected, not '%s'\n", value);
            return 2;
        } else {
            fprintf(stderr, "weir wait: unknown or incomplete flag '%s'\n", flag);
            return usage(stderr);
        }
    }
    if (!o->exit_with || o->command != NULL) return -1;
    fprintf(stderr, "weir wait: --exit-with needs a command behind --\n");
    return 2;
}

/* The running program, byte by byte; through a temporary name, so that nobody starts half of it. */
static int install(const char *path)
{
    char part[1024];
    struct stat is;
    off_t at = 0;
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = -1;
    snprintf(part, sizeof(part), "%.1000s.part", path);
    int ok = from >= 0 && fstat(from, &is) == 0 && (to = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755)) >= 0;
    while (ok && at < is.st_size) ok = sendfile(to, from, &at, (size_t)(is.st_size - at)) > 0;
    if (to >= 0) ok &= fchmod(to, 0755) == 0 && close(to) == 0;
    ok = ok && rename(part, path) == 0;
    if (!ok) fprintf(stderr, "weir wait: --install %s: %s\n", path, strerror(errno));
    if (from >= 0) (void)close(from);
    return ok ? 0 : 1;
}

static int became_ready(const struct wait_options *o)
{
    struct weir_answer a;
    uint64_t end_ms = weir_clock_ms() + o->timeout_ms;
    for (;;) {
        uint64_t now = weir_clock_ms();
        weir_ask("GET", o->url, end_ms > now && end_ms - now < ASK_MS ? end_ms - now : ASK_MS, &a);
        if (a.status == 200) return 1;
        if (weir_clock_ms() + PAUSE_MS > end_ms) break;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    }
    fprintf(stderr, "weir wait: %s is not ready after %llu ms:", o->url, (unsigned long long)o->timeout_ms);
    for (char *rest = a.text, *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) fprintf(stderr, " %s%s", line, *rest != '\0' ? ";" : "");
    fputs("\n", stderr);
    return 0;
}

/* As the first process of a container we also get its orphans. */
static int run_to_the_end(char **command)
{
    static const int passed[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    sigset_t set, before;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) sigaddset(&set, passed[i]);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &before);
    pid_t child = fork();
    if (child == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        execvp(command[0], command);
        fprintf(stderr, "weir wait: %s: %s\n", command[0], strerror(errno));
        _exit(errno == ENOENT ? 127 : 126);
    }
    if (child < 0) {
        fprintf(stderr, "weir wait: fork: %s\n", strerror(errno));
        return 1;
    }
    for (;;) {
        int signal, status;
        pid_t ended;
        if (sigwait(&set, &signal) != 0) continue;
        if (signal != SIGCHLD) {
            kill(child, signal);
            continue;
        }
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
            if (ended == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}

int weir_wait_main(int argc, char **argv)
{
    struct wait_options o = {.url = "http://127.0.0.1:15021/ready", .quit_url = "http://127.0.0.1:15000/quitquitquit", .timeout_ms = TIMEOUT_MS};
    int code = options_read(argc, argv, &o);
    if (code >= 0) return code;
    if (o.install != NULL) return install(o.install);
    if (!became_ready(&o) && !o.go_on) return 1;
    if (o.command == NULL) return 0;
    if (!o.exit_with) {
        execvp(o.command[0], o.command);
        fprintf(stderr, "weir wait: %s: %s\n", o.command[0], strerror(errno));
        return errno == ENOENT ? 127 : 126;
    }
    code = run_to_the_end(o.command);
    struct weir_answer a;
    weir_ask("POST", o.quit_url, QUIT_MS, &a);
    if (a.status != 200) fprintf(stderr, "weir wait: %s: %.*s\n", o.quit_url, (int)strcspn(a.text, "\n"), a.text);
    return code;
}
