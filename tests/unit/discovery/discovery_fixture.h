/* Resources and tables with few words. What fails here fails the test. */
#ifndef DISCOVERY_FIXTURE_H
#define DISCOVERY_FIXTURE_H

#include "discovery_table.h"

/* A pod with HBONE in network "" at `ip`, endpoint of `service` ("namespace/hostname"; NULL: of
 * none). `name` and `revision` may say anything that makes a difference. */
struct discovery_resource *fixture_workload(const char *uid, const char *ip, const char *service,
                                            const char *revision);

/* "ns/<hostname>" with a VIP and, unless NULL, a CIDR that it takes. */
struct discovery_resource *fixture_service(const char *hostname, const char *vip, const char *cidr);

/* "ns/<name>". */
struct discovery_resource *fixture_policy(const char *name, bool dry_run);

/* Takes the resources, the last of which is NULL, and seals. */
struct discovery_table *fixture_table(uint64_t version, ...);

#endif
