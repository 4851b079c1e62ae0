"""A certificate authority that is not ours: openssl's, for certificates exactly as a test wants them, good and bad."""

import itertools
import os
import subprocess
import tempfile
import time

HOUR_S = 3600
SOON_PAST_S = -60

_CONFIG = """
[ca]
default_ca = authority
[authority]
database = {folder}/index.txt
new_certs_dir = {folder}
unique_subject = no
rand_serial = yes
crlnumber = {folder}/crlnumber
policy = any
[any]
commonName = optional
organizationName = optional
"""

# What an X.509-SVID has to say beside its SPIFFE ID.
LEAF = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth,clientAuth")
CA = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")

_KEYS = {
    "P-256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "P-384": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
    "RSA-1024": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"),
    "RSA-2048": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "Ed25519": ("-algorithm", "ED25519"),
}


class Credentials:
    """A certificate chain and its key, in files that everyone can read: `chain_file`, `key_file`."""

    def __init__(self, chain_file, key_file):
        self.chain_file = chain_file
        self.key_file = key_file


class Authority:
    """
    A root of its own, or an intermediate below another one. Attributes: `root_pem`, its certificate, and `root_file`, where
    that can be read by everyone; `chain_pem`, the intermediates that go with what it issues, nearest first; `key_file`.
    """

    def __init__(self, folder, name="root", parent=None, **options):
        """`options` of sign() for an intermediate's own certificate."""
        self._folder = tempfile.mkdtemp(prefix=f"{name}-", dir=folder)
        os.chmod(self._folder, 0o755)
        self._numbers = itertools.count(1)
        self.key_file = self._path("root-key.pem")
        self.root_file = self._path("root.pem")
        _write(self._path("index.txt"), "")
        _write(self._path("crlnumber"), "01\n")  # with it, revocation lists are of version 2, as RFC 5280 wants them
        _write(self._path("openssl.cnf"), _CONFIG.format(folder=self._folder))
        _write(self.key_file, new_key(), mode=0o600)
        subject = f"/O=test/CN={name}"
        if parent is None:
            _openssl("req", "-x509", "-new", "-key", self.key_file, "-subj", subject, "-days", "30",
                     "-addext", CA[0], "-addext", CA[1], "-config", self._path("openssl.cnf"), "-out", self.root_file)
        else:
            csr = _openssl("req", "-new", "-key", self.key_file, "-subj", subject)
            _write(self.root_file, parent.sign(csr, [], subject=subject, **{"extensions": CA, **options}))
        self.root_pem = _read(self.root_file)
        self.chain_pem = "" if parent is None else self.root_pem + parent.chain_pem

    def _path(self, name):
        return os.path.join(self._folder, name)

    def sign(self, csr_pem, names, life_s=HOUR_S, start_s=SOON_PAST_S, extensions=LEAF, subject="/O=test", digest="sha256",
             key_file=None):
        """
        The certificate for a signing request, whatever that asks for, in PEM. `names` are its subject alternative names as
        openssl writes them ("URI:spiffe://...", "DNS:name"); bytes stand for a URI that openssl would not take as text.
        Valid from start_s to life_s seconds from now. Self-signed when `key_file`, the key of the request, is given.
        """
        signer = ["-cert", self.root_file, "-keyfile", self.key_file] if key_file is None else ["-selfsign", "-keyfile", key_file]
        with tempfile.TemporaryDirectory(dir=self._folder) as work:
            request, extension_file, out = (os.path.join(work, name) for name in ("csr.pem", "extensions", "cert.pem"))
            _write(request, csr_pem)
            _write(extension_file, "\n".join([*extensions, *_alternative_names(names)]) + "\n")
            _openssl("ca", "-batch", "-notext", "-config", self._path("openssl.cnf"), *signer, "-md", digest,
                     "-startdate", _asn1_time(start_s), "-enddate", _asn1_time(life_s), "-subj", subject,
                     "-extfile", extension_file, "-in", request, "-out", out)
            return _read(out)

    def issue(self, names, key="P-256", **options):
        """(certificate, key) in PEM, the key of that kind; other arguments as sign()."""
        key_pem = new_key(key)
        csr = _openssl("req", "-new", "-key", "/dev/stdin", "-subj", "/O=test", stdin=key_pem)
        return self.sign(csr, names, **options), key_pem

    def credentials(self, names, key="P-256", self_signed=False, with_chain=True, **options):
        """Credentials; arguments as issue(). Without the chain, a leaf of an intermediate comes alone."""
        number = next(self._numbers)
        made = Credentials(self._path(f"leaf-{number}.pem"), self._path(f"leaf-{number}-key.pem"))
        _write(made.key_file, new_key(key))
        csr = _openssl("req", "-new", "-key", made.key_file, "-subj", "/O=test")
        leaf = self.sign(csr, names, key_file=made.key_file if self_signed else None, **options)
        _write(made.chain_file, leaf + (self.chain_pem if with_chain else ""))
        return made

    def crl(self, *revoked, next_s=HOUR_S, last_s=SOON_PAST_S):
        """A revocation list in PEM, with the certificates (PEM; the first of each text), beside those revoked before."""
        options = ("-config", self._path("openssl.cnf"), "-cert", self.root_file, "-keyfile", self.key_file, "-md", "sha256")
        with tempfile.TemporaryDirectory(dir=self._folder) as work:
            path = os.path.join(work, "cert.pem")
            for pem in revoked:
                _write(path, pem)
                _openssl("ca", *options, "-revoke", path)
            return _openssl("ca", *options, "-gencrl", "-crl_lastupdate", _asn1_time(last_s), "-crl_nextupdate", _asn1_time(next_s))


def new_key(kind="P-256"):
    """A key in PEM."""
    return _openssl("genpkey", *_KEYS[kind])


def serial_of(pem):
    """The serial number of the first certificate in the text, in lower-case hexadecimal without leading zeros."""
    printed = _openssl("x509", "-noout", "-serial", stdin=pem)
    return printed.strip().removeprefix("serial=").lower().lstrip("0")


def _alternative_names(names):
    """RFC 5280, 4.2.1.6; bytes are written as DER: a URI is [6], an IA5String."""
    if not names:
        return []
    if any(isinstance(name, bytes) for name in names):
        general = b"".join(b"\x86" + _der_length(len(name)) + name for name in names)
        return ["subjectAltName=DER:" + (b"\x30" + _der_length(len(general)) + general).hex(":")]
    return ["subjectAltName=" + ",".join(names)]


def _der_length(length):
    if length < 0x80:
        return bytes([length])
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets


def _asn1_time(from_now_s):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + from_now_s))


def _openssl(*args, stdin=""):
    done = subprocess.run(["openssl", *args], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"openssl {' '.join(args)}: {done.stderr}"
    return done.stdout


def _write(path, text, mode=0o644):
    with open(path, "w", encoding="ascii", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(text)


def _read(path):
    with open(path, encoding="ascii") as file:
        return file.read()
