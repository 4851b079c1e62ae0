#include "xds_wants.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct xds_want *)a)->name, ((const struct xds_want *)b)->name);
}

static void release(void *node)
{
    struct xds_want *want = node;
    mesh_interest_unref(want->interest);
    free(want->by);
    free(want);
}

void xds_wants_done(struct xds_wants *wants)
{
    tdestroy(wants->tree, release);
    *wants = (struct xds_wants){0};
}

struct xds_want *xds_wants_find(const struct xds_wants *wants, const char *name)
{
    const struct xds_want key = {.name = name};
    void *const *found = tfind(&key, &wants->tree, compare);
    return found == NULL ? NULL : *found;
}

struct xds_want *xds_wants_add(struct xds_wants *wants, const char *name, uint64_t now_ms)
{
    struct xds_want *want = calloc(1, sizeof(*want));
    assert(xds_wants_find(wants, name) == NULL);
    if (want == NULL || (want->interest = mesh_interest_new(name)) == NULL) {
        free(want);
        return NULL;
    }
    want->name = mesh_interest_name(want->interest);
    want->asked_at_ms = now_ms;
    if (tsearch(want, &wants->tree, compare) == NULL) {
        release(want);
        return NULL;
    }
    LIST_INSERT_HEAD(&wants->all, want, entry);
    wants->num++;
    return want;
}

void xds_wants_remove(struct xds_wants *wants, struct xds_want *want)
{
    LIST_REMOVE(want, entry);
    wants->num--;
    tdelete(want, &wants->tree, compare);
    release(want);
}

int xds_want_set_answer(struct xds_want *want, const char *by)
{
    char *copy = by == NULL ? NULL : strdup(by);
    if (by != NULL && copy == NULL)
        return -1;
    free(want->by);
    want->by = copy;
    want->answered = true;
    want->is_judged = want->is_service = want->is_empty = false;
    return 0;
}

void xds_want_clear_answer(struct xds_want *want)
{
    free(want->by);
    want->by = NULL;
    want->answered = false;
    want->is_judged = want->is_service = want->is_empty = false;
}

/* Touches are told in whole seconds: one counts until the second's end. */
static uint64_t end_of_ms(uint32_t second)
{
    return second == 0 ? 0 : (uint64_t)second * 1000 + 999;
}

static uint64_t later_ms(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool has_passed(uint64_t since_ms, uint64_t ms, uint64_t now_ms)
{
    return now_ms >= since_ms && now_ms - since_ms >= ms;
}

/* Of a workload every change is told. */
static uint64_t interval_ms(const struct xds_want *want, const struct xds_wants_times *times,
                            uint64_t now_ms)
{
    if (want->by == NULL || want->is_empty || now_ms < want->restless_until_ms)
        return times->absent_ms;
    return want->is_service ? times->refresh_ms : UINT64_MAX;
}

void xds_wants_disturb(struct xds_wants *wants, const char *service, uint64_t until_ms)
{
    struct xds_want *want;
    LIST_FOREACH (want, &wants->all, entry) {
        if (want->by == NULL || strcmp(want->by, service) != 0)
            continue;
        want->disturbed = true;
        want->restless_until_ms = until_ms;
    }
}

enum xds_want_due xds_want_due(const struct xds_want *want, const struct xds_wants_times *times,
                               uint64_t now_ms)
{
    uint64_t used_ms = end_of_ms(mesh_interest_last_used(want->interest));
    uint64_t kept_ms = end_of_ms(mesh_interest_last_kept(want->interest));
    uint64_t idle_since_ms = later_ms(later_ms(used_ms, kept_ms), want->asked_at_ms);
    bool in_use = want->own || used_ms >= want->asked_at_ms;
    if (!want->own && has_passed(idle_since_ms, times->unused_ms, now_ms))
        return XDS_WANT_EXPIRE;
    bool is_time = has_passed(want->asked_at_ms, interval_ms(want, times, now_ms), now_ms);
    /* Whoever comes after it would go by an absence of long ago. */
    if (want->answered && want->by == NULL && !in_use && is_time)
        return XDS_WANT_EXPIRE;
    return want->disturbed || (in_use && is_time) ? XDS_WANT_ASK_AGAIN : XDS_WANT_NOTHING;
}
