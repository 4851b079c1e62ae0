/* What remora-certrotate says of itself: its help, and its page in docs/. */
#ifndef REMORA_CERTROTATE_TEXTS_H
#define REMORA_CERTROTATE_TEXTS_H

#include "buf.h"

/* All append; 0, or -1 when out of memory. */
int certrotate_texts_help(struct buf *out);
int certrotate_texts_inspect_help(struct buf *out);
int certrotate_texts_export_help(struct buf *out);
int certrotate_texts_markdown(struct buf *out);

#endif
