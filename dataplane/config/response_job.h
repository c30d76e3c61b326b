/* A discovery response as a job for the compile thread. */
#ifndef WEIR_CONFIG_RESPONSE_JOB_H
#define WEIR_CONFIG_RESPONSE_JOB_H

#include "dataplane/config/compile_job.h"
#include "xds/ads.h"

/* The job's items borrow from the response, which must live as long as it. source, received_wall_ns, done, dropped and ctx are
 * the caller's to set. */
struct weir_compile_job *weir_response_job_create(const struct weir_ads_response *r);

#endif
