/* Finding commands and reading their arguments. */
#include "dataplane/base/format_command.h"
#include "dataplane/base/str.h"

bool weir_format_command_parse(struct weir_compile *c, struct weir_str name, struct weir_str args, uint32_t length,
                               struct weir_format_part *part, const char **reason)
{
    *part = (struct weir_format_part){.cut = length != UINT32_MAX, .length_max = length};
    for (size_t i = 0; i < weir_format_command_count; i++) {
        const struct weir_format_command *command = &weir_format_commands[i];
        if (!weir_str_eq(name, weir_str_of(command->name))) continue;
        part->command = command;
        if (command->parse != NULL) return command->parse(c, part, args, reason);
        if (args.p == NULL) return true;
        *reason = "command takes no arguments";
        return false;
    }
    for (size_t i = 0; weir_format_unsupported[i] != NULL; i++) {
        if (!weir_str_eq(name, weir_str_of(weir_format_unsupported[i]))) continue;
        *reason = "command is not supported";
        return false;
    }
    *reason = "unknown command";
    return false;
}

void weir_format_command_value(const struct weir_format_part *part, struct weir_format_eval *e, struct weir_format_value *out)
{
    part->command->value(part, e, out);
}
