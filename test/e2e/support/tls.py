"""Certificates for the tests, made by the openssl program at session start."""

import base64
import hashlib
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .wait import DEADLINE_S


@dataclass
class Certificate:
    chain: Path
    key: Path


def _openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, stdin=subprocess.DEVNULL)


CA_EXTENSIONS = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
CA_CONFIG = """[ca]
default_ca = own
[own]
database = {folder}/{name}.index
certificate = {folder}/{name}.pem
private_key = {folder}/{name}.key
default_md = sha256
default_crl_days = 30
"""


class Authority:
    """A certificate authority in a folder; `ca` is the file to trust. With an issuer it is an intermediate one."""

    def __init__(self, folder, name="ca", issuer=None):
        self.folder = Path(folder)
        self.name = name
        self.issuer = issuer
        self.ca = self.folder / f"{name}.pem"
        self.key = self.folder / f"{name}.key"
        if issuer:
            issuer._sign(self, f"weir test {name}", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], CA_EXTENSIONS, 30)
        else:
            _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 30,
                     "-subj", f"/CN=weir test {name}", "-keyout", self.key, "-out", self.ca)

    def _sign(self, made, common_name, kind, extensions, days):
        """Makes the key and the certificate of `made`: an Authority or a Certificate."""
        certificate = made.ca if isinstance(made, Authority) else made.chain
        request, extension_file = certificate.with_suffix(".csr"), certificate.with_suffix(".ext")
        extension_file.write_text(extensions)
        _openssl("req", "-new", "-newkey", *kind, "-nodes", "-subj", f"/CN={common_name}", "-keyout", made.key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", "-days", days,
                 "-extfile", extension_file, "-out", certificate)

    def issue(self, name, *sans, rsa=False, days=30, extensions=""):
        """A certificate with these subject alternative names, written as openssl does: DNS:a.test, IP:127.0.0.1, URI:...

        extensions: further lines of openssl's configuration. days=-1: expired a day ago. An intermediate's certificates are followed by the intermediate's own.
        """
        made = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        self._sign(made, name, kind, f"subjectAltName={','.join(sans) or 'DNS:' + name}\n{extensions}\n", days)
        if self.issuer:
            made.chain.write_text(made.chain.read_text() + self.ca.read_text())
        return made

    def revocation_list(self, *revoked):
        """The path of a list (CRL) that names these certificates of this authority."""
        index, settings, path = (self.folder / f"{self.name}.{suffix}" for suffix in ("index", "cnf", "crl"))
        index.write_text("")
        settings.write_text(CA_CONFIG.format(folder=self.folder, name=self.name))
        for certificate in revoked:
            _openssl("ca", "-config", settings, "-revoke", getattr(certificate, "chain", None) or certificate.ca)
        _openssl("ca", "-config", settings, "-gencrl", "-out", path)
        return path


def digest(certificate, of="certificate"):
    """SHA-256 of a certificate's DER form or, of="key", of its public key info."""
    pem = subprocess.run(["openssl", "x509", "-in", certificate.chain, "-noout", "-pubkey"], check=True, capture_output=True,
                         text=True).stdout if of == "key" else certificate.chain.read_text()
    return hashlib.sha256(base64.b64decode("".join(pem.split("-----")[2].split()))).digest()


def s_client(port, *args, stdin=""):
    """What the openssl program reports of a handshake with 127.0.0.1:port."""
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *map(str, args)], input=stdin, text=True,
                          capture_output=True, timeout=DEADLINE_S).stdout


def server_context(certificate, alpn=(), client_ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(ca=None, alpn=(), certificate=None):
    """Without ca the server is not verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        context.load_verify_locations(ca)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if certificate:
        context.load_cert_chain(certificate.chain, certificate.key)
    return context
