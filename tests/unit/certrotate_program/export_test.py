"""remora-certrotate export: openssl and NSS, which Firefox and Chromium use, read what it writes."""

import os
import pty
import re
import signal
import stat
import subprocess
import tempfile
import termios
import time
import unittest

PROGRAM = os.environ["REMORA_CERTROTATE"]
PASSWORD = "correct horse 'battery' ~"
WAIT_S = 20

DONE, USAGE, BAD_INPUT, NOT_READ, NOT_WRITTEN = 0, 64, 65, 66, 73


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=60, **options)


def openssl(*arguments):
    result = run("openssl", *arguments)
    if result.returncode != 0:
        raise AssertionError(f"openssl {' '.join(arguments)}: {result.stderr}")
    return result.stdout


def content(path):
    with open(path, "rb") as file:
        return file.read()


class ExportTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="remora-export-")
        cls.addClassCleanup(folder.cleanup)
        cls.made = folder.name
        for name, kind in (("rsa", "rsa:4096"), ("other", "rsa:2048")):
            openssl("req", "-x509", "-newkey", kind, "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{cls.made}/{name}.key", "-out",
                    f"{cls.made}/{name}.crt")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=ec", "-keyout",
                f"{cls.made}/ec.key", "-out", f"{cls.made}/ec.crt")

    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="remora-export-"))
        self.out = self.path("out.p12")
        self.password_file = self.write("password", PASSWORD + "\n")

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o600):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def command(self, **options):
        merged = {"pkcs12": self.out, "cert": f"{self.made}/rsa.crt", "key": f"{self.made}/rsa.key", "password-file": self.password_file}
        merged.update({name.replace("_", "-"): value for name, value in options.items()})
        return [PROGRAM, "export"] + [f"--{name}={value}" for name, value in merged.items() if value is not None]

    def export(self, code=DONE, **options):
        result = run(*self.command(**options))
        self.assertEqual(result.returncode, code, result.stderr)
        if code != DONE:
            self.assertFalse(os.path.exists(self.out))
        return result.stdout if code == DONE else result.stderr

    def read(self, *arguments):
        return openssl("pkcs12", "-in", self.out, "-passin", f"pass:{PASSWORD}", *arguments)

    def test_openssl_reads_key_and_certificates_without_legacy_algorithms(self):
        for name in ("rsa", "ec"):
            with self.subTest(name):
                words = self.export(cert=f"{self.made}/{name}.crt", key=f"{self.made}/{name}.key", chain=f"{self.made}/other.crt", name="Jørgen")
                self.assertIn("2 certificates", words)
                self.assertIn("Jørgen", words)
                self.assertEqual(stat.S_IMODE(os.stat(self.out).st_mode), 0o600)
                key = self.read("-nocerts", "-nodes")
                self.assertEqual(re.search("-----BEGIN.*", key, re.S)[0], content(f"{self.made}/{name}.key").decode())
                certs = re.findall("-----BEGIN.*?END CERTIFICATE-----\n", self.read("-nokeys"), re.S)
                self.assertEqual(certs, [content(f"{self.made}/{file}.crt").decode() for file in (name, "other")])
                facts = run("openssl", "pkcs12", "-in", self.out, "-passin", f"pass:{PASSWORD}", "-info", "-noout").stderr
                self.assertEqual(facts.count("PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256"), 2, facts)
                self.assertIn("MAC: sha256, Iteration 100000", facts)

    def test_nss_imports_it(self):
        database = self.path("nss")
        os.mkdir(database)
        self.assertEqual(run("certutil", "-N", "-d", f"sql:{database}", "--empty-password").returncode, 0)
        self.export(name="My client", chain=f"{self.made}/other.crt")
        result = run("pk12util", "-i", self.out, "-d", f"sql:{database}", "-w", self.password_file)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertRegex(run("certutil", "-L", "-d", f"sql:{database}").stdout, r"My client +u,u,u")
        self.assertIn("My client", run("certutil", "-K", "-d", f"sql:{database}").stdout)

    def test_another_password_does_not_open_it(self):
        self.export()
        self.assertNotEqual(run("openssl", "pkcs12", "-in", self.out, "-passin", "pass:" + PASSWORD[:-1], "-noout").returncode, 0)

    def test_no_two_files_are_alike(self):
        self.export()
        first = content(self.out)
        self.export()
        second = content(self.out)
        self.assertEqual(len(first), len(second))
        self.assertLess(sum(a == b for a, b in zip(first, second)), len(first) / 5)

    def test_a_file_that_is_no_pkcs12_is_not_replaced(self):
        for text in (content(f"{self.made}/rsa.key").decode(), content(f"{self.made}/rsa.crt").decode(), PASSWORD):
            victim = self.write("victim", text)
            result = run(*self.command(pkcs12=victim))
            self.assertEqual(result.returncode, NOT_WRITTEN)
            self.assertIn("not replaced", result.stderr)
            self.assertEqual(content(victim).decode(), text)
        os.symlink("victim", self.path("link.p12"))
        self.assertEqual(run(*self.command(pkcs12=self.path("link.p12"))).returncode, NOT_WRITTEN)
        self.assertTrue(os.path.islink(self.path("link.p12")))

    def test_long_passwords_are_whole(self):
        for length in (31, 32, 63, 64, 256):  # a block of SHA-256 is 32 of PKCS#12's characters
            with self.subTest(length):
                password = "p" * (length - 1) + "q"
                self.export(password_file=self.write("password", password))
                self.assertIn("BEGIN CERTIFICATE", openssl("pkcs12", "-in", self.out, "-passin", f"pass:{password}", "-nokeys"))

    def test_a_chain_that_is_repeated_counts_once(self):
        self.assertIn("1 certificate,", self.export(chain=f"{self.made}/rsa.crt"))

    def test_a_key_of_another_certificate_is_refused(self):
        self.assertIn("does not belong", self.export(BAD_INPUT, key=f"{self.made}/other.key"))

    def test_bad_passwords_are_refused(self):
        for password, code, words in (("short", BAD_INPUT, "5 characters"), ("", BAD_INPUT, "0 characters"), ("x" * 257, BAD_INPUT, "257"),
                                      ("x" * 2000, NOT_READ, "more than"), ("pässword!", BAD_INPUT, "ASCII"), ("first\nsecond", NOT_READ, "one line"),
                                      ("password\0more", NOT_READ, "no text")):
            with self.subTest(password[:20]):
                message = self.export(code, password_file=self.write("password", password))
                self.assertIn(words, message)
                if password:
                    self.assertNotIn(password, message)

    def test_a_password_file_that_others_can_read_is_refused(self):
        for mode in (0o640, 0o604, 0o620):
            self.assertIn("make it 0600", self.export(NOT_READ, password_file=self.write("password", PASSWORD, mode)))
        self.assertIn("not a regular file", self.export(NOT_READ, password_file="/dev/null"))
        self.assertIn("no such file", self.export(NOT_READ, password_file=self.path("missing")))

    def test_there_is_no_option_for_a_password(self):
        result = run(*self.command(password_file=None), "--password", PASSWORD)
        self.assertEqual(result.returncode, USAGE)
        self.assertIn("no such option", result.stderr)

    def test_what_is_missing_is_named(self):
        for option in ("pkcs12", "cert", "key"):
            self.assertIn(f"{option}: required", self.export(USAGE, **{option: None}))
        for option in ("cert", "key", "chain"):
            self.assertIn("no such file", self.export(NOT_READ, **{option: self.path("missing")}))

    def test_a_folder_that_others_can_write_to_is_refused(self):
        os.chmod(self.folder, 0o777)
        self.export(NOT_WRITTEN)
        os.chmod(self.folder, 0o700)

    # ---------------------------------------------------------------------------------- the terminal

    def on_terminal(self, *lines, end=None):
        """Runs it with a terminal of its own and types; gives the exit code and what the terminal showed."""
        pid, terminal = pty.fork()
        if pid == 0:
            command = self.command(password_file=None)
            os.execv(command[0], command)
        shown = b""
        for line in lines:
            shown += self.read_until(terminal, b": ")
            self.assertFalse(termios.tcgetattr(terminal)[3] & termios.ECHO)
            os.write(terminal, line)
        if end is not None:
            shown += self.read_until(terminal, b": ")
            os.kill(pid, end)  # nobody types any more
        while True:
            try:
                more = os.read(terminal, 4096)
            except OSError:
                break
            if not more:
                break
            shown += more
        status = os.waitpid(pid, 0)[1]
        self.assertTrue(termios.tcgetattr(terminal)[3] & termios.ECHO)
        os.close(terminal)
        return status, shown.decode()

    def read_until(self, terminal, mark):
        shown = b""
        deadline = time.monotonic() + WAIT_S
        while not shown.endswith(mark) and time.monotonic() < deadline:
            shown += os.read(terminal, 1)
        return shown

    def test_without_a_file_the_terminal_is_asked_and_shows_nothing(self):
        status, shown = self.on_terminal(PASSWORD.encode() + b"\n", PASSWORD.encode() + b"\n")
        self.assertEqual(os.waitstatus_to_exitcode(status), DONE, shown)
        self.assertIn("Password for the new file: ", shown)
        self.assertIn("once more", shown)
        self.assertNotIn(PASSWORD, shown)
        self.assertIn("BEGIN CERTIFICATE", self.read("-nokeys"))

    def test_two_passwords_that_differ_are_refused(self):
        status, shown = self.on_terminal(b"password one\n", b"password two\n")
        self.assertEqual(os.waitstatus_to_exitcode(status), NOT_READ)
        self.assertIn("differ", shown)
        self.assertFalse(os.path.exists(self.out))

    def test_control_c_ends_it(self):
        status, shown = self.on_terminal(b"\x03")
        self.assertEqual(os.waitstatus_to_exitcode(status), NOT_READ)
        self.assertIn("no password was given", shown)

    def test_a_signal_ends_it_once_the_terminal_is_as_before(self):
        for lines in ((), (PASSWORD.encode() + b"\n",)):
            status, _ = self.on_terminal(*lines, end=signal.SIGTERM)
            self.assertTrue(os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM)
            self.assertFalse(os.path.exists(self.out))

    def test_without_a_terminal_it_says_so(self):
        result = run(*self.command(password_file=None), input=PASSWORD, start_new_session=True)
        self.assertEqual(result.returncode, NOT_READ)
        self.assertIn("no terminal", result.stderr)


if __name__ == "__main__":
    unittest.main()
