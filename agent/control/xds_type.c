#include "xds_type.h"

static const struct {
    const char *url;
    const char *name;
} types[XDS_NUM_TYPES] = {
    [XDS_ADDRESS] = {"type.googleapis.com/istio.workload.Address", "address"},
    [XDS_AUTHORIZATION] = {"type.googleapis.com/istio.security.Authorization", "authorization"},
};

const char *xds_type_url(enum xds_type type)
{
    return types[type].url;
}

const char *xds_type_name(enum xds_type type)
{
    return types[type].name;
}
