/* The table of subcommands. */
#include "dataplane/command/command.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    int (*main)(int argc, char **argv);
} commands[] = {
    {"drain", weir_drain_main},
    {"redirect", weir_redirect_main},
    {"wait", weir_wait_main},
};

int weir_command_run(int argc, char **argv, int *code)
{
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) != 0) continue;
        *code = commands[i].main(argc - 2, argv + 2);
        return 1;
    }
    return 0;
}
