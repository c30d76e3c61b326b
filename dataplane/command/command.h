/* weir's subcommands: `weir NAME ...` where NAME is one of them; main.c looks here first. */
#ifndef WEIR_COMMAND_COMMAND_H
#define WEIR_COMMAND_COMMAND_H

/* True: argv[1] is a subcommand; it has run, and *code is the exit code. */
int weir_command_run(int argc, char **argv, int *code);

/* Each takes argv behind its name. Exit code: 0 done, 1 it failed or the time is over, 2 bad flags. */
int weir_wait_main(int argc, char **argv);
int weir_drain_main(int argc, char **argv);
int weir_redirect_main(int argc, char **argv);

#endif
