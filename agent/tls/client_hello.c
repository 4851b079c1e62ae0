#include "client_hello.h"

#include <assert.h>
#include <openssl/bytestring.h>
#include <string.h>

/* RFC 8446, 4, 4.1.2, 5.1 */
enum {
    RECORD_HANDSHAKE = 22,
    RECORD_BODY_MAX = 16384,
    MESSAGE_CLIENT_HELLO = 1,
    MESSAGE_HEADER = 4, /* type and length */
    RANDOM_LEN = 32,
    SESSION_ID_MAX = 32,
    LABEL_MAX = 63, /* RFC 1035, 2.3.4 */
};

enum extension { EXTENSION_SNI = 0, EXTENSION_ALPN = 16, EXTENSION_VERSIONS = 43 };

enum { NAME_TYPE_HOST = 0 }; /* RFC 6066, 3 */

void client_hello_init(struct client_hello *hello)
{
    *hello = (struct client_hello){.status = CLIENT_HELLO_MORE};
}

void client_hello_done(struct client_hello *hello)
{
    buf_done(&hello->message);
}

static int break_rule(struct client_hello *hello, const char *problem)
{
    hello->status = CLIENT_HELLO_BAD;
    hello->problem = problem;
    return -1;
}

/* ------------------------------------------------------------------------------- the message -- */

static bool is_name_byte(uint8_t byte)
{
    /* '_' is not of a host's name, but Istio's servers are called "outbound_.80_._.a.b". */
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' ||
           byte == '_';
}

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

static bool is_host_name(const CBS *name)
{
    size_t len = CBS_len(name), label_len = 0;
    if (len > CLIENT_HELLO_SNI_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = lower(CBS_data(name)[i]);
        bool is_dot = byte == '.';
        if (is_dot ? label_len == 0 : !is_name_byte(byte))
            return false;
        label_len = is_dot ? 0 : label_len + 1;
        if (label_len > LABEL_MAX)
            return false;
    }
    return label_len > 0;
}

/* What is no host name (an address, a dot at the end: some clients do that) stays the matter of whom the hello is for. */
static void copy_name(struct client_hello *hello, const CBS *name)
{
    if (!is_host_name(name))
        return;
    for (size_t i = 0; i < CBS_len(name); i++)
        hello->sni[i] = (char)lower(CBS_data(name)[i]);
    hello->sni[CBS_len(name)] = '\0';
}

static int read_sni(struct client_hello *hello, CBS *extension)
{
    CBS list, name;
    uint8_t type;
    if (hello->has_server_name)
        return break_rule(hello, "two server names");
    if (!CBS_get_u16_length_prefixed(extension, &list) || CBS_len(&list) == 0 ||
        CBS_len(extension) != 0)
        return break_rule(hello, "server_name cannot be read");
    while (CBS_len(&list) > 0) {
        if (!CBS_get_u8(&list, &type) || !CBS_get_u16_length_prefixed(&list, &name))
            return break_rule(hello, "server_name cannot be read");
        if (type != NAME_TYPE_HOST)
            continue;
        if (hello->has_server_name)
            return break_rule(hello, "two server names");
        if (CBS_len(&name) == 0)
            return break_rule(hello, "the server name is empty");
        hello->has_server_name = true;
        copy_name(hello, &name);
    }
    return 0;
}

static int read_alpn(struct client_hello *hello, CBS *extension)
{
    CBS list, protocol;
    if (hello->alpn_len > 0)
        return break_rule(hello, "two ALPN extensions");
    if (!CBS_get_u16_length_prefixed(extension, &list) || CBS_len(&list) == 0 ||
        CBS_len(extension) != 0)
        return break_rule(hello, "ALPN cannot be read");
    hello->alpn = CBS_data(&list);
    hello->alpn_len = CBS_len(&list);
    while (CBS_len(&list) > 0)
        if (!CBS_get_u8_length_prefixed(&list, &protocol) || CBS_len(&protocol) == 0)
            return break_rule(hello, "ALPN cannot be read");
    return 0;
}

static int read_versions(struct client_hello *hello, CBS *extension)
{
    CBS list;
    if (hello->versions_len > 0)
        return break_rule(hello, "two supported_versions extensions");
    if (!CBS_get_u8_length_prefixed(extension, &list) || CBS_len(&list) == 0 ||
        CBS_len(&list) % 2 != 0 || CBS_len(extension) != 0)
        return break_rule(hello, "supported_versions cannot be read");
    hello->versions = CBS_data(&list);
    hello->versions_len = CBS_len(&list);
    return 0;
}

static int read_extension(struct client_hello *hello, CBS *extensions)
{
    uint16_t type;
    CBS extension;
    if (!CBS_get_u16(extensions, &type) || !CBS_get_u16_length_prefixed(extensions, &extension))
        return break_rule(hello, "an extension cannot be read");
    switch (type) {
    case EXTENSION_SNI:
        return read_sni(hello, &extension);
    case EXTENSION_ALPN:
        return read_alpn(hello, &extension);
    case EXTENSION_VERSIONS:
        return read_versions(hello, &extension);
    default:
        return 0;
    }
}

