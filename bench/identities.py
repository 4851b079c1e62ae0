"""The certificates of a run: one CA and a leaf for each side, the same files for every setup that does TLS."""

import os
import subprocess
from typing import NamedTuple

TRUST_DOMAIN = "cluster.local"
NAMESPACE = "bench"

# Kinds of keys, as openssl genpkey makes them.
P256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA2048 = ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")

_CA_EXTENSIONS = """
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
# An X.509-SVID (one URI name, digitalSignature, not a CA) that proxies which know only DNS names can verify too.
_LEAF_EXTENSIONS = """
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = critical, URI:spiffe://{trust_domain}/ns/{namespace}/sa/{name}, DNS:{name}
"""


class Leaf(NamedTuple):
    cert: str      # PEM file
    key: str       # PEM file, readable by its owner only
    cert_key: str  # both in one file, as haproxy takes them


class Certificates:
    """
    Makes them in `folder`, with keys of one kind; files that hold a key belong to `owner_uid`. Attributes: `ca`, a PEM file;
    leaf(name).
    """

    def __init__(self, folder, owner_uid, key=P256):
        self._key = key
        self._folder = folder
        self._owner_uid = owner_uid
        self._leaves = {}
        os.mkdir(folder, 0o755)
        self.ca = self._path("ca.pem")
        self._ca_key = self._path("ca.key")
        self._make_key(self._ca_key)
        _openssl("req", "-x509", "-new", "-key", self._ca_key, "-subj", "/CN=bench CA", "-days", "2", "-out", self.ca,
                 "-config", self._write("ca.cnf", "[req]\ndistinguished_name = dn\nx509_extensions = ext\n[dn]\n[ext]"
                                        + _CA_EXTENSIONS))

    def leaf(self, name):
        """The leaf certificate of that name, made on first use."""
        if name not in self._leaves:
            self._leaves[name] = self._make_leaf(name)
        return self._leaves[name]

    def _make_leaf(self, name):
        cert, key, request = (self._path(f"{name}.{suffix}") for suffix in ("pem", "key", "csr"))
        extensions = self._write(f"{name}.cnf", _LEAF_EXTENSIONS.format(
            trust_domain=TRUST_DOMAIN, namespace=NAMESPACE, name=name))
        self._make_key(key)
        _openssl("req", "-new", "-key", key, "-subj", "/", "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._ca_key, "-CAcreateserial", "-days", "1",
                 "-extfile", extensions, "-out", cert)
        with open(cert, encoding="ascii") as cert_file, open(key, encoding="ascii") as key_file:
            both = self._write(f"{name}-both.pem", cert_file.read() + key_file.read())
        self._keep_secret(both)
        return Leaf(cert, key, both)

    def _make_key(self, path):
        _openssl("genpkey", *self._key, "-out", path)
        self._keep_secret(path)

    def _keep_secret(self, path):
        os.chmod(path, 0o600)
        os.chown(path, self._owner_uid, self._owner_uid)

    def _path(self, name):
        return os.path.join(self._folder, name)

    def _write(self, name, text):
        path = self._path(name)
        with open(path, "w", encoding="ascii") as out:
            out.write(text)
        return path


def _openssl(*args):
    done = subprocess.run(["openssl", *args], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"openssl {' '.join(args)}: {done.stderr}"
