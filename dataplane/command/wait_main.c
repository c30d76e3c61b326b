/* weir-wait: `weir wait` alone and linked statically, for containers of other images. */
#include "dataplane/command/command.h"

int main(int argc, char **argv)
{
    return weir_wait_main(argc - 1, argv + 1);
}
