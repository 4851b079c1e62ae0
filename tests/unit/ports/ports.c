#include "ports.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct ports_config *parse(const char *text)
{
    struct err err = {0};
    struct ports_config *config = ports_config_parse("ports.yaml", text, strlen(text), &err);
    if (config == NULL)
        print_error("%s\n", err.message);
    assert_non_null(config);
    return config;
}

static void a_port_with_everything_is_read(void **state)
{
    size_t num;
    struct ports_config *config = parse("ports:\n"
                                        "  - port: 8443\n"
                                        "    mode: mtls\n"
                                        "    certificates:\n"
                                        "      - cert: /c/a.crt\n"
                                        "        key: /c/a.key\n"
                                        "        names: [MTLS.local, \"*.Example.com\"]\n"
                                        "      - {cert: /c/b.crt, key: /c/b.key}\n"
                                        "    client-ca: /c/ca.crt\n"
                                        "    verify-depth: 3\n"
                                        "    client-certificate: optional\n"
                                        "    min-tls: 1.2\n"
                                        "    alpn: [h2, http/1.1]\n"
                                        "    principal-from: [email, uri, cn]\n"
                                        "    proxy-protocol: v2\n"
                                        "    resumption: off\n");
    const struct ports_port *port = ports_config_ports(config, &num);
    assert_int_equal(num, 1);
    assert_int_equal(port->port, 8443);
    assert_int_equal(port->mode, PORTS_MTLS);
    assert_true(port->proxy_protocol);
    assert_int_equal(port->num_certificates, 2);
    assert_string_equal(port->certificates[0].cert_file, "/c/a.crt");
    assert_string_equal(port->certificates[0].key_file, "/c/a.key");
    assert_int_equal(port->certificates[0].num_names, 2);
    assert_string_equal(port->certificates[0].names[0], "mtls.local");
    assert_string_equal(port->certificates[0].names[1], "*.example.com");
    assert_int_equal(port->certificates[1].num_names, 0);
    assert_string_equal(port->client_ca_file, "/c/ca.crt");
    assert_int_equal(port->verify_depth, 3);
    assert_true(port->is_client_cert_optional);
    assert_true(port->allow_tls12);
    assert_false(port->resumption);
    assert_int_equal(port->num_alpn, 2);
    assert_string_equal(port->alpn[1], "http/1.1");
    assert_int_equal(port->num_principals, 3);
    assert_int_equal(port->principals[0], PRINCIPAL_EMAIL);
    assert_int_equal(port->principals[1], PRINCIPAL_URI);
    assert_int_equal(port->principals[2], PRINCIPAL_CN);
    ports_config_free(config);
}

static void what_is_not_said_is_the_strict_choice(void **state)
{
    size_t num;
    struct ports_config *config = parse("ports: [{port: 1, mode: mtls}]\n");
    const struct ports_port *port = ports_config_ports(config, &num);
    assert_int_equal(num, 1);
    assert_false(port->is_client_cert_optional);
    assert_false(port->allow_tls12);
    assert_false(port->proxy_protocol);
    assert_null(port->client_ca_file);
    assert_int_equal(port->verify_depth, PORTS_VERIFY_DEPTH);
    assert_int_equal(port->num_principals, 1);
    assert_int_equal(port->principals[0], PRINCIPAL_URI);
    assert_int_equal(port->num_certificates, 0);
    assert_int_equal(port->num_alpn, 0);
    assert_true(port->resumption);
    ports_config_free(config);
}

static void ports_come_in_ascending_order(void **state)
{
    size_t num;
    struct ports_config *config = parse("ports:\n"
                                        "  - {port: 9000, mode: plaintext}\n"
                                        "  - {port: 80, mode: mesh}\n"
                                        "  - {port: 65535, mode: passthrough}\n");
    const struct ports_port *ports = ports_config_ports(config, &num);
    assert_int_equal(num, 3);
    assert_int_equal(ports[0].port, 80);
    assert_int_equal(ports[0].mode, PORTS_MESH);
    assert_int_equal(ports[1].port, 9000);
    assert_int_equal(ports[1].mode, PORTS_PLAINTEXT);
    assert_int_equal(ports[2].mode, PORTS_PASSTHROUGH);
    ports_config_free(config);
}

