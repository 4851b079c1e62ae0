#include "doorstep.h"

#include <string.h>

enum {
    LOOKS_MAX =
        256, /* guests that are looked at for each that is turned away; a flood has most of them */
    IPV6_SITE = 8, /* bytes that one network's addresses have in common (RFC 4291, 2.5.4) */
};

void doorstep_init(struct doorstep *doorstep, size_t max, void (*turn_away)(void *owner))
{
    *doorstep = (struct doorstep){.max = max > 0 ? max : 1, .turn_away = turn_away};
    TAILQ_INIT(&doorstep->guests);
}

/* One host can have any address of its IPv6 network. */
static bool doorstep_is_same_source(const struct ip *a, const struct ip *b)
{
    if (a->family == IP_V6 && b->family == IP_V6)
        return memcmp(a->bytes, b->bytes, IPV6_SITE) == 0;
    return ip_equal(a, b);
}

static struct doorstep_guest *doorstep_choose(const struct doorstep *doorstep,
                                              const struct ip *source)
{
    unsigned num_looks = 0;
    struct doorstep_guest *guest;
    TAILQ_FOREACH (guest, &doorstep->guests, entry) {
        if (num_looks++ == LOOKS_MAX)
            break;
        if (doorstep_is_same_source(&guest->source, source))
            return guest;
    }
    return TAILQ_FIRST(&doorstep->guests);
}

bool doorstep_make_room(struct doorstep *doorstep, const struct ip *source)
{
    struct doorstep_guest *guest = doorstep_choose(doorstep, source);
    if (guest == NULL)
        return false;
    doorstep_leave(guest);
    doorstep->turn_away(guest->owner);
    return true;
}

void doorstep_enter(struct doorstep *doorstep, struct doorstep_guest *guest,
                    const struct ip *source, void *owner)
{
    if (guest->doorstep != NULL)
        return;
    if (doorstep->num >= doorstep->max)
        doorstep_make_room(doorstep, source);
    guest->doorstep = doorstep;
    guest->source = *source;
    guest->owner = owner;
    TAILQ_INSERT_TAIL(&doorstep->guests, guest, entry);
    doorstep->num++;
}

void doorstep_leave(struct doorstep_guest *guest)
{
    struct doorstep *doorstep = guest->doorstep;
    if (doorstep == NULL)
        return;
    TAILQ_REMOVE(&doorstep->guests, guest, entry);
    doorstep->num--;
    guest->doorstep = NULL;
}
