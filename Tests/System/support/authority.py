"""A certificate authority of a cluster, and certificates that it signs, as PEM files."""
import datetime
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    def __init__(self, folder: pathlib.Path, name: str = "peers"):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.path = folder / "authority.pem"
        self._certificate = self._sign(name, self._key.public_key(), name, authority=True)
        self.path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def settings(self, name: str) -> dict[str, pathlib.Path]:
        """The agent's settings for a certificate of its own."""
        certificate, private = self.certificate(name)
        return {"MODELCACHE_PEER_CERTIFICATE": certificate, "MODELCACHE_PEER_KEY": private, "MODELCACHE_PEER_AUTHORITY": self.path}

    def certificate(self, name: str, *hosts: str) -> tuple[pathlib.Path, pathlib.Path]:
        """A certificate for the hosts, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, private = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        signed = self._sign(name, key.public_key(), self._name, hosts=hosts)
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        private.chmod(0o600)
        return certificate, private

    def _sign(self, subject: str, key, issuer: str, authority: bool = False, hosts: tuple[str, ...] = ()) -> x509.Certificate:
        def name(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key)
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
                .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True))
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        return builder.sign(self._key, hashes.SHA256())
