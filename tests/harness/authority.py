"""A certificate authority that is not ours: openssl's, for certificates exactly as a test wants them, good and bad."""

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
default_md = sha256
unique_subject = no
rand_serial = yes
policy = any
[any]
commonName = optional
organizationName = optional
"""

# What an X.509-SVID has to say beside its SPIFFE ID.
LEAF = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth,clientAuth")
CA = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")


class Authority:
    """A root of its own. Attributes: `root_pem`, and `root_file`, where that can be read by everyone."""

    def __init__(self, folder, name="root"):
        self._folder = tempfile.mkdtemp(prefix=f"{name}-", dir=folder)
        os.chmod(self._folder, 0o755)
        self._key_file = self._path("root-key.pem")
        self.root_file = self._path("root.pem")
        _write(self._path("index.txt"), "")
        _write(self._path("openssl.cnf"), _CONFIG.format(folder=self._folder))
        _write(self._key_file, new_key(), mode=0o600)
        _openssl("req", "-x509", "-new", "-key", self._key_file, "-subj", f"/O=test/CN={name}", "-days", "30",
                 "-addext", CA[0], "-addext", CA[1], "-config", self._path("openssl.cnf"), "-out", self.root_file)
        self.root_pem = _read(self.root_file)

    def _path(self, name):
        return os.path.join(self._folder, name)

    def sign(self, csr_pem, names, life_s=HOUR_S, start_s=SOON_PAST_S, extensions=LEAF):
        """
        The certificate for a signing request, whatever that asks for, in PEM. `names` are its subject alternative names as
        openssl writes them ("URI:spiffe://...", "DNS:name"); bytes stand for a URI that openssl would not take as text.
        Valid from start_s to life_s seconds from now.
        """
        with tempfile.TemporaryDirectory(dir=self._folder) as work:
            request, extension_file, out = (os.path.join(work, name) for name in ("csr.pem", "extensions", "cert.pem"))
            _write(request, csr_pem)
            _write(extension_file, "\n".join([*extensions, *_alternative_names(names)]) + "\n")
            _openssl("ca", "-batch", "-notext", "-config", self._path("openssl.cnf"), "-cert", self.root_file, "-keyfile",
                     self._key_file, "-startdate", _asn1_time(start_s), "-enddate", _asn1_time(life_s), "-subj", "/O=test",
                     "-extfile", extension_file, "-in", request, "-out", out)
            return _read(out)

    def issue(self, names, **options):
        """(certificate, key) in PEM; arguments as sign()."""
        key = new_key()
        csr = _openssl("req", "-new", "-key", "/dev/stdin", "-subj", "/O=test", stdin=key)
        return self.sign(csr, names, **options), key


def new_key():
    """A P-256 key in PEM."""
    return _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


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