/* RFC 8446, 4.1.2; extensions may be missing altogether (RFC 5246, 7.4.1.2). */
static int read_message(struct client_hello *hello)
{
    CBS message, session_id, suites, compressions, extensions;
    CBS_init(&message, buf_head(&hello->message), buf_len(&hello->message));
    CBS_skip(&message, MESSAGE_HEADER);
    if (!CBS_get_u16(&message, &hello->legacy_version) || !CBS_skip(&message, RANDOM_LEN) ||
        !CBS_get_u8_length_prefixed(&message, &session_id) ||
        CBS_len(&session_id) > SESSION_ID_MAX || !CBS_get_u16_length_prefixed(&message, &suites) ||
        CBS_len(&suites) == 0 || CBS_len(&suites) % 2 != 0 ||
        !CBS_get_u8_length_prefixed(&message, &compressions) || CBS_len(&compressions) == 0)
        return break_rule(hello, "the ClientHello cannot be read");
    if (CBS_len(&message) == 0)
        return 0;
    if (!CBS_get_u16_length_prefixed(&message, &extensions) || CBS_len(&message) != 0)
        return break_rule(hello, "the ClientHello's extensions cannot be read");
    while (CBS_len(&extensions) > 0)
        if (read_extension(hello, &extensions) < 0)
            return -1;
    return 0;
}

/* ------------------------------------------------------------------------------- the records -- */

/* What cannot stand here: before the message has begun it means that this is not TLS. */
static void refuse_header(struct client_hello *hello)
{
    if (buf_len(&hello->message) == 0)
        hello->status = CLIENT_HELLO_NOT_TLS;
    else
        break_rule(hello, "a record that cannot be inside of a ClientHello");
}

/* RFC 8446, 5.1: type, legacy version 3.x, length. Each byte is judged when it comes. */
static void take_header_byte(struct client_hello *hello, uint8_t byte)
{
    static const struct {
        uint8_t min, max;
    } RANGES[] = {
        {RECORD_HANDSHAKE, RECORD_HANDSHAKE}, {3, 3}, {0, 4}, {0, RECORD_BODY_MAX >> 8}, {0, 255},
    };
    size_t at = hello->header_len;
    if (byte < RANGES[at].min || byte > RANGES[at].max) {
        refuse_header(hello);
        return;
    }
    hello->header[hello->header_len++] = byte;
    if (hello->header_len < sizeof(hello->header))
        return;
    hello->header_len = 0;
    hello->record_left = (size_t)hello->header[3] << 8 | hello->header[4];
    if (hello->record_left == 0 || hello->record_left > RECORD_BODY_MAX)
        refuse_header(hello);
}

/* Bytes of the whole message; of its header, as long as that is not known. */
static size_t wanted_len(const struct client_hello *hello)
{
    const uint8_t *head = buf_head(&hello->message);
    if (buf_len(&hello->message) < MESSAGE_HEADER)
        return MESSAGE_HEADER;
    return MESSAGE_HEADER + ((size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3]);
}

static void check_message(struct client_hello *hello)
{
    if (buf_head(&hello->message)[0] != MESSAGE_CLIENT_HELLO)
        hello->status = CLIENT_HELLO_NOT_TLS;
    else if (wanted_len(hello) > CLIENT_HELLO_MAX)
        break_rule(hello, "it is too long");
    else if (buf_len(&hello->message) == wanted_len(hello) && read_message(hello) == 0)
        hello->status = CLIENT_HELLO_DONE;
}

/* Returns how many it took, which is not 0. */
static size_t take_body(struct client_hello *hello, const uint8_t *bytes, size_t len)
{
    size_t taken = wanted_len(hello) - buf_len(&hello->message);
    if (taken > len)
        taken = len;
    if (taken > hello->record_left)
        taken = hello->record_left;
    if (buf_append(&hello->message, bytes, taken) < 0) {
        hello->status = CLIENT_HELLO_NO_MEMORY;
        return taken;
    }
    hello->record_left -= taken;
    check_message(hello);
    return taken;
}

/* Returns how many it took, which is not 0. */
static size_t take(struct client_hello *hello, const uint8_t *bytes, size_t len)
{
    if (hello->record_left > 0)
        return take_body(hello, bytes, len);
    take_header_byte(hello, *bytes);
    return 1;
}

enum client_hello_status client_hello_feed(struct client_hello *hello, const uint8_t *bytes,
                                           size_t len)
{
    while (len > 0 && hello->status == CLIENT_HELLO_MORE) {
        size_t room = CLIENT_HELLO_MAX - hello->fed_len;
        if (room == 0) {
            break_rule(hello, "it is too long");
            break;
        }
        size_t taken = take(hello, bytes, len < room ? len : room);
        bytes += taken;
        len -= taken;
        hello->fed_len += taken;
    }
    return hello->status;
}

/* ------------------------------------------------------------------------------------ asking -- */

const char *client_hello_sni(const struct client_hello *hello)
{
    assert(hello->status == CLIENT_HELLO_DONE);
    return hello->sni;
}

bool client_hello_has_alpn(const struct client_hello *hello)
{
    assert(hello->status == CLIENT_HELLO_DONE);
    return hello->alpn_len > 0;
}

bool client_hello_offers_alpn(const struct client_hello *hello, const char *protocol)
{
    assert(hello->status == CLIENT_HELLO_DONE);
    CBS list, offered;
    CBS_init(&list, hello->alpn, hello->alpn_len);
    while (CBS_get_u8_length_prefixed(&list, &offered))
        if (CBS_mem_equal(&offered, (const uint8_t *)protocol, strlen(protocol)))
            return true;
    return false;
}

bool client_hello_offers_version(const struct client_hello *hello, uint16_t version)
{
    assert(hello->status == CLIENT_HELLO_DONE);
    CBS list;
    uint16_t offered;
    /* RFC 8446, 4.2.1: without the list, legacy_version is the highest, and 1.2 at most. */
    if (hello->versions_len == 0)
        return version <= hello->legacy_version && version <= 0x0303;
    CBS_init(&list, hello->versions, hello->versions_len);
    while (CBS_get_u16(&list, &offered))
        if (offered == version)
            return true;
    return false;
}
