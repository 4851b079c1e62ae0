/*
 * What all TLS streams of one loop share: the buffers that are needed only while bytes pass
 * through, so that an idle connection owns none, and the connections that are closed with care.
 */
#ifndef REMORA_TLS_IO_H
#define REMORA_TLS_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "net_loop.h"
#include "stream.h"

/*
 * Bytes of ciphertext to read at once from a TCP connection (net_tcp_set_read_size): what eight
 * full records take.
 */
enum { TLS_IO_READ = 8 * (16384 + 22) };

struct tls_io;

/* NULL: out of memory. */
struct tls_io *tls_io_new(struct net_loop *loop);
void tls_io_free(struct tls_io *io); /* after all its streams and handshakes; NULL is ignored */
struct net_loop *tls_io_loop(const struct tls_io *io);

/* An empty buffer, which may bring memory with it, and what to do with it afterwards. */
struct buf tls_io_take(struct tls_io *io);
void tls_io_give(struct tls_io *io, struct buf *buf);

/*
 * Closes a stream of whose peer we want that it reads our last bytes: sends what is queued, ends our
 * direction and throws away what still comes, until the peer ends too. Closing at once would drop
 * what is queued, and make the kernel answer unread bytes with RST, by which the peer may lose what
 * it has not read. Given up when for `quiet_ms` nothing went out and nothing came, after `limit_ms`
 * in any case, and the oldest when there are a thousand. Takes `stream`.
 */
void tls_io_linger(struct tls_io *io, struct stream *stream, uint64_t quiet_ms, uint64_t limit_ms);

/* Some stream's last bytes are still waited for. */
bool tls_io_is_lingering(const struct tls_io *io);

#endif