static void destinations_keep_the_order_of_the_file(void **state)
{
    size_t num;
    struct ports_config *config = parse("destinations:\n"
                                        "  - match: {host: DB.example.com, port: 5432}\n"
                                        "    server-name: db.example.com\n"
                                        "    ca: /c/ca.crt\n"
                                        "    cert: /c/a.crt\n"
                                        "    key: /c/a.key\n"
                                        "    sni: Other.example.com\n"
                                        "    alpn: [postgresql]\n"
                                        "    starttls: postgresql\n"
                                        "    min-tls: 1.2\n"
                                        "  - match: {cidr: 198.18.0.0/24, port: 443}\n"
                                        "    spiffe-ids: [\"spiffe://cluster.local/ns/a/sa/b\"]\n"
                                        "  - match: {cidr: fd00::/8, port: 443}\n"
                                        "    server-name: 198.18.0.1\n"
                                        "    ca: /c/ca.crt\n"
                                        "    verify-depth: 0\n");
    const struct ports_destination *all = ports_config_destinations(config, &num);
    assert_int_equal(num, 3);
    assert_string_equal(all[0].host, "db.example.com");
    assert_int_equal(all[0].cidr.ip.family, IP_NONE);
    assert_int_equal(all[0].port, 5432);
    assert_string_equal(all[0].sni, "other.example.com");
    assert_string_equal(all[0].certificate.key_file, "/c/a.key");
    assert_string_equal(all[0].alpn[0], "postgresql");
    assert_int_equal(all[0].starttls, PORTS_STARTTLS_POSTGRESQL);
    assert_true(all[0].allow_tls12);
    assert_null(all[1].host);
    assert_int_equal(all[1].starttls, PORTS_STARTTLS_NONE);
    assert_int_equal(all[1].cidr.prefix_len, 24);
    assert_null(all[1].server_name);
    assert_string_equal(all[1].spiffe_ids[0], "spiffe://cluster.local/ns/a/sa/b");
    assert_null(all[1].certificate.cert_file);
    assert_string_equal(all[2].server_name, "198.18.0.1");
    assert_int_equal(all[2].verify_depth, 0);
    ports_config_free(config);
}

static void an_empty_file_and_no_file_are_without_entries(void **state)
{
    struct ports_config *configs[] = {parse(""), parse("ports: []\n"), ports_config_new_empty()};
    for (size_t i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
        size_t num;
        ports_config_ports(configs[i], &num);
        assert_int_equal(num, 0);
        ports_config_destinations(configs[i], &num);
        assert_int_equal(num, 0);
        ports_config_free(configs[i]);
    }
}

