/* The library gives each socket an input buffer that, while it is empty, is a variable of the thread that made the socket. Closing
 * the socket looks at it, when that thread may be gone. */
#include "dataplane/worker/loop_socket.h"

#include <h2o.h>

/* Never filled: the loop does not read (H2O_SOCKET_FLAG_DONT_READ), so all threads share it. */
static const h2o_buffer_prototype_t empty;

struct st_h2o_socket_t *weir_loop_socket_create(struct weir_worker *w, int fd)
{
    h2o_socket_t *s = h2o_evloop_socket_create(w->loop, fd, H2O_SOCKET_FLAG_DONT_READ);
    h2o_buffer_init(&s->input, (h2o_buffer_prototype_t *)(uintptr_t)&empty);
    return s;
}
