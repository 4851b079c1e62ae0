#include "reason.h"

#include <assert.h>
#include <ctype.h>
#include <pthread.h>
#include <string.h>

enum { NAME_MAX_LEN = 40 };

struct reason_row {
    const char *identifier;
    const char *flag;
    enum reason_severity severity;
    const char *sentence;
};

static const struct reason_row rows[NUM_REASONS] = {
#define REASON_ROW(id, flag_, severity_, sentence_)                                                \
    [REASON_##id] = {#id, flag_, REASON_##severity_, sentence_},
    REASON_MAP(REASON_ROW)
#undef REASON_ROW
};

/* The preprocessor cannot make lower case; the names are made once, on first use. */
static char names[NUM_REASONS][NAME_MAX_LEN];
static pthread_once_t names_once = PTHREAD_ONCE_INIT;

static void make_names(void)
{
    for (size_t i = 0; i < NUM_REASONS; i++) {
        const char *identifier = rows[i].identifier;
        size_t len = strlen(identifier);
        assert(len < NAME_MAX_LEN);
        for (size_t j = 0; j < len; j++)
            names[i][j] = (char)tolower((unsigned char)identifier[j]);
    }
}

static const struct reason_row *row_of(enum reason reason)
{
    assert((unsigned)reason < NUM_REASONS);
    return &rows[reason];
}

const char *reason_name(enum reason reason)
{
    assert((unsigned)reason < NUM_REASONS);
    pthread_once(&names_once, make_names);
    return names[reason];
}

const char *reason_flag(enum reason reason)
{
    return row_of(reason)->flag;
}

enum reason_severity reason_severity(enum reason reason)
{
    return row_of(reason)->severity;
}

const char *reason_sentence(enum reason reason)
{
    return row_of(reason)->sentence;
}
