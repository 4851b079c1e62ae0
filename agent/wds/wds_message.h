/* From mesh.h's values to protobuf-c's structs. Private to wds. */
#ifndef REMORA_WDS_MESSAGE_H
#define REMORA_WDS_MESSAGE_H

#include <protobuf-c/protobuf-c.h>

#include "protobuf_read.h"
#include "wds.h"

/* protobuf-c's strings are not const; it does not write to them. NULL becomes "". */
char *wds_message_text(const char *text);

/* `num` pointers to as many zeroed structs of `size` bytes, for a repeated field. NULL: there are
 * none, or the memory has failed. */
void *wds_message_list(struct protobuf_memory *memory, size_t num, size_t size);

/*
 * Appends the packed message, frees `memory`, and turns a memory that failed into an error. 0, or -1
 * with *err: ERR_NOMEM, and nothing is appended.
 */
int wds_message_pack(struct buf *out, const ProtobufCMessage *message,
                     struct protobuf_memory *memory, struct err *err);

#endif
