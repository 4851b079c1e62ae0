/* An agent's source of discovery, the model of istiod, and a real stream between them. */
#ifndef REMORA_TEST_SOURCE_WORLD_H
#define REMORA_TEST_SOURCE_WORLD_H

#include "istiod.h"
#include "peer.h"
#include "xds_source.h"

struct world {
    struct peer *peer;
    struct istiod *istiod;
    struct istiod_stream *streams[PEER_CONNECTIONS_MAX]; /* by connection */
    bool withhold[XDS_NUM_TYPES]; /* requests of this type are not answered yet */
    size_t max_at_once;           /* messages in response to one; 0: all there are */
    struct buf withheld[16];
    size_t num_withheld;
    struct xds_source *source;
    struct xds_source_options options;
    /* What the source told. */
    struct mesh_snapshot *snapshot;
    size_t num_snapshots;
    size_t num_connected;
    size_t num_disconnected;
    size_t num_ends[XDS_NUM_ENDS];
    enum xds_end last_end;
    struct err last_err; /* kind ERR_NONE: in order */
    char rejected[1024];
    char trouble[1024];
};

/* cmocka's; *state is the world, with a server that listens and answers as the model does. */
int world_setup(void **state);
int world_teardown(void **state);

/* Own name /10.0.0.1, in the namespace shop. */
void world_start(struct world *world);

/* Runs the loop until `condition` holds; fails the test after ten seconds. */
void world_run(struct world *world, bool (*condition)(struct world *world));

/* Pushes what has changed to every stream. */
void world_push(struct world *world);

/* Answers what was withheld. */
void world_release(struct world *world);

bool world_has_workload(struct world *world, const char *uid);
bool world_is_answered(struct world *world, const char *name);

/* Asks as a worker does; it has to be possible. */
void world_ask(struct world *world, const char *name);

/* Uses a name that is answered, as workers do. */
void world_touch(struct world *world, const char *name);

/* The stream of the newest connection. */
struct istiod_stream *world_stream(struct world *world);

#endif