static void a_mistake_is_told_with_its_place(void **state)
{
    static const struct {
        const char *text;
        const char *expected;
    } cases[] = {
        {"port: []", "ports.yaml:1:1: port: unknown key"},
        {"ports: {}", "ports: expected a list"},
        {"ports:\n  - mode: mesh", "ports.yaml:2:5: ports[0]: the key \"port\" is missing"},
        {"ports: [{port: 1}]", "ports[0]: the key \"mode\" is missing"},
        {"ports: [{port: 0, mode: mesh}]", "ports[0].port"},
        {"ports: [{port: 65536, mode: mesh}]", "ports[0].port"},
        {"ports: [{port: 1, mode: tls}]", "ports[0].mode"},
        {"ports:\n- {port: 1, mode: mesh}\n- {port: 1, mode: mtls}",
         "ports.yaml:3:3: ports[1]: port 1 is there twice"},
        {"ports: [{port: 1, mode: mesh, client-ca: /a}]", "client-ca: only with mode: mtls"},
        {"ports: [{port: 1, mode: passthrough, resumption: on}]", "only with mode: mtls"},
        {"ports: [{port: 1, mode: mtls, principal-from: [cn]}]",
         "principal-from: only with client-ca"},
        {"ports: [{port: 1, mode: mtls, verify-depth: 2}]", "verify-depth: only with client-ca"},
        {"ports: [{port: 1, mode: mtls, client-ca: ca.crt}]", "expected an absolute path"},
        {"ports: [{port: 1, mode: mtls, client-ca: /a, principal-from: []}]", "at least one"},
        {"ports: [{port: 1, mode: mtls, client-ca: /a, principal-from: [ip]}]",
         "expected uri, dns, email or cn"},
        {"ports: [{port: 1, mode: mtls, client-ca: /a, principal-from: [cn, cn]}]",
         "\"cn\" is there twice"},
        {"ports: [{port: 1, mode: mtls, client-ca: /a, verify-depth: 8}]", "verify-depth"},
        {"ports: [{port: 1, mode: mtls, min-tls: 1.1}]", "expected 1.3 or 1.2"},
        {"ports: [{port: 1, mode: mtls, client-certificate: none}]", "client-certificate"},
        {"ports: [{port: 1, mode: mtls, alpn: []}]", "alpn: expected 1 to 16 entries"},
        {"ports: [{port: 1, mode: mtls, alpn: [h2, h2]}]", "\"h2\" is there twice"},
        {"ports: [{port: 1, mode: mtls, alpn: [\"\"]}]", "expected a protocol's name"},
        {"ports: [{port: 1, mode: mtls, certificates: []}]", "expected 1 to 32 entries"},
        {"ports: [{port: 1, mode: mtls, certificates: [{cert: /a}]}]",
         "cert and key come together"},
        {"ports: [{port: 1, mode: mtls, certificates: [{names: [a]}]}]", "are missing"},
        {"ports: [{port: 1, mode: mtls, certificates: [{cert: /a, key: /b, names: [\"a..b\"]}]}]",
         "expected a DNS name or"},
        {"ports: [{port: 1, mode: mtls, certificates: [{cert: /a, key: /b, names: [\"*\"]}]}]",
         "expected a DNS name or"},
        {"ports: [{port: 1, mode: mtls, certificates: [{cert: /a, key: /b, names: [1.2.3.4]}]}]",
         "certificates[0].names[0]"},
        {"destinations: [{server-name: a, ca: /a}]", "the key \"match\" is missing"},
        {"destinations: [{match: {port: 1}, server-name: a, ca: /a}]",
         "match: expected one of host and cidr"},
        {"destinations: [{match: {port: 1, host: a, cidr: 1.2.3.4/32}, server-name: a, ca: /a}]",
         "match: expected one of host and cidr"},
        {"destinations: [{match: {host: a}, server-name: a, ca: /a}]", "\"port\" is missing"},
        {"destinations: [{match: {port: 1, host: a}, ca: /a}]",
         "expected one of server-name and spiffe-ids"},
        {"destinations: [{match: {port: 1, host: a}, server-name: a}]", "\"ca\" is missing"},
        {"destinations: [{match: {port: 1, host: a}, spiffe-ids: [\"spiffe://a/b\"], ca: /a}]",
         "ca: only with server-name"},
        {"destinations: [{match: {port: 1, host: a}, spiffe-ids: [\"http://a/b\"]}]",
         "is no SPIFFE ID"},
        {"destinations: [{match: {port: 1, host: a}, spiffe-ids: []}]", "expected 1 to"},
        {"destinations: [{match: {port: 1, host: a}, server-name: a, ca: /a, key: /b}]",
         "cert and key come together"},
        {"destinations: [{match: {port: 1, host: a}, server-name: a, ca: /a, starttls: smtp}]",
         "starttls: expected none or postgresql"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        const char *text = cases[i].text;
        struct ports_config *config = ports_config_parse("ports.yaml", text, strlen(text), &err);
        if (config != NULL || strstr(err.message, cases[i].expected) == NULL ||
            strstr(err.message, "ports.yaml:") != err.message)
            fail_msg("%s\n  gave: %s", text, config != NULL ? "no error" : err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_with_everything_is_read),
        cmocka_unit_test(what_is_not_said_is_the_strict_choice),
        cmocka_unit_test(ports_come_in_ascending_order),
        cmocka_unit_test(destinations_keep_the_order_of_the_file),
        cmocka_unit_test(an_empty_file_and_no_file_are_without_entries),
        cmocka_unit_test(a_mistake_is_told_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
