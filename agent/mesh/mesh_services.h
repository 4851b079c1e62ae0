/* The services of a snapshot, and the ways to find them. Private to mesh. */
#ifndef REMORA_MESH_SERVICES_H
#define REMORA_MESH_SERVICES_H

#include "mesh_object.h"
#include "mesh_tree.h"

/* A zeroed struct is valid and empty. */
struct mesh_services {
    struct mesh_tree by_key;     /* owns struct mesh_service_object */
    struct mesh_tree by_address; /* struct mesh_service_place, as by_hostname */
    struct mesh_tree by_hostname;
};

struct mesh_services mesh_services_copy(const struct mesh_services *services);
void mesh_services_done(struct mesh_services *services);

/* Puts the object in, of which a reference is taken, in the place of what has its key. 0, or -1 when out of memory: then there
 * is nothing left to do but mesh_services_done. */
int mesh_services_put(struct mesh_services *services, struct mesh_service_object *object);

/* Takes the object out. 0, or -1 as above. */
int mesh_services_remove(struct mesh_services *services, struct mesh_service_object *object);

/* NULL: there is none. What is found lives as long as the services are not changed. */
struct mesh_service_object *mesh_services_find(const struct mesh_services *services,
                                               const char *key);

/* As the functions of mesh_snapshot.h promise. */
const struct mesh_service *mesh_services_at(const struct mesh_services *services,
                                            const char *network, const struct ip *ip,
                                            const char *client_namespace);
const struct mesh_service *mesh_services_named(const struct mesh_services *services,
                                               const char *hostname, const char *client_namespace);

/* True when any service has this very address, whoever may see it. */
bool mesh_services_know(const struct mesh_services *services, const char *network,
                        const struct ip *ip);

#endif
